// Polls the changing part of the page; the server answers 204 if nothing changed. Stops while the page is hidden.
"use strict";
const board = document.getElementById("board");
const live = document.getElementById("live");
const EVERY_MS = 4000;

// keyboard focus stays where it is
function replace(html) {
  const focused = board.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  board.innerHTML = html;
  if (focused) board.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

async function refresh() {
  if (document.hidden) return;
  try {
    const seen = board.firstElementChild.dataset.serial;
    const address = new URL("/today/part", location.href);
    address.search = location.search;
    address.searchParams.set("seen", seen);
    const answer = await fetch(address, { headers: { accept: "text/html" } });
    if (answer.redirected || answer.status === 401) { location.reload(); return; }
    if (answer.status === 200) replace(await answer.text());
    live.className = answer.ok ? "live on" : "live lost";
    live.textContent = answer.ok ? "live" : "no answer";
  } catch {
    live.className = "live lost";
    live.textContent = "connection lost";
  }
}

setInterval(refresh, EVERY_MS);
document.addEventListener("visibilitychange", refresh);
