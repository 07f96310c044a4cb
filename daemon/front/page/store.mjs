/**
 * What the page knows, and how old it is. `link.mjs` writes it, the views read it.
 *
 * @typedef {{actual: number|null, target: number|null}} Heater
 * @typedef {{state: string, text: string, error: string|null, address: string|null, baudrate: number|null,
 *   firmware: string|null, heaters: Record<string, Heater>, position: Record<string, number>|null, homed: unknown,
 *   tool: number|null, fan: number|null, feed: number|null, flow: number|null,
 *   message: {text: string, at: number}|null, prompt: {text: string, choices: string[]}|null, trouble: string|null,
 *   protection: {after: number|null, reason: string|null}|null, stop: string|null,
 *   heatersAt: number|null, heatersEvery: number|null, fault: {at: number, text: string, kind: string|null}|null}} Printer
 */

import {batch, computed, signal} from "./html.mjs";
import {short} from "./words.mjs";

export {short};

/** Seconds without a message after which the page marks its values as old. */
export const STALE = 5;
/** Seconds without a connection after which the page says so. */
export const GRACE = 2;

const NO_PRINTER = {state: "unknown", text: "", error: null, heaters: {}, position: null, message: null, prompt: null};
const NO_JOB = {state: null, active: false, file: null, progress: {}, refused: null, last: null};

/** @type {import("./vendor/signals-core.mjs").Signal<Record<string, any>>} */
export const sections = signal({});
export const printer = computed(() => /** @type {Printer} */ (sections.value.printer ?? NO_PRINTER));
export const job = computed(() => sections.value.job ?? NO_JOB);
export const server = computed(() => sections.value.server ?? {});
export const profile = computed(() => sections.value.profile ?? {});
export const connectionFigures = computed(() => sections.value.link ?? null);
export const analysis = computed(() => sections.value.analysis ?? null);
export const thumbnail = computed(() => sections.value.thumbnail ?? null);
export const toolpath = computed(() => sections.value.toolpath ?? null);

/** Whose key this browser has, and what it allows. */
export const me = signal({name: "", admin: false, control: false});

/** This browser's temporary key of scope admin, in memory only. `until` as performance.now(). */
export const adminKey = signal({key: "", until: 0});
/** Whether this browser has an admin's rights: by its own key, or by a temporary one. */
export const isAdmin = computed(() => me.value.admin || (adminKey.value.key !== "" && now.value < adminKey.value.until));

/** The connection to nozzled: boot, nokey, live, lost or refused; `since` and `retryAt` as performance.now(). */
export const net = signal({state: "boot", since: performance.now(), retryAt: 0, reason: ""});
/** When the last message came, as performance.now(); 0: never. */
export const heardAt = signal(0);
/** Ticks twice a second while the page is visible. */
export const now = signal(performance.now());
/** Seconds by which the server's clock is ahead of this browser's. */
export const clockOffset = signal(0);
/** The server's version if it serves another page than the one that is open here; empty: it is the same. */
export const newVersion = signal("");

/** Whole seconds since the last message; null: there was none. */
export const age = computed(() => (heardAt.value ? Math.max(0, Math.floor((now.value - heardAt.value) / 1000)) : null));
export const isStale = computed(() => age.value === null || age.value >= STALE);
/** Whether the connection has been lost for so long that the old values are not shown. */
export const isGone = computed(() => net.value.state !== "live" && isStale.value);
export const isReady = computed(() => printer.value.state === "ready");

/** Whether the setup is shown: no printer was known, and the setup has not been closed since. */
export const isNew = signal(false);

/** Counts the changes to the files, so that views reload their lists. */
export const filesChanged = signal(0);
/** Devices and apps that ask for access, by token; the server sends them to admins only. */
export const accessRequests = signal(/** @type {Record<string, any>} */ ({}));

