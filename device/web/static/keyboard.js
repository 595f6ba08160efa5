"use strict";
// A keyboard for touch screens without one: appears for inputs with data-keyboard ("", "words", "digits").

(() => {
  const inputs = [...document.querySelectorAll("input[data-keyboard]")];
  if (!inputs.length) return;
  if (innerWidth < 600) { // a phone has a keyboard of its own
    for (const input of inputs) if (input.dataset.keyboard === "digits") input.inputMode = "numeric";
    return;
  }
  const ROWS = { // by language; what is not here has the first
    en: ["qwertyuiop", "asdfghjkl'", "zxcvbnm-."],
    de: ["qwertzuiopü", "asdfghjklöä", "yxcvbnmß-."],
    es: ["qwertyuiop", "asdfghjklñ", "zxcvbnm-."],
    fr: ["azertyuiop", "qsdfghjklm", "wxcvbn'-."],
    tr: ["qwertyuıopğü", "asdfghjklşi", "zxcvbnmöç-."],
    ar: ["ضصثقفغعهخحج", "شسيبلاتنمكط", "ذءؤرىةوزظدئأ"],
  };
  const SCRIPTS = [ // of names, whatever the page speaks
    ["áàâãåäæçćčđéè", "êëęğíìîïıłñńó", "òôõöøœřśşšßú", "ùûüýźżž"],
    ["йцукенгшщзхъ", "фывапролджэ", "ячсмитьбюёіїґ"],
    ["ςερτυθιοπώ", "ασδφγηξκλή", "ζχψωβνμόύίάέ"],
    ROWS.ar,
    ["קראטוןםפ", "שדגכעיחלךף", "זסבהנמצתץ"],
  ];
  const SIGNS = ["1234567890", "@#$%&*()_+", "!?;:,./\\\"="];
  const DIGITS = ["12345", "67890"];
  const OWN = ROWS[document.body.dataset.keys] || ROWS.en;
  const LAYERS = [...new Set([OWN, ...(OWN === ROWS.ar ? [ROWS.en] : []), ...SCRIPTS])];
  const board = document.createElement("div");
  board.className = "keyboard";
  let target = inputs[0], upper = false, signs = false, layer = 0;

  function key(label, act, kind = "") {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.className = kind;
    button.tabIndex = -1;
    button.addEventListener("pointerdown", (event) => { event.preventDefault(); act(); });
    return button;
  }
  function put(text) {
    if (target.value.length >= (target.maxLength > 0 ? target.maxLength : 300)) return;
    const at = target.selectionStart ?? target.value.length;
    target.setRangeText(text, at, target.selectionEnd ?? at, "end");
    if (upper) { upper = false; draw(); }
    if (target.dataset.keyboard === "words" && text === " ") { upper = true; draw(); }
  }
  function erase() {
    const end = target.selectionEnd ?? target.value.length, start = target.selectionStart ?? end;
    target.setRangeText("", start === end ? Math.max(0, start - 1) : start, end, "end");
  }
  function draw() {
    const digits = target.dataset.keyboard === "digits";
    const rows = digits ? DIGITS : signs ? SIGNS : LAYERS[layer];
    const lines = rows.map((row) => [...row].map((letter) => { const shown = upper && letter !== "ß" ? letter.toLocaleUpperCase(document.documentElement.lang) : letter; return key(shown, () => put(shown)); }));
    const wipe = key("⌫", erase, "broad");
    wipe.setAttribute("aria-label", texts.delete);
    if (digits) lines[lines.length - 1].push(wipe);
    else {
      lines[lines.length - 1].unshift(key("⇧", () => { upper = !upper; draw(); }, upper ? "broad on" : "broad"));
      lines[lines.length - 1].push(wipe);
      const other = key(`${LAYERS[(layer + 1) % LAYERS.length][0].slice(0, 3)}…`, () => { layer = (layer + 1) % LAYERS.length; signs = false; draw(); }, "broad");
      lines.push([key(signs ? "ABC" : "123", () => { signs = !signs; draw(); }, "broad"), other, key(" ", () => put(" "), "space")]);
    }
    board.replaceChildren(...lines.map((keys) => { const line = document.createElement("div"); line.append(...keys); return line; }));
  }
  for (const input of inputs) {
    input.inputMode = "none";
    input.addEventListener("focus", () => { target = input; upper = input.dataset.keyboard === "words" && !input.value; signs = false; draw(); inputs.forEach((other) => other.classList.toggle("on", other === input)); });
  }
  (document.querySelector(".guide") || document.querySelector(".content")).append(board);
  (document.activeElement && inputs.includes(document.activeElement) ? document.activeElement : inputs[0]).dispatchEvent(new Event("focus"));
})();
