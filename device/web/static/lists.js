"use strict";
// What the pages that take a list share: the form `choose`, how it is sent, and the cells of a preview.

const byId = (id) => document.getElementById(id);
const form = byId("choose");

async function send(path, values) {
  const answer = await fetch(path, { method: "POST", headers: { "x-form-token": form.dataset.formToken, accept: "application/json" }, body: values, redirect: "error" });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error || say("answered", { status: answer.status }));
  return said;
}
function complain(words) {
  byId("problem").textContent = words;
  byId("problem").hidden = !words;
}
function cell(text, kind) {
  const td = document.createElement("td");
  if (kind) {
    const badge = document.createElement("span");
    badge.className = `badge ${kind}`;
    badge.textContent = text;
    td.append(badge);
  } else td.textContent = text;
  return td;
}
