"use strict";
// The kiosk: draws the events of /kiosk/events. All decisions are made by the terminal.

const byId = (id) => document.getElementById(id);
const body = document.body;
const NO_ANSWER_MS = 4000;
const PIN_IDLE_MS = 30000;


// sound: short tones, no files; a browser allows them after the first touch or with --autoplay-policy=no-user-gesture-required
const TONES = { recognised: [[660, 0], [990, 0.11]], already: [[520, 0]], unknown: [[240, 0], [200, 0.16]], unclear: [[330, 0], [280, 0.16]], asked: [[740, 0]], challenge: [[740, 0]] };
let audio = null;
function play(name) {
  audio = audio || new AudioContext();
  if (audio.state === "suspended") audio.resume();
  for (const [frequency, after] of TONES[name]) {
    const at = audio.currentTime + after, tone = audio.createOscillator(), volume = audio.createGain();
    tone.frequency.value = frequency;
    volume.gain.setValueAtTime(0, at);
    volume.gain.linearRampToValueAtTime(0.25, at + 0.015);
    volume.gain.exponentialRampToValueAtTime(0.001, at + 0.22);
    tone.connect(volume).connect(audio.destination);
    tone.start(at);
    tone.stop(at + 0.25);
  }
}

// cards: people just recorded
const known = new Set();
function showCards(cards) {
  const place = byId("cards");
  place.hidden = !cards.length;
  const ids = cards.map((card) => card.id).join();
  if (place.dataset.ids === ids) return;
  place.dataset.ids = ids;
  place.dataset.count = cards.length;
  place.replaceChildren(...cards.map(cardElement));
  for (const card of cards.filter((card) => !known.has(card.id))) {
    known.add(card.id);
    play(card.kind);
    // the second frame begins when the first, which has the card, is on the screen
    requestAnimationFrame(() => requestAnimationFrame(() => { place.dataset.latencyMs = Math.round(Date.now() - card.at * 1000); }));
  }
}
function cardElement(card) {
  const element = byId("card").content.firstElementChild.cloneNode(true);
  element.classList.add(card.kind);
  element.querySelector("h1").textContent = card.name;
  element.querySelector("h1").classList.toggle("long", card.name.length > 18);
  element.querySelector("h1").classList.toggle("longer", card.name.length > 36);
  if (card.kind === "recognised") {
    element.querySelector("b").textContent = say(card.direction);
    element.querySelector("span").textContent = card.time;
  } else {
    element.querySelector("b").textContent = say("already", { time: card.time });
  }
  return element;
}

// the question: in, out or break
let asked = null;
function showQuestion(question) {
  byId("question").hidden = !question;
  if (!question) { asked = null; return; }
  byId("question-name").textContent = question.name;
  byId("question-name").classList.toggle("long", question.name.length > 24);
  if (asked && asked.token === question.token) return;
  asked = question;
  play("asked");
  const suggested = question.suggested.startsWith("break") ? "break" : question.suggested;
  for (const button of document.querySelectorAll("#question [data-direction]")) button.classList.toggle("suggested", button.dataset.direction === suggested);
  countDown(byId("countdown"), question.seconds);
}
for (const button of document.querySelectorAll("#question [data-direction]")) {
  button.addEventListener("click", () => asked && send("/kiosk/answer", { token: asked.token, direction: button.dataset.direction }).then(() => { byId("question").hidden = true; }));
}

async function send(path, values) {
  const answer = await fetch(path, { method: "POST", headers: { "x-form-token": body.dataset.formToken, accept: "application/json" }, body: new URLSearchParams(values) });
  return { status: answer.status, ...(await answer.json().catch(() => ({}))) };
}

// a turn of the head: an arrow to the person's own side, and the time left
let turnUntil = null;
function showTurn(view) {
  byId("turn").hidden = !view.challenge;
  if (!view.challenge) { turnUntil = null; return; }
  body.dataset.turn = view.reason;
  if (turnUntil === view.challenge.until) return;
  turnUntil = view.challenge.until;
  countDown(byId("turn-time"), view.challenge.seconds);
}
function countDown(bar, seconds) {
  bar.animate([{ transform: "scaleX(1)" }, { transform: "scaleX(0)" }], { duration: seconds * 1000, fill: "forwards" });
}

// the state as text
const CALLS = ["unknown", "unclear", "challenge"]; // states that are heard as well
const SAID_BY_REASON = ["guidance", "challenge", "looking"];
function showState(view) {
  if (view.state !== body.dataset.state && CALLS.includes(view.state)) play(view.state);
  body.dataset.state = view.state;
  byId("words").textContent = (SAID_BY_REASON.includes(view.state) && say(view.reason)) || say(view.state, { time: view.cards[0]?.time }) || say("idle");
  const hint = say(`${view.state}_${view.reason}_hint`) || say(view.state + "_hint", { reason: view.reason });
  byId("hint").textContent = hint;
  byId("hint").hidden = !hint;
  for (const icon of document.querySelectorAll("[data-icon]")) icon.hidden = icon.dataset.icon !== view.state;
  byId("clock-warning").hidden = view.clock !== "unsynchronised";
  byId("resetting").hidden = !view.resetting;
  byId("resetting").querySelector("h1").textContent = view.resetting ? say("resetting", { count: view.resetting }) : "";
  byId("alone").hidden = !view.alone;
  byId("alone-words").textContent = view.alone ? say("alone", { time: view.alone }) : "";
}

