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

/** Seconds after which what is shown is called old; after which a missing connection is; after which it is let go. */
export const STALE = 5;
export const GRACE = 2;

const NO_PRINTER = {state: "unknown", text: "", error: null, heaters: {}, position: null, message: null, prompt: null};
const NO_JOB = {state: null, active: false, file: null, progress: {}, refused: null, last: null};

/** @type {import("./vendor/signals-core.mjs").Signal<Record<string, any>>} */
export const sections = signal({});
export const printer = computed(() => /** @type {Printer} */ (sections.value.printer ?? NO_PRINTER));
export const job = computed(() => sections.value.job ?? NO_JOB);
export const server = computed(() => sections.value.server ?? {});
export const profile = computed(() => sections.value.profile ?? {});
export const lineFigures = computed(() => sections.value.link ?? null);
export const analysis = computed(() => sections.value.analysis ?? null);
export const thumbnail = computed(() => sections.value.thumbnail ?? null);
export const toolpath = computed(() => sections.value.toolpath ?? null);

/** Who this browser is, by the login: name, admin, may control. */
export const me = signal({name: "", admin: false, control: false});

/** A key that may do what an admin may, for a while; in memory alone. `until` by performance.now(). */
export const raised = signal({key: "", until: 0});
/** This browser may do what an admin may: by its key, or as somebody has just shown an admin's. */
export const isAdmin = computed(() => me.value.admin || (raised.value.key !== "" && now.value < raised.value.until));

/** The connection to nozzled: boot, nokey, live, lost, refused, wait. */
export const net = signal({state: "boot", since: performance.now(), retryAt: 0, reason: ""});
/** When anything was heard last, by performance.now(); 0: never. */
export const heard = signal(0);
/** Ticks twice a second while the page is seen. */
export const now = signal(performance.now());
/** Seconds that the server's clock is before ours. */
export const clockOffset = signal(0);
/** The version of a server whose page is not the one that runs here any more; empty: it is. */
export const updated = signal("");

/** Whole seconds since anything was heard. */
export const age = computed(() => (heard.value ? Math.max(0, Math.floor((now.value - heard.value) / 1000)) : null));
export const isStale = computed(() => age.value === null || age.value >= STALE);
/** Nothing is known any more: the connection is gone, and has been for a while. */
export const isGone = computed(() => net.value.state !== "live" && isStale.value);
export const isReady = computed(() => printer.value.state === "ready");

/** Nobody has named a printer yet, or the walk through that has not been closed. */
export const isNew = signal(false);

/** Counts how often files have come, gone or been moved. */
export const filesChanged = signal(0);
/** Apps that ask to be let in, by token; only who may decide is told of them. */
export const asking = signal(/** @type {Record<string, any>} */ ({}));

/** @param {{plugin: string, data: any}} notice */
export function takeNotice({plugin, data}) {
  if (plugin !== "appkeys" || !data) return;
  const {[data.user_token]: gone, ...rest} = asking.value;
  void gone;
  asking.value = data.type === "request_access" ? {...rest, [data.user_token]: {app_id: data.app_name, ...data}} : rest;
}

/** Console: the last lines, newest at the end, and how many were ever added. */
export const LINES = 1000;
/** @type {import("./vendor/signals-core.mjs").Signal<{id: number, way: string, text: string}[]>} */
export const lines = signal([]);
let lineId = 0;

/** Temperatures of the last half hour, oldest first: [seconds by our clock, {tool0: [actual, target], …}]. */
export const POINTS = 1800;
/** @type {import("./vendor/signals-core.mjs").Signal<[number, Record<string, [number|null, number|null]>][]>} */
export const temperatures = signal([]);

/** @param {Record<string, any>} all A snapshot: it replaces everything. */
export function takeAll(all) {
  const [old, fresh] = [sections.value.server?.page, all.server?.page];
  if (old && fresh && old !== fresh) updated.value = all.server.version ?? "";
  batch(() => {
    sections.value = all;
    notePoint();
  });
}

/** @param {Record<string, unknown>} set Changes by "section.key"; a key alone is a whole section. */
export function takeChanges(set) {
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
    if ("printer.heaters" in set || "printer" in set) notePoint();
  });
}

function notePoint() {
  const heaters = printer.value.heaters ?? {};
  const row = /** @type {Record<string, [number|null, number|null]>} */ ({});
  for (const [name, each] of Object.entries(heaters)) {
    if (each && typeof each.actual === "number") row[name] = [each.actual, each.target ?? null];
  }
  if (Object.keys(row).length) addPoints([[Date.now() / 1000, row]]);
}

/** @param {[number, Record<string, [number|null, number|null]>][]} points */
export function addPoints(points) {
  const last = temperatures.value.at(-1)?.[0] ?? 0;
  const fresh = points.filter(([at], index) => at > last + 0.9 || (index === points.length - 1 && at > last + 0.9));
  if (fresh.length) temperatures.value = [...temperatures.value, ...fresh].slice(-POINTS);
}

/** @param {[number, Record<string, [number|null, number|null]>][]} points What the server has kept, before ours. */
export function setHistory(points) {
  const first = temperatures.value[0]?.[0] ?? Infinity;
  temperatures.value = [...points.filter(([at]) => at < first), ...temperatures.value].slice(-POINTS);
}

/** @param {{lines?: unknown[], dropped?: number}} talk */
export function takeTalk(talk) {
  const fresh = /** @type {{id: number, way: string, text: string}[]} */ ([]);
  if (talk.dropped) fresh.push({id: ++lineId, way: "gap", text: String(talk.dropped)});
  for (const each of talk.lines ?? []) {
    const [way, , text] = Array.isArray(each) ? each : ["", 0, String(each)];
    fresh.push({id: ++lineId, way: String(way), text: short(text, 400)});
  }
  if (fresh.length) lines.value = [...lines.value, ...fresh].slice(-LINES);
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
