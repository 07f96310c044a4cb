/** The printer's state in words, and what may be done in it. */

import {computed} from "./html.mjs";
import {analysis, clockOffset, isAdmin, isGone, isStale, job, me, net, now, printer} from "./store.mjs";
import {clock, duration, number, t} from "./words.mjs";

const ICONS = {offline: "offline", opening: "busy", handshaking: "busy", ready: "ready", fault: "fault"};
const ACTIVE = {starting: "busy", printing: "printing", pausing: "busy", paused: "paused", resuming: "busy",
  finishing: "busy", cancelling: "busy", reattaching: "busy"};

const COLD_END = 60; // s before the end of a print in which its nozzle may be cold

/** Whether a print waits for its printer, which is disconnected or does not answer. */
export const waitsForPrinter = computed(() => Boolean(job.value.active) && !isGone.value && !printer.value.stop && ["fault", "offline", "opening", "handshaking"].includes(printer.value.state));
/** Whether the printer is connected but does not answer. */
export const isSilent = computed(() => ["opening", "handshaking"].includes(printer.value.state));

/** Why the firmware halted, until a user confirms having checked the printer; the connection may be back by then. */
export const halted = computed(() => (isGone.value ? null : printer.value.fault ?? null));

/** The name of the heater of the tool in use; tools that share a nozzle have only the heater `tool0`. */
export const heaterInUse = computed(() => {
  const name = `tool${printer.value.tool ?? 0}`;
  return printer.value.heaters?.[name] ? name : "tool0";
});

/** Whether a print continues while its nozzle is off, so that it extrudes nothing. At the end of a file that is normal. */
export const printsCold = computed(() => {
  const {state: key, progress} = job.value;
  if (!isActive.value || key !== "printing" || !(progress?.layer > 0) || !(progress.left > COLD_END)) return false;
  return printer.value.heaters?.[heaterInUse.value]?.target === 0;
});

/** What the printer is doing: `key` for code, `word` for users, `icon` and `tone` for the appearance. */
export const state = computed(() => {
  if (net.value.state === "boot") return {key: "boot", word: t("state_boot"), icon: "busy", tone: "dim"};
  if (isGone.value) return {key: "unknown", word: t("state_unknown"), icon: "offline", tone: "bad"};
  const {state: connection, text} = printer.value;
  if (connection === "ready" && job.value.active && job.value.state in ACTIVE) {
    const key = /** @type {keyof typeof ACTIVE} */ (job.value.state);
    const tone = key === "paused" ? "warn" : "good";
    return {key, word: t(`job_${key}`), icon: ACTIVE[key], tone};
  }
  if (connection === "ready" && /SD/.test(text)) return {key: "sd", word: t("state_sd"), icon: "printing", tone: "good"};
  if (waitsForPrinter.value) return {key: "away", word: t(isSilent.value ? "state_handshaking" : "state_away"), icon: "busy", tone: "warn"};
  if (connection === "ready" && halted.value) return {key: "ready", word: t("state_after_fault"), icon: "fault", tone: "warn"};
  if (connection in ICONS) {
    const key = /** @type {keyof typeof ICONS} */ (connection);
    if (key === "fault" && printer.value.stop) return {key, word: t("state_stopped"), icon: "fault", tone: "bad"};
    const tone = key === "fault" ? "bad" : key === "ready" ? "good" : "dim";
    return {key, word: t(`state_${key}`), icon: ICONS[key], tone};
  }
  return {key: "unknown", word: t("state_unknown"), icon: "offline", tone: "dim"};
});

/** Whether a print is in progress, paused or not. */
export const isActive = computed(() => Boolean(job.value.active) && !isGone.value);
/** Whether a print is in progress and not paused, so that the axes cannot be moved. */
export const isPrinting = computed(() => isActive.value && job.value.state !== "paused");

/** A predicate: whether the print that is in progress now still is. @returns {() => boolean} */
export function thisPrint() {
  const which = () => `${job.value.id} ${job.value.file?.path}`;
  const before = which();
  return () => isActive.value && which() === before;
}
/** Whether nothing is being printed. */
export const isIdle = () => !isActive.value;

/** Why this browser may not change anything; empty: it may. */
export const whyReadOnly = computed(() => (me.value.name && !me.value.control && !isAdmin.value ? t("why_read") : ""));

