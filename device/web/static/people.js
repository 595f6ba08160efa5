"use strict";
// Choosing a person: a field with data-people lists who fits while one types. Without this script it stays a plain field.

(() => {
  const WAIT_MS = 150;
  const texts = JSON.parse(document.getElementById("people-texts").textContent), plural = new Intl.PluralRules(document.documentElement.lang);
  let fields = 0;

  function picker(input) {
    const list = document.createElement("ul"), number = ++fields, said = document.createElement("span");
    let shown = [], at = -1, timer = null, asked = null;
    list.id = `people-${number}`;
    list.className = "people-list";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", texts.fitting);
    list.hidden = true;
    said.className = "sr";
    said.setAttribute("role", "status");
    const place = document.createElement("span");
    place.className = "people-place";
    input.before(place);
    place.append(input, list, said);
    const told = { role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id };
    for (const [name, value] of Object.entries(told)) input.setAttribute(name, value);

    function close() {
      list.hidden = true;
      at = -1;
      input.setAttribute("aria-expanded", "false");
      input.removeAttribute("aria-activedescendant");
    }
    function choose(person) {
      clearTimeout(timer);
      asked?.abort();
      input.value = person.text;
      input.setSelectionRange(person.text.length, person.text.length);
      said.textContent = texts.chosen.replace("{name}", () => person.text);
      close();
      input.dispatchEvent(new Event("change", { bubbles: true }));
    }
    function mark(index) {
      at = index;
      [...list.children].forEach((option, number) => option.setAttribute("aria-selected", String(number === at)));
      const option = list.children[at];
      if (option) { input.setAttribute("aria-activedescendant", option.id); option.scrollIntoView({ block: "nearest" }); }
    }
    function optionOf(person, index) {
      const option = document.createElement("li"), code = document.createElement("small");
      option.id = `${list.id}-${index}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      code.textContent = [person.code, person.note].filter(Boolean).join(", ");
      option.append(person.name, code);
      option.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
      option.addEventListener("click", (event) => { event.preventDefault(); choose(person); });
      return option;
    }
    function draw(people) {
      shown = people;
      at = -1;
      input.removeAttribute("aria-activedescendant");
      const nobody = document.createElement("li");
      nobody.className = "nobody";
      nobody.textContent = texts.nobody;
      list.replaceChildren(...(people.length ? people.map(optionOf) : [nobody]));
      list.hidden = false;
      input.setAttribute("aria-expanded", "true");
      said.textContent = people.length ? texts.people[plural.select(people.length)].replace("{count}", people.length) : texts.nobody;
    }
    async function ask() {
      const text = input.value.trim();
      asked?.abort();
      if (!text) { close(); return; }
      asked = new AbortController();
      try {
        const answer = await fetch(`/people/find?q=${encodeURIComponent(text)}`, { headers: { accept: "application/json" }, signal: asked.signal });
        if (answer.ok && document.activeElement === input) draw((await answer.json()).people);
      } catch { close(); } // aborted, or the terminal does not answer: the field takes what is typed
    }
    input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, WAIT_MS); });
    input.addEventListener("focus", () => input.select());
    input.addEventListener("blur", close);
    input.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" && list.hidden) { ask(); event.preventDefault(); return; }
      if (list.hidden || !shown.length) { if (event.key === "Escape" && !list.hidden) close(); return; }
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        const before = at < 0 ? shown.length : at;
        mark(event.key === "ArrowDown" ? (at + 1) % shown.length : (before - 1 + shown.length) % shown.length);
        event.preventDefault();
      } else if (event.key === "Enter" && (at >= 0 || shown.length === 1)) {
        choose(shown[Math.max(at, 0)]);
        event.preventDefault();
      } else if (event.key === "Escape") close();
    });
  }
  document.querySelectorAll("input[data-people]").forEach(picker);
})();
