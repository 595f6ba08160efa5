"use strict";
// Guided capture and test recognition: polls the terminal several times per second.

const byId = (id) => document.getElementById(id);
const ASK_MS = 250;
const RETURN_MS = 60000;

async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  if (answer.status === 401) { location.href = "/kiosk"; return {}; }
  return answer.ok ? answer.json() : {};
}

function showProgress(progress) {
  const place = document.querySelector(".capture");
  place.dataset.view = progress.view;
  place.classList.toggle("good", !progress.reason);
  byId("view").textContent = { front: say("front"), left: say("left"), right: say("right") }[progress.view];
  byId("reason").textContent = progress.reason ? say(progress.reason) : say("good");
  byId("dots").replaceChildren(...Array.from({ length: progress.wanted }, (_, index) => { const dot = document.createElement("i"); dot.classList.toggle("on", index < progress.taken); return dot; }));
}
function fail(words) {
  const place = document.querySelector(".capture");
  place.dataset.view = "front"; // no arrow
  place.classList.remove("good");
  byId("failed").textContent = words;
  byId("view").hidden = byId("reason").hidden = byId("dots").hidden = true;
  byId("failed").hidden = byId("again").hidden = false;
}
async function follow() {
  const progress = await ask("/kiosk/enrol/progress").catch(() => ({}));
  if (progress.state) showProgress(progress);
  if (progress.state === "done") { byId("check").submit(); return; }
  if (progress.state === "failed") {
    fail(say(`${progress.reason}_failed`) || say("capture_failed", { reason: say(progress.reason) }));
    return;
  }
  setTimeout(follow, ASK_MS);
}

async function test() {
  const trial = await ask("/kiosk/enrol/trial").catch(() => ({}));
  if (trial.state === "yes") {
    byId("trial").hidden = false;
    byId("view").textContent = say("recognised", { score: number(trial.score, 2) });
    return;
  }
  if (trial.state === "other") byId("view").textContent = say("other_recognised");
  if (trial.state === "no") byId("view").textContent = say("not_recognised");
  setTimeout(test, ASK_MS);
}

if (document.querySelector("[data-trial]")) {
  test();
  setTimeout(() => { location.href = "/kiosk"; }, RETURN_MS);
} else {
  follow();
}
