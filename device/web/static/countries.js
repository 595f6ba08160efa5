"use strict";
// Names of countries in the language of the page, as the browser knows them (CLDR, by ECMA-402), in the order of that language.

const language = document.documentElement.lang;
const named = new Intl.DisplayNames([language], { type: "region", fallback: "none" });
const order = new Intl.Collator(language).compare;
for (const list of document.querySelectorAll("select[data-countries]")) {
  const [none, ...countries] = list.options;
  for (const one of countries) one.textContent = named.of(one.value) || one.textContent;
  countries.sort((one, other) => order(one.textContent, other.textContent));
  const chosen = list.value;
  list.replaceChildren(none, ...countries);
  list.value = chosen;
}
