
// Every word of the page is in WORDS, one table of the language that the agent is set to. Names, and
// the sentences of alarms, come from the agent and are shown as they come.
const LOCALE = WORDS.locale;
const t = (key, values = {}) => WORDS.texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
// A state, reason or cause in words; "stage/reason" are two. One without a translation stays.
const term = (name) => Object.hasOwn(WORDS.terms, name) ? WORDS.terms[name] : name.replaceAll("_", " ");
// A sentence of the server's own, where it is in the table; any other as it comes.
const told = (text) => Object.hasOwn(WORDS.terms, text) ? WORDS.terms[text] : text;
const words = (name) => name.split("/").map(term).join(": ");

const known = (x) => x !== null && x !== undefined;
const formats = new Map();
function decimals(x, digits) {
  if (!formats.has(digits)) formats.set(digits, new Intl.NumberFormat(LOCALE,
    {minimumFractionDigits: digits, maximumFractionDigits: digits}));
  return formats.get(digits).format(x);
}
const significant = (x, digits) => new Intl.NumberFormat(LOCALE,
  {maximumSignificantDigits: digits}).format(x);
const fixed = (x, digits, unit = "") => known(x) ? decimals(x, digits) + unit : "–";
const lasting = (x) => !known(x) ? "–" : x < 0.9995 ? `${decimals(1000 * x, 0)} ms` : `${decimals(x, 1)} s`;
const time = (at) => new Date(at).toLocaleTimeString(LOCALE, {hourCycle: "h23"});
const date = (at) => new Date(at).toLocaleDateString(LOCALE,
  {day: "numeric", month: "short", year: "numeric"});
const share = (x) => known(x) ? decimals(100 * x, 0) + "\u202f%" : "–";
const total = (n) => fixed(n, 0);
function age(s) {
  if (!known(s)) return "–";
  if (s < 90) return decimals(s, 0) + " s";
  if (s < 5400) return decimals(s / 60, 0) + " min";
  return decimals(s / 3600, 1) + " h";
}
const counts = (map) => Object.entries(map).filter(([, n]) => n > 0)
  .map(([name, n]) => words(name) + " " + total(n)).join(", ");
