/** Texts in the language of this browser, and numbers, durations and times as people write them there. */

import {signal} from "./html.mjs";
import {texts as english} from "./texts.mjs";

/** The locale of this browser, where it is one of the language: it knows how times are written there. */
function locale() {
  return navigator.languages.find(each => each.startsWith(language.value)) ?? language.value;
}

/** By locale and form: to make one takes ms, to use it takes none. @type {Map<string, any>} */
const formatters = new Map();

/** @param {"NumberFormat"|"DateTimeFormat"} kind @param {any} form */
function formatter(kind, form) {
  const name = `${locale()} ${JSON.stringify(form)}`;
  if (!formatters.has(name)) formatters.set(name, new (/** @type {any} */ (Intl[kind]))(locale(), form));
  return formatters.get(name);
}

/** Languages besides English, by the modules of the first view's words, of all others, and of what nozzled itself says. */
const OTHERS = {de: ["./texts_de.mjs", "./texts_more_de.mjs", "./reasons_de.mjs"]};
const MORE = "./texts_more.mjs";
export const LANGUAGES = {en: "English", de: "Deutsch"};

/** @type {import("./vendor/signals-core.mjs").Signal<Record<string, string>>} */
const texts = signal(english);
export const language = signal("en");

let wantsMore = false;
/** @type {Promise<void>|null} */
let coming = null;

/** @param {string} wanted A code like `de`; what is not there is English. */
export async function speak(wanted) {
  const code = wanted.slice(0, 2).toLowerCase();
  const [first, rest, whys] = OTHERS[/** @type {keyof typeof OTHERS} */ (code)] ?? [];
  const [known, ...modules] = await Promise.all([whys, wantsMore && MORE, first, wantsMore && rest].map(name => name && import(name)));
  reasons.value = (known?.reasons ?? []).map(reason);
  texts.value = Object.assign({}, english, ...modules.map(module => module?.texts));
  language.value = first ? code : "en";
  document.documentElement.lang = language.value;
}

/** Have the words of what comes after the first view, too. */
export function more() {
  wantsMore = true;
  coming ??= speak(language.value);
  coming.catch(() => (coming = null)); // it is tried again with the next view
  return coming;
}

/**
 * The text of this name; `{thing}` in it is replaced. The result is plain text, whatever is put in.
 * @param {string} name @param {Record<string, unknown>} [things]
 */
export function t(name, things = {}) {
  const text = texts.value[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (whole, thing) => (thing in things ? String(things[thing]) : whole));
}

/** @type {import("./vendor/signals-core.mjs").Signal<[RegExp, string][]>} */
const reasons = signal([]);

/** A sentence of nozzled's as a pattern, and what it is in another language. @param {[string, string]} pair @returns {[RegExp, string]} */
function reason([said, other]) {
  const pattern = said.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{(\w+)\}/g, "(?<$1>.*?)");
  return [new RegExp(`^${pattern}$`, "s"), other];
}

/** What nozzled says of why, in the language of this browser where its words are known; else as it is. @param {unknown} text */
export function why(text) {
  const said = String(text ?? "");
  for (const [pattern, other] of reasons.value) {
    const found = pattern.exec(said);
    if (found) return other.replace(/\{(\w+)\}/g, (_, thing) => found.groups?.[thing] ?? "");
  }
  return said;
}

/**
 * Text of a printer, a file or an app, no longer than this and without what could turn it around.
 * @param {unknown} text
 */
export function short(text, most = 300) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what has to go
  const clean = String(text ?? "").replace(/[\u0000-\u0008\u000b-\u001f\u007f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
  return clean.length > most ? `${clean.slice(0, most - 1)}…` : clean;
}

/** As `t`, by number: `name_1` for one. @param {string} name @param {number} count @param {Record<string, unknown>} [things] */
export function tn(name, count, things = {}) {
  return t(count === 1 ? `${name}_1` : name, {n: number(count), ...things});
}

/** @param {number} value @param {number} digits */
export function number(value, digits = 0) {
  return formatter("NumberFormat", {minimumFractionDigits: digits, maximumFractionDigits: digits}).format(value);
}

/** A reason as a sentence of its own. @param {unknown} reason */
export function sentence(reason) {
  const text = why(reason).slice(0, 300);
  return text && `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

/** `1 h 20 min`; `90 s` where a minute more or less matters. @param {number} seconds */
export function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  if (seconds < 100) return `${Math.max(0, Math.round(seconds))}\u00a0s`;
  if (minutes < 60) return `${minutes}\u00a0min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours}\u00a0h\u00a0${minutes % 60}\u00a0min` : `${hours}\u00a0h`;
  return `${Math.floor(hours / 24)}\u00a0d\u00a0${hours % 24}\u00a0h`;
}

/** `17:42`, with the day where it is not today. @param {number} seconds since 1970 */
export function clock(seconds) {
  const at = new Date(seconds * 1000);
  const today = at.toDateString() === new Date().toDateString();
  const near = Math.abs(at.getTime() - Date.now()) < 6 * 86400e3;
  /** @type {Intl.DateTimeFormatOptions} */
  const day = today ? {} : near ? {weekday: "short"} : {day: "numeric", month: "short", year: "numeric"};
  return formatter("DateTimeFormat", {hour: "2-digit", minute: "2-digit", ...day}).format(at);
}

/** A number as somebody types it there: `0,4`, and nothing where there is none. @param {unknown} value */
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

/** A number that somebody has typed, with point or comma; NaN where it is none. @param {string} text */
export function typed(text) {
  const clean = text.trim().replace(",", ".");
  return /^-?\d+(\.\d+)?$|^-?\.\d+$/.test(clean) ? Number(clean) : NaN;
}
