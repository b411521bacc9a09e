// English words in the reader's language: from the catalogue that the page brought along.

const root = document.documentElement;
const known = JSON.parse(document.querySelector('meta[name="words"]').content);
const signs = { de: { ",": ".", ".": "," }, fr: { ",": "\u202f", ".": "," } }[root.lang];
const count = new Intl.NumberFormat({ de: "de-DE", fr: "fr-FR" }[root.lang] ?? "en-US");

export const locale = { de: "de-DE", fr: "fr-FR" }[root.lang] ?? "en-GB";
export const twelve = root.dataset.hours === "12";

export function t(text, values = {}) {
  const said = known[text] ?? text;
  return said.replace(/\{(\w+)\}/g, (place, name) => values[name] ?? place);
}

export const number = (value) => count.format(value);

export function many(value, one, other) {
  const single = value === 1 || (value === 0 && root.lang === "fr");
  return t(single ? one : other, { n: number(value) });
}

// A number as English writes it, with the reader's points and commas.
export const numeral = (text) => (signs ? text.replace(/[,.]/g, (sign) => signs[sign]) : text);

// The server says in English what may be translated here, with the values apart.
export function said(parts) {
  const local = ([text, values]) => t(text, Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, numeral(value)]),
  ));
  return parts.map(local).join(", ");
}