const SVG = "http://www.w3.org/2000/svg";
function showBoxes(view) {
  const width = 1000 * view.ratio, frame = byId("boxes");
  frame.setAttribute("viewBox", `0 0 ${width} 1000`);
  frame.replaceChildren(...view.boxes.map((box) => {
    const rect = document.createElementNS(SVG, "rect");
    const place = { x: box.x * width, y: box.y * 1000, width: box.width * width, height: box.height * 1000, rx: 18 };
    for (const [name, value] of Object.entries(place)) rect.setAttribute(name, value);
    rect.classList.add(box.kind);
    return rect;
  }));
}

function show(view) {
  showState(view);
  showCards(view.cards);
  showQuestion(view.question);
  showTurn(view);
  showBoxes(view);
  const picture = byId("picture");
  const wanted = !["camera_lost", "camera_frozen", "no_answer"].includes(view.state);
  if (wanted && !picture.classList.contains("on")) {
    picture.src = `/kiosk/picture?${Date.now()}`;
    picture.classList.add("on");
  } else if (!wanted && picture.classList.contains("on")) {
    picture.removeAttribute("src");
    picture.classList.remove("on");
  }
}

// the stream; a terminal that does not respond is reported, and the connection is retried
let silence = null;
function silent() {
  show({ state: "no_answer", reason: "", cards: [], question: null, challenge: null, boxes: [], clock: "ok", ratio: 1.333 });
}
function listen() {
  const source = new EventSource("/kiosk/events");
  source.addEventListener("time", (event) => setClock(JSON.parse(event.data)));
  source.onmessage = (event) => { clearTimeout(silence); silence = null; show(JSON.parse(event.data)); };
  source.onerror = () => {
    silence = silence || setTimeout(silent, NO_ANSWER_MS);
    if (source.readyState === EventSource.CLOSED) { source.close(); setTimeout(listen, 2000); }
  };
}

// the terminal's time in the site's zone, whatever this screen's own clock and zone are
let ahead = 0; // ms of what is shown before Date.now()
function setClock(time) {
  ahead = (time.now + time.ahead * 60) * 1000 - Date.now();
  byId("zone").textContent = time.zone;
  byId("zone").hidden = time.ahead === -new Date().getTimezoneOffset();
  tick();
}
function tick() {
  const shown = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: "UTC" };
  byId("time").textContent = new Date(Date.now() + ahead).toLocaleTimeString(LOCALE, shown);
}

// code and PIN
let field = null, pinTimer = null;
function openPin() {
  byId("pin").hidden = false;
  byId("pin-problem").textContent = "";
  for (const id of ["pin-code", "pin-digits"]) byId(id).value = "";
  choose(byId("pin-code"));
  drawKeys(false);
}
function closePin() { byId("pin").hidden = true; clearTimeout(pinTimer); }
function stay() { clearTimeout(pinTimer); pinTimer = setTimeout(closePin, PIN_IDLE_MS); }
function choose(input) {
  field = input;
  for (const id of ["pin-code", "pin-digits"]) byId(id).classList.toggle("on", byId(id) === input);
  stay();
}
const MORE = [...(body.dataset.codeSigns || "")]; // characters of codes that are neither A to Z nor digits
function drawKeys(letters) {
  const keys = letters ? [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ-", ...MORE.filter((sign) => sign !== "-")] : [..."123456789"];
  const pad = byId("keypad"), wipe = keyElement("⌫", erase, "word");
  wipe.setAttribute("aria-label", say("delete"));
  pad.classList.toggle("letters", letters);
  pad.classList.toggle("many", keys.length > 28);
  const other = keyElement(say(letters ? "digits" : "letters"), () => drawKeys(!letters), "word");
  const last = letters ? [other, wipe] : [other, keyElement("0", () => type("0")), wipe];
  pad.replaceChildren(...keys.map((key) => keyElement(key === " " ? "␣" : key, () => type(key))), ...last);
}
function keyElement(label, act, kind) {
  const button = document.createElement("button");
  button.textContent = label;
  if (kind) button.classList.add(kind);
  button.addEventListener("click", () => { stay(); act(); });
  return button;
}
function type(key) {
  if (field.value.length < field.maxLength) field.value += key;
}
function erase() { field.value = field.value.slice(0, -1); }
async function sendPin(direction) {
  const code = byId("pin-code").value, pin = byId("pin-digits").value;
  if (!code || !pin) { byId("pin-problem").textContent = say("pin_missing"); choose(code ? byId("pin-digits") : byId("pin-code")); return; }
  const answer = await send("/kiosk/pin", { code, pin, ...(direction ? { direction } : {}) }).catch(() => ({}));
  byId("pin-digits").value = "";
  if (answer.state === "recorded" || answer.state === "already") { closePin(); return; }
  const words = { wrong: say("pin_wrong"), locked: say("pin_locked", { count: answer.minutes }) };
  byId("pin-problem").textContent = words[answer.state] || say("failed");
}
byId("open-pin").addEventListener("click", openPin);
byId("pin-cancel").addEventListener("click", closePin);
if (byId("pin-done")) byId("pin-done").addEventListener("click", () => sendPin(""));
for (const button of document.querySelectorAll("[data-pin-direction]")) button.addEventListener("click", () => sendPin(button.dataset.pinDirection));
for (const id of ["pin-code", "pin-digits"]) byId(id).addEventListener("focus", (event) => choose(event.target));
byId("pin").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && byId("pin-done")) sendPin("");
  if (event.key === "Escape") closePin();
});

setClock(JSON.parse(body.dataset.time));
setInterval(tick, 1000);
listen();
