"use strict";
// A page that nobody has used for as long as a login lasts is asked for again: where the login has ended, or the terminal is gone, nothing of it stays on the screen.

const idleMs = 1000 * document.currentScript.dataset.seconds;
let usedAt = Date.now();

function used() {
  usedAt = Date.now();
}

function leaveIfIdle() {
  if (Date.now() - usedAt >= idleMs) location.replace(location.pathname + location.search);
}

for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, used, { passive: true });
setInterval(leaveIfIdle, Math.min(idleMs, 10000));
document.addEventListener("visibilitychange", leaveIfIdle);
