/** The printer's state in words, and what may be done in it. */

import {computed} from "./html.mjs";
import {analysis, clockOffset, isAdmin, isGone, isStale, job, me, net, now, printer} from "./store.mjs";
import {clock, duration, number, t} from "./words.mjs";

const ICONS = {offline: "offline", opening: "busy", handshaking: "busy", ready: "ready", fault: "fault"};
const ACTIVE = {starting: "busy", printing: "printing", pausing: "busy", paused: "paused", resuming: "busy",
  finishing: "busy", cancelling: "busy", reattaching: "busy"};

const ENDS = 60; // s before the end of a print from which its nozzle may be cold

/** The printer is gone, or says nothing, in the middle of a print, which waits for it and has not ended. */
export const waitsForPrinter = computed(() => Boolean(job.value.active) && !isGone.value && !printer.value.stop && ["fault", "offline", "opening", "handshaking"].includes(printer.value.state));
/** It is there, but does not answer. */
export const isSilent = computed(() => ["opening", "handshaking"].includes(printer.value.state));

/** Why the firmware has stopped itself, as long as nobody has said to have seen it: the line may be back by now. */
export const halted = computed(() => (isGone.value ? null : printer.value.fault ?? null));

/** A print lays filament, and its nozzle is to be cold: it goes on in the air. At the end of a file that is as it should be. */
export const printsCold = computed(() => {
  const {state: key, progress} = job.value;
  if (!isActive.value || key !== "printing" || !(progress?.layer > 0) || !(progress.left > ENDS)) return false;
  return printer.value.heaters?.[`tool${printer.value.tool ?? 0}`]?.target === 0;
});

/** What is going on: `key` names it, `word` says it, `icon` and `tone` show it. */
export const state = computed(() => {
  if (net.value.state === "boot") return {key: "boot", word: t("state_boot"), icon: "busy", tone: "dim"};
  if (isGone.value) return {key: "unknown", word: t("state_unknown"), icon: "offline", tone: "bad"};
  const {state: line, text} = printer.value;
  if (line === "ready" && job.value.active && job.value.state in ACTIVE) {
    const key = /** @type {keyof typeof ACTIVE} */ (job.value.state);
    const tone = key === "paused" ? "warn" : "good";
    return {key, word: t(`job_${key}`), icon: ACTIVE[key], tone};
  }
  if (line === "ready" && /SD/.test(text)) return {key: "sd", word: t("state_sd"), icon: "printing", tone: "good"};
  if (waitsForPrinter.value) return {key: "away", word: t(isSilent.value ? "state_handshaking" : "state_away"), icon: "busy", tone: "warn"};
  if (line === "ready" && halted.value) return {key: "ready", word: t("state_after_fault"), icon: "fault", tone: "warn"};
  if (line in ICONS) {
    const key = /** @type {keyof typeof ICONS} */ (line);
    if (key === "fault" && printer.value.stop) return {key, word: t("state_stopped"), icon: "fault", tone: "bad"};
    const tone = key === "fault" ? "bad" : key === "ready" ? "good" : "dim";
    return {key, word: t(`state_${key}`), icon: ICONS[key], tone};
  }
  return {key: "unknown", word: t("state_unknown"), icon: "offline", tone: "dim"};
});

/** A print is going on, be it paused. */
export const isActive = computed(() => Boolean(job.value.active) && !isGone.value);
/** Commands are kept from the printer, as a print is using it. */
export const isPrinting = computed(() => isActive.value && job.value.state !== "paused");

/** Tells whether it is still the print of now that goes on. @returns {() => boolean} */
export function thisPrint() {
  const which = () => `${job.value.id} ${job.value.file?.path}`;
  const known = which();
  return () => isActive.value && which() === known;
}
/** Nothing is being printed. */
export const isIdle = () => !isActive.value;

/** Why this browser may change nothing; empty: it may. */
export const whyRead = computed(() => (me.value.name && !me.value.control && !isAdmin.value ? t("why_read") : ""));

/** Why the printer takes no command now; empty: it does. */
export const whyNoPrinter = computed(() => {
  if (net.value.state !== "live") return t("why_no_link");
  if (whyRead.value) return whyRead.value;
  if (printer.value.state !== "ready") return t("why_no_printer");
  return "";
});
/** Why it cannot be moved now. */
export const whyNoMove = computed(() => whyNoPrinter.value || (isPrinting.value ? t("why_printing") : ""));

/** @param {string} name */
export function heaterName(name) {
  if (name === "tool0") return Object.keys(printer.value.heaters ?? {}).includes("tool1") ? `${t("nozzle")} 1` : t("nozzle");
  const tool = /^tool(\d+)$/.exec(name);
  if (tool) return `${t("nozzle")} ${Number(tool[1]) + 1}`;
  return name === "bed" || name === "chamber" ? t(name) : name;
}

/** Where a heater stands among others: nozzles first, then bed, chamber and the rest. @param {string} name */
export function place(name) {
  const tool = /^tool(\d+)$/.exec(name);
  return tool ? Number(tool[1]) : name === "bed" ? 100 : name === "chamber" ? 101 : 102;
}

/** The heaters that a person cares for, nozzles first. */
export const heaters = computed(() => {
  const all = Object.entries(printer.value.heaters ?? {}).filter(([, each]) => each).sort(([a], [b]) => place(a) - place(b));
  const unknown = {actual: null, target: null};
  return all.length ? all : /** @type {typeof all} */ ([["tool0", unknown], ["bed", unknown]]);
});

/** `215 °C`, or a dash where nobody knows. @param {number|null|undefined} value */
export function degrees(value) {
  return typeof value === "number" && !isGone.value ? `${Math.round(value)} °C` : "–";
}
/** `→ 215`, or off. @param {number|null|undefined} value */
export function target(value) {
  if (typeof value !== "number" || isGone.value) return "";
  return value > 0 ? `→ ${Math.round(value)}` : t("off");
}

const OLD = 10; // s after which temperatures are old, unless the printer is asked as seldom

/** Seconds since the printer has told temperatures; 0: it does. */
export const heatAge = computed(() => {
  const {heatersAt: at, heatersEvery} = printer.value;
  void now.value; // it grows with the time
  const since = typeof at === "number" && !isGone.value ? Math.floor(Date.now() / 1000 + clockOffset.value - at) : 0;
  return since > Math.max(OLD, 2 * (heatersEvery ?? 0)) ? since : 0;
});

/** How much of the print is done, by time: 0 to 100, null where nobody knows. */
export const percent = computed(() => {
  const {timeShare, completion} = job.value.progress ?? {};
  const share = typeof timeShare === "number" ? 100 * timeShare : completion;
  return typeof share === "number" ? Math.min(100, Math.max(0, share)) : null;
});

/** About how much of its filament a print has used: by its time, and by weight where the slicer has told that. */
export const material = computed(() => {
  const tools = /** @type {any[]} */ (Object.values(analysis.value?.filament ?? {}));
  const sum = (/** @type {string} */ name) => tools.reduce((all, each) => all + (each?.[name] ?? 0), 0);
  const share = (percent.value ?? 0) / 100;
  const [grams, mm] = [sum("weight"), sum("length")];
  if (grams) return t("material_g", {used: number(share * grams), all: number(grams)});
  return mm ? t("material_m", {used: number((share * mm) / 1000, 1), all: number(mm / 1000, 1)}) : "";
});

/** `1 h 20 min left, done 17:42`, or why that cannot be said yet. */
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
