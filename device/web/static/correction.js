// Choosing a punch fills in its present values, so that only the wrong ones must be typed.
"use strict";
const form = document.querySelector("form[action='/corrections']");

function fill(chosen) {
  if (!chosen.dataset.time) return;
  form.elements.punch_day.value = chosen.dataset.day;
  form.elements.time.value = chosen.dataset.time;
  form.elements.direction.value = chosen.dataset.direction;
}

function show() {
  const added = form.elements.target.value === "new";
  form.elements.action.disabled = added;
  const gone = !added && form.elements.action.value === "remove";
  for (const name of ["punch_day", "time", "direction"]) form.elements[name].disabled = gone;
}

for (const radio of form.elements.target) radio.addEventListener("change", () => { fill(radio); show(); });
form.elements.action.addEventListener("change", show);
const first = form.querySelector("[name=target]:checked");
if (first && !form.elements.time.value) fill(first);
show();
