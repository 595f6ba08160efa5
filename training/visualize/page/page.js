"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const slider = document.getElementById("slider"), moment = document.getElementById("moment"), play = document.getElementById("play");
const BINS = 240, SIZE = 1.42; // of the ring; of half a dial, where the circle is 1
const dials = [];
let timer = 0;

function bytes(text) {
  const raw = atob(text), values = new Int8Array(raw.length);
  for (let k = 0; k < raw.length; k += 1) values[k] = raw.charCodeAt(k);
  return values;
}

// The last snapshot that is not later than a step; a run that ended with NaN keeps its last one.
function snapshot(run, step) {
  let found = 0;
  run.steps.forEach((taken, k) => { if (taken <= step) found = k; });
  return found;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function addDial(run, place, titled) {
  const box = element("div", "dial"), dial = { run, canvas: element("canvas"), measured: element("p", "measured") };
  dial.canvas.setAttribute("role", "img");
  dial.canvas.setAttribute("aria-label", run.title);
  if (titled) box.append(element("h3", "", run.title));
  box.append(dial.canvas, dial.measured);
  if (run.caption) box.append(element("p", "caption", run.caption));
  place.replaceChildren(...(titled ? [...place.children, box] : [box]));
  dials.push(dial);
  return dial;
}

function drawFace(pen, colours) {
  pen.beginPath();
  pen.arc(0, 0, 1, 0, 2 * Math.PI);
  pen.fillStyle = colours.face;
  pen.fill();
  pen.lineWidth = 0.012;
  pen.strokeStyle = colours.faint;
  pen.stroke();
  pen.beginPath();
  for (let k = 0; k < 60; k += 1) {
    const turn = k * Math.PI / 30, inner = k % 5 ? 0.975 : 0.95;
    pen.moveTo(inner * Math.cos(turn), inner * Math.sin(turn));
    pen.lineTo(Math.cos(turn), Math.sin(turn));
  }
  pen.stroke();
}

function drawRing(pen, turns) {
  const counts = new Array(BINS).fill(0);
  for (const turn of turns) counts[Math.min(BINS - 1, Math.floor((turn + Math.PI) / (2 * Math.PI) * BINS))] += 1;
  counts.forEach((count, k) => {
    if (!count) return;
    const start = k / BINS * 2 * Math.PI - Math.PI, end = start + 2 * Math.PI / BINS;
    pen.beginPath();
    pen.arc(0, 0, 1.02, start, end);
    pen.arc(0, 0, 1.02 + 0.2 * Math.sqrt(count / turns.length), end, start, true);
    pen.fill();
  });
}

function drawClass(pen, points, hand, colour, k) {
  pen.fillStyle = pen.strokeStyle = colour;
  pen.globalAlpha = 0.55;
  pen.lineWidth = 0.018;
  pen.beginPath();
  pen.moveTo(0, 0);
  pen.lineTo(hand[0], hand[1]);
  pen.stroke();
  pen.globalAlpha = 0.78;
  for (const [x, y] of points) {
    pen.beginPath();
    pen.arc(x, y, 0.025, 0, 2 * Math.PI);
    pen.fill();
  }
  drawRing(pen, points.map(([x, y]) => Math.atan2(y, x)));
  pen.globalAlpha = 1;
  pen.save();
  pen.translate(1.33 * hand[0], 1.33 * hand[1]);
  pen.scale(1, -1);
  pen.font = "bold 0.15px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(String(k), 0, 0);
  pen.restore();
}

function draw(dial, step, colours) {
  const place = dial.canvas.getBoundingClientRect();
  if (!place.width || place.bottom < -200 || place.top > innerHeight + 200) return;
  const state = `${step} ${colours.face} ${place.width}`;
  if (dial.state === state) return;
  dial.state = state;
  const run = dial.run, at = snapshot(run, step), images = data.labels.length, classes = run.hands.length / run.steps.length / 2;
  const side = Math.round(place.width * devicePixelRatio), pen = dial.canvas.getContext("2d");
  dial.canvas.width = dial.canvas.height = side;
  pen.setTransform(side / 2 / SIZE, 0, 0, -side / 2 / SIZE, side / 2, side / 2);
  drawFace(pen, colours);
  const groups = Array.from({ length: classes }, () => []);
  data.labels.forEach((label, k) => {
    const from = 2 * (at * images + k);
    groups[label].push([run.points[from] / data.one, run.points[from + 1] / data.one]);
  });
  groups.forEach((points, k) => {
    const from = 2 * (at * classes + k);
    drawClass(pen, points, [run.hands[from] / data.one, run.hands[from + 1] / data.one], data.colours[k], k);
  });
  const [accuracy, within, between] = run.measured[at], broken = run.nan !== null && step >= run.nan;
  dial.measured.classList.toggle("nan", broken);
  dial.measured.textContent = broken ? `NaN at step ${run.nan}` : `${Math.round(100 * accuracy)} %, within ${within.toFixed(1)}°, next class ${Math.round(between)}°`;
  dial.canvas.dataset.drawn = at;
}

function drawAll() {
  const step = data.steps[slider.value], style = getComputedStyle(root), epoch = step / data.epoch;
  const colours = { face: style.getPropertyValue("--face"), faint: style.getPropertyValue("--faint") };
  moment.textContent = `epoch ${epoch < 10 ? epoch.toFixed(1) : Math.round(epoch)}, step ${step}`;
  for (const dial of dials) draw(dial, step, colours);
}

function stop() {
  clearInterval(timer);
  timer = 0;
  play.textContent = "Play";
}

play.addEventListener("click", () => {
  if (timer) return stop();
  if (slider.value === slider.max) slider.value = 0;
  play.textContent = "Pause";
  timer = setInterval(() => {
    slider.value = Number(slider.value) + 1;
    drawAll();
    if (slider.value === slider.max) stop();
  }, 160);
});

function dark() {
  return (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
}

function named() {
  document.getElementById("theme").textContent = dark() ? "Light" : "Dark";
  drawAll();
}

document.getElementById("theme").addEventListener("click", () => {
  root.dataset.theme = dark() ? "light" : "dark";
  named();
});

function choice(select, groups, wanted) {
  const place = select.nextElementSibling, options = Object.values(groups).flat();
  options.forEach((run, k) => select.append(new Option(run.title, k)));
  let shown = null;
  const show = () => {
    if (shown) dials.splice(dials.indexOf(shown), 1);
    shown = addDial(options[select.value], place, false);
    drawAll();
  };
  select.value = Math.max(0, options.findIndex((run) => run.title === wanted));
  select.addEventListener("change", show);
  show();
}

for (const run of Object.values(data.groups).flat()) {
  run.points = bytes(run.points);
  run.hands = bytes(run.hands);
}
slider.max = slider.value = data.steps.length - 1;
for (const grid of document.querySelectorAll(".grid")) for (const run of data.groups[grid.dataset.group]) addDial(run, grid, true);
choice(document.getElementById("left"), data.groups, "Softmax");
choice(document.getElementById("right"), data.groups, "ArcFace");
slider.addEventListener("input", () => { stop(); drawAll(); });
for (const event of ["scroll", "resize"]) addEventListener(event, () => requestAnimationFrame(drawAll), { passive: true });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", named);
named();
