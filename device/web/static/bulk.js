"use strict";
// Bulk enrolment: the terminal lists who is in the folder, then enrols one person after another.

let files = new Map(), people = [], stopped = false;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  complain("");
  files = new Map([...byId("folder").files].map((file) => [file.webkitRelativePath || file.name, file]));
  const list = byId("list").files[0];
  try {
    const values = new FormData();
    values.append("form_token", form.dataset.formToken);
    values.append("paths", JSON.stringify([...files.keys()]));
    if (list) values.append("list", list);
    const plan = await send("/people/bulk/plan", values);
    people = plan.people.map((person) => ({ ...person, state: person.problem ? "left_out" : "ready", remarks: person.problem }));
    if (!people.length) complain(say("no_folder"));
    byId("plan").hidden = !people.length;
    byId("read-as").textContent = plan.read_as ? say("read_as", { how: plan.read_as }) : "";
    draw();
  } catch (error) { complain(error.message); }
});

const KINDS = { ready: "info", enrolled: "good", refused: "bad", left_out: "warn", working: "info" };
function row(person) {
  const tr = document.createElement("tr");
  tr.title = person.photos.join("\n"); // tells two people of one name apart
  tr.append(cell(person.name), cell(person.code), cell(person.photos.length), cell(say(person.state), KINDS[person.state]), cell(person.remarks));
  return tr;
}
function draw() {
  byId("rows").replaceChildren(...people.map((person) => (person.row = row(person))));
  const ready = people.filter((person) => person.state === "ready").length;
  byId("count").textContent = say("of", { ready, count: people.length });
  allow();
}
function redraw(person) {
  const fresh = row(person);
  person.row.replaceWith(fresh);
  person.row = fresh;
}
function allow() { byId("start").disabled = !byId("agreed").checked || !people.some((person) => person.state === "ready"); }
byId("agreed").addEventListener("change", allow);
byId("stop").addEventListener("click", () => { stopped = true; });

byId("start").addEventListener("click", async () => {
  const waiting = people.filter((person) => person.state === "ready");
  stopped = false;
  byId("start").disabled = true;
  byId("bar").hidden = byId("stop").hidden = false;
  for (const [done, person] of waiting.entries()) {
    if (stopped) break;
    byId("progress").max = waiting.length;
    byId("progress").value = done;
    byId("said").textContent = say("at", { number: done + 1, total: waiting.length, name: person.name });
    person.state = "working";
    redraw(person);
    await enrol(person);
    redraw(person);
  }
  byId("progress").value = waiting.length;
  byId("stop").hidden = true;
  summary();
  allow();
});

async function enrol(person) {
  const values = new FormData();
  values.append("form_token", form.dataset.formToken);
  values.append("name", person.name);
  values.append("code", person.code);
  values.append("consent", form.dataset.consent);
  for (const path of person.photos) values.append("photo", files.get(path));
  try {
    const said = await send("/people/bulk", values);
    person.state = said.state;
    person.remarks = said.state === "enrolled" ? [say("templates", { count: said.templates }), ...said.remarks, ...said.left_out].join("; ") : said.reason;
  } catch (error) {
    person.state = "ready";
    person.remarks = say("not_sent", { why: error.message });
    stopped = true;
  }
}

function summary() {
  const counted = (state) => people.filter((person) => person.state === state).length;
  const all = Object.fromEntries(["enrolled", "refused", "left_out", "ready"].map((state) => [state, counted(state)]));
  byId("said").textContent = say(all.ready ? "summary_stopped" : "summary", all);
  const quoted = (text) => `"${String(text).replace(/^[=+\-@\t]/, "'$&").replaceAll('"', '""')}"`;
  const lines = [say("columns").split(","), ...people.map((p) => [p.name, p.code, p.photos.length, say(p.state), p.remarks])];
  byId("report").href = URL.createObjectURL(new Blob(["\ufeff" + lines.map((line) => line.map(quoted).join(",")).join("\r\n")], { type: "text/csv" }));
  byId("report").hidden = false;
}