/** @param {{plugin: string, data: any}} message Of a plug-in: only requests for access are of interest here. */
export function applyPluginMessage({plugin, data}) {
  if (plugin !== "appkeys" || !data) return;
  const {[data.user_token]: gone, ...rest} = accessRequests.value;
  void gone;
  accessRequests.value = data.type === "request_access" ? {...rest, [data.user_token]: {app_id: data.app_name, ...data}} : rest;
}

export const MAX_LINES = 1000;
/**
 * The last lines of the dialogue with the printer, newest at the end.
 * @type {import("./vendor/signals-core.mjs").Signal<{id: number, way: string, text: string}[]>}
 */
export const lines = signal([]);
let lineId = 0;

export const MAX_POINTS = 1800;
const MIN_STEP = 0.9; // s between two points
/**
 * Temperatures of the last half hour, oldest first: [seconds by our clock, {tool0: [actual, target], …}].
 * @type {import("./vendor/signals-core.mjs").Signal<[number, Record<string, [number|null, number|null]>][]>}
 */
export const temperatures = signal([]);

/** @param {Record<string, any>} all A snapshot, which replaces everything. */
export function applySnapshot(all) {
  const [old, fresh] = [sections.value.server?.page, all.server?.page];
  if (old && fresh && old !== fresh) newVersion.value = all.server.version ?? "";
  batch(() => {
    sections.value = all;
    recordTemperatures();
  });
}

/** @param {Record<string, unknown>} set Changes by "section.key"; a name without a dot replaces a whole section. */
export function applyChanges(set) {
  const next = {...sections.value};
  for (const [path, value] of Object.entries(set)) {
    const dot = path.indexOf(".");
    if (dot < 0) next[path] = value;
    else {
      const section = path.slice(0, dot);
      next[section] = {...next[section], [path.slice(dot + 1)]: value};
    }
  }
  batch(() => {
    sections.value = next;
    if ("printer.heaters" in set || "printer" in set) recordTemperatures();
  });
}

function recordTemperatures() {
  const heaters = printer.value.heaters ?? {};
  const row = /** @type {Record<string, [number|null, number|null]>} */ ({});
  for (const [name, each] of Object.entries(heaters)) {
    if (each && typeof each.actual === "number") row[name] = [each.actual, each.target ?? null];
  }
  const point = /** @type {[number, typeof row]} */ ([Date.now() / 1000, row]);
  const last = temperatures.value.at(-1)?.[0] ?? 0;
  if (Object.keys(row).length && point[0] > last + MIN_STEP) temperatures.value = [...temperatures.value, point].slice(-MAX_POINTS);
}

/**
 * Put points of the server between ours: after `since`, in seconds by our clock, and before our next point.
 * @param {[number, Record<string, [number|null, number|null]>][]} points @param {number} since
 */
export function insertHistory(points, since) {
  const before = temperatures.value.filter(([at]) => at <= since);
  const after = temperatures.value.slice(before.length);
  const end = after[0]?.[0] ?? Infinity;
  temperatures.value = [...before, ...points.filter(([at]) => at > since && at < end), ...after].slice(-MAX_POINTS);
}

/** @param {{lines?: unknown[], dropped?: number}} dialogue Lines as [way, time, text]; `dropped`: how many before them were lost. */
export function addConsoleLines(dialogue) {
  const fresh = /** @type {{id: number, way: string, text: string}[]} */ ([]);
  if (dialogue.dropped) fresh.push({id: ++lineId, way: "gap", text: String(dialogue.dropped)});
  for (const each of dialogue.lines ?? []) {
    const [way, , text] = Array.isArray(each) ? each : ["", 0, String(each)];
    fresh.push({id: ++lineId, way: String(way), text: short(text, 400)});
  }
  if (fresh.length) lines.value = [...lines.value, ...fresh].slice(-MAX_LINES);
}

let ticking = 0;
export function tick() {
  now.value = performance.now();
}
export function keepTicking() {
  clearInterval(ticking);
  ticking = document.hidden ? 0 : setInterval(tick, 500);
  tick();
}
