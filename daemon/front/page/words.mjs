/** Texts in the user's language; numbers, durations and times as they are written there. */

import {signal} from "./html.mjs";
import {texts as english} from "./texts.mjs";

/** The browser's locale for the page's language, if it has one: `en-GB` writes times unlike `en-US`. */
function locale() {
  return navigator.languages.find(each => each.startsWith(language.value)) ?? language.value;
}

/** Formatters by locale and options: creating one takes milliseconds. @type {Map<string, any>} */
const formatters = new Map();

/** @param {"NumberFormat"|"DateTimeFormat"} kind @param {any} form */
function formatter(kind, form) {
  const name = `${locale()} ${JSON.stringify(form)}`;
  if (!formatters.has(name)) formatters.set(name, new (/** @type {any} */ (Intl[kind]))(locale(), form));
  return formatters.get(name);
}

/** Languages other than English: the modules with the texts of the first view, of all others, and with nozzled's messages. */
const OTHERS = {de: ["./texts_de.mjs", "./texts_more_de.mjs", "./reasons_de.mjs"]};
const MORE = "./texts_more.mjs";
export const LANGUAGES = {en: "English", de: "Deutsch"};

/** @type {import("./vendor/signals-core.mjs").Signal<Record<string, string>>} */
const texts = signal(english);
export const language = signal("en");

let wantedLanguage = "en"; // its texts may not be loaded yet
let wantsMore = false;
let switches = 0;
/** @type {Promise<void>|null} */
let loading = null;

/** Switch the language. @param {string} wanted A code like `de`; English if there are no texts for it. */
export async function setLanguage(wanted) {
  wantedLanguage = wanted;
  const code = wanted.slice(0, 2).toLowerCase();
  const mine = ++switches;
  const [first, rest, whys] = OTHERS[/** @type {keyof typeof OTHERS} */ (code)] ?? [];
  const [reasonsModule, ...textModules] = await Promise.all([whys, wantsMore && MORE, first, wantsMore && rest].map(name => name && import(name)));
  if (mine !== switches) return; // another language has been chosen since
  reasons.value = (reasonsModule?.reasons ?? []).map(reason);
  texts.value = Object.assign({}, english, ...textModules.map(module => module?.texts));
  language.value = first ? code : "en";
  document.documentElement.lang = language.value;
}

/** Load the texts of the views after the first one. */
export function loadMoreTexts() {
  wantsMore = true;
  loading ??= setLanguage(wantedLanguage);
  loading.catch(() => (loading = null)); // the next view tries again
  return loading;
}

/**
 * The text of this name, with `{value}` replaced. The result is plain text, whatever the values contain.
 * @param {string} name @param {Record<string, unknown>} [values]
 */
export function t(name, values = {}) {
  const text = texts.value[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? String(values[key]) : whole));
}

/** @type {import("./vendor/signals-core.mjs").Signal<[RegExp, string][]>} */
const reasons = signal([]);

/** One of nozzled's messages as a pattern, with its translation. @param {[string, string]} pair @returns {[RegExp, string]} */
function reason([english, translation]) {
  const pattern = english.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{(\w+)\}/g, "(?<$1>.*?)");
  return [new RegExp(`^${pattern}$`, "s"), translation];
}

/** One of nozzled's messages in the user's language, or unchanged if there is no translation. @param {unknown} text */
export function why(text) {
  const message = String(text ?? "");
  for (const [pattern, translation] of reasons.value) {
    const match = pattern.exec(message);
    if (match) return translation.replace(/\{(\w+)\}/g, (_, key) => match.groups?.[key] ?? "");
  }
  return message;
}

/**
 * Text from a printer, a file or an app: cut to a length, and without control characters or marks that reverse its direction.
 * @param {unknown} text
 */
export function short(text, most = 300) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are to be removed
  const clean = String(text ?? "").replace(/[\u0000-\u0008\u000b-\u001f\u007f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
  return clean.length > most ? `${clean.slice(0, most - 1)}…` : clean;
}

/** As `t`, with a count: `name_1` is the text for one. @param {string} name @param {number} count @param {Record<string, unknown>} [values] */
export function tn(name, count, values = {}) {
  return t(count === 1 ? `${name}_1` : name, {n: number(count), ...values});
}

/** @param {number} value @param {number} digits */
export function number(value, digits = 0) {
  return formatter("NumberFormat", {minimumFractionDigits: digits, maximumFractionDigits: digits}).format(value);
}

/** A reason as a whole sentence: capitalised, but for the name of a setting, with a full stop. @param {unknown} reason */
export function sentence(reason) {
  const text = why(reason).slice(0, 300);
  return text && `${/^\w+[._]\w/.test(text) ? text[0] : text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

/** `1 h 20 min`; below 100 s in seconds. @param {number} seconds */
export function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  if (seconds < 100) return `${Math.max(0, Math.round(seconds))}\u00a0s`;
  if (minutes < 60) return `${minutes}\u00a0min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours}\u00a0h\u00a0${minutes % 60}\u00a0min` : `${hours}\u00a0h`;
  return `${Math.floor(hours / 24)}\u00a0d\u00a0${hours % 24}\u00a0h`;
}

/** `17:42`, with the day if it is not today; a dash for what no calendar has. @param {number} seconds Unix time */
export function clock(seconds) {
  const at = new Date(seconds * 1000);
  if (Number.isNaN(at.getTime())) return "–";
  const today = at.toDateString() === new Date().toDateString();
  const near = Math.abs(at.getTime() - Date.now()) < 6 * 86400e3;
  /** @type {Intl.DateTimeFormatOptions} */
  const day = today ? {} : near ? {weekday: "short"} : {day: "numeric", month: "short", year: "numeric"};
  return formatter("DateTimeFormat", {hour: "2-digit", minute: "2-digit", ...day}).format(at);
}

/** A number as the user would type it: `0,4` in German; empty for anything else. @param {unknown} value */
export function plain(value) {
  return typeof value === "number" ? String(value).replace(".", number(0.1, 1)[1]) : "";
}

/** `November 2026` @param {number} year @param {number} month 1 to 12 */
export function monthOf(year, month) {
  return formatter("DateTimeFormat", {month: "long", year: "numeric"}).format(new Date(year, month - 1, 15));
}

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1e3) return `${bytes}\u00a0B`;
  for (const [unit, one] of /** @type {[string, number][]} */ ([["kB", 1e3], ["MB", 1e6], ["GB", 1e9]])) {
    if (bytes < one * 1e3 || unit === "GB") return `${number(bytes / one, bytes / one < 10 ? 1 : 0)}\u00a0${unit}`;
  }
  return "";
}

/** The number that a user typed, with point or comma; NaN if it is none. @param {string} text */
export function typed(text) {
  const clean = text.trim().replace(",", ".");
  return /^-?\d+(\.\d+)?$|^-?\.\d+$/.test(clean) ? Number(clean) : NaN;
}
