"use strict";
// A part of the page with an id and data-refresh="SECONDS" is reloaded regularly while the page is visible. With data-leave the page follows where it is sent on.

for (const part of document.querySelectorAll("[data-refresh]")) {
  setInterval(async () => {
    if (document.hidden || part.contains(document.activeElement)) return;
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: part.dataset.leave ? "manual" : "error" }).catch(() => null);
    if (answer && answer.type === "opaqueredirect") { location.reload(); return; }
    if (!answer || !answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
    if (fresh) part.replaceChildren(...fresh.childNodes);
  }, 1000 * part.dataset.refresh);
}
