"use strict";
// Lists of another system: the same form is sent twice, first for the preview, then to import.

let busy = false;

function values() {
  const all = new FormData(form);
  all.append("form_token", form.dataset.formToken);
  return all;
}
function choices() {
  const kind = byId("kind");
  byId("columns").textContent = kind.selectedOptions[0].dataset.columns;
  for (const one of form.querySelectorAll("[data-for]")) one.hidden = !one.dataset.for.split(" ").includes(kind.value);
  byId("plan").hidden = true;
}
form.addEventListener("change", (event) => { if (event.target.id === "kind") choices(); else byId("plan").hidden = true; });

async function work(path, waiting) {
  if (busy) return;
  busy = true;
  complain("");
  for (const button of document.querySelectorAll("#choose button, #start")) button.disabled = true;
  byId("said").textContent = waiting;
  try {
    show(await send(path, values()), path === "/import");
  } catch (error) {
    byId("plan").hidden = true;
    complain(error.message);
  }
  busy = false;
  form.querySelector("button").disabled = false;
}
form.addEventListener("submit", (event) => { event.preventDefault(); work("/import/preview", ""); });
byId("start").addEventListener("click", () => work("/import", say("waiting")));

function show(said, done) {
  const counts = Object.entries(said.counts).map(([fate, count]) => `${number(count, 0)} ${fate}`).join(", ") || say("no_rows");
  byId("heading").textContent = say(!done ? "heading" : said.written ? "imported" : "nothing");
  byId("said").textContent = say(done ? "done" : "would", { counts });
  byId("read-as").textContent = say("read_as", { how: said.read_as });
  byId("remark").textContent = said.remark;
  byId("remark").hidden = !said.remark;
  byId("start").hidden = done || !said.usable;
  byId("start").disabled = false;
  byId("start-words").textContent = said.problems ? say("without", { number: number(said.problems, 0) }) : say("start");
  byId("rows").replaceChildren(...said.rows.map((row) => {
    const tr = document.createElement("tr");
    const line = cell(row.line);
    line.className = "num faint";
    tr.append(line, cell(row.about), cell(row.fate, row.kind), cell(row.words));
    return tr;
  }));
  byId("left-out").textContent = say("more", { count: said.left_out, number: number(said.left_out, 0) });
  byId("left-out").hidden = said.left_out <= 0;
  byId("plan").hidden = false;
}
choices();