/** Why the printer cannot take commands now; empty: it can. */
export const whyNoPrinter = computed(() => {
  if (net.value.state !== "live") return t("why_no_link");
  if (whyReadOnly.value) return whyReadOnly.value;
  if (printer.value.state !== "ready") return t("why_no_printer");
  return "";
});
/** Why the axes cannot be moved now; empty: they can. */
export const whyNoMove = computed(() => whyNoPrinter.value || (isPrinting.value ? t("why_printing") : ""));

/** @param {string} name */
export function heaterName(name) {
  if (name === "tool0") return Object.keys(printer.value.heaters ?? {}).includes("tool1") ? `${t("nozzle")} 1` : t("nozzle");
  const tool = /^tool(\d+)$/.exec(name);
  if (tool) return `${t("nozzle")} ${Number(tool[1]) + 1}`;
  return name === "bed" || name === "chamber" ? t(name) : name;
}

/** The rank of a heater in lists: nozzles first, then bed, chamber and the rest. @param {string} name */
export function heaterRank(name) {
  const tool = /^tool(\d+)$/.exec(name);
  return tool ? Number(tool[1]) : name === "bed" ? 100 : name === "chamber" ? 101 : 102;
}

/** The heaters in the order in which they are shown; nozzle and bed while none is known. */
export const heaters = computed(() => {
  const all = Object.entries(printer.value.heaters ?? {}).filter(([, each]) => each).sort(([a], [b]) => heaterRank(a) - heaterRank(b));
  const unknown = {actual: null, target: null};
  return all.length ? all : /** @type {typeof all} */ ([["tool0", unknown], ["bed", unknown]]);
});

/** `215 °C`, or a dash for an unknown value. @param {number|null|undefined} value */
export function degrees(value) {
  return typeof value === "number" && !isGone.value ? `${Math.round(value)} °C` : "–";
}
/** `→ 215`, or off. @param {number|null|undefined} value */
export function target(value) {
  if (typeof value !== "number" || isGone.value) return "";
  return value > 0 ? `→ ${Math.round(value)}` : t("off");
}

const MAX_TEMPERATURE_AGE = 10; // s after which temperatures are old, unless the printer is polled less often

/** Seconds since the printer last reported temperatures; 0: they are fresh. */
export const heatAge = computed(() => {
  const {heatersAt: at, heatersEvery} = printer.value;
  void now.value; // recomputed as time passes
  const since = typeof at === "number" && !isGone.value ? Math.floor(Date.now() / 1000 + clockOffset.value - at) : 0;
  return since > Math.max(MAX_TEMPERATURE_AGE, 2 * (heatersEvery ?? 0)) ? since : 0;
});

/** How much of the print is done, by time: 0 to 100; null: unknown. */
export const percent = computed(() => {
  const {timeShare, completion} = job.value.progress ?? {};
  const share = typeof timeShare === "number" ? 100 * timeShare : completion;
  return typeof share === "number" ? Math.min(100, Math.max(0, share)) : null;
});

/** About how much filament the print has used, estimated from its time: in g if the slicer says what it weighs, else in m. */
export const material = computed(() => {
  const tools = /** @type {any[]} */ (Object.values(analysis.value?.filament ?? {}));
  const sum = (/** @type {string} */ name) => tools.reduce((all, each) => all + (each?.[name] ?? 0), 0);
  const share = (percent.value ?? 0) / 100;
  const [grams, mm] = [sum("weight"), sum("length")];
  if (grams) return t("material_g", {used: number(share * grams), all: number(grams)});
  return mm ? t("material_m", {used: number((share * mm) / 1000, 1), all: number(mm / 1000, 1)}) : "";
});

/** `1 h 20 min left, done 17:42`, or what is shown instead while that is unknown. */
export const ending = computed(() => {
  const {state: key, progress} = job.value;
  if (!isActive.value) return "";
  if (key === "starting") return t("left_heating");
  if (key === "finishing" || (key === "printing" && typeof progress?.left === "number" && progress.left < 1)) return t("left_finishing");
  if (typeof progress?.left !== "number" || (percent.value ?? 0) < 1) {
    const {duration: planned} = analysis.value ?? {};
    return planned ? t("left_planned", {time: duration(planned)}) : t("left_unknown");
  }
  const left = duration(progress.left);
  if (key !== "printing" || isStale.value) return t("left_only", {left});
  return t("left_done", {left, clock: clock(Date.now() / 1000 + progress.left)});
});
