"use strict";
// The page's texts in its language. `say` fills in {values}; of a text with plural forms it takes the one for `count`.

const texts = JSON.parse(document.getElementById("texts").textContent);
const LOCALE = `${document.documentElement.lang}-u-nu-latn`; // the digits that the keys have
const RIGHT_TO_LEFT = document.documentElement.dir === "rtl"; // values are isolated, so that names and times of the other direction keep their order
const plural = new Intl.PluralRules(LOCALE);

function say(key, values = {}) {
  const found = texts[key] || "";
  const form = typeof found === "string" ? found : found[plural.select(values.count)];
  return form.replace(/\{(\w+)\}/g, (_, name) => (RIGHT_TO_LEFT ? `\u2068${values[name]}\u2069` : values[name]));
}
function number(value, digits) {
  return value.toLocaleString(LOCALE, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
