/** What the page knows of the farm, and how old it is. `link.mjs` writes it, the views read it. */

import {batch, computed, signal} from "./html.mjs";
import {kindOf, KINDS} from "./kinds.mjs";

/** Seconds without an event after which the page calls its data old. */
export const STALE = 6;
/** Seconds without a connection after which the page says so. */
export const GRACE = 2;

/** The connection: boot, nokey, live, lost or refused; `since` and `retryAt` as performance.now(). */
export const net = signal({state: "boot", since: performance.now(), retryAt: 0, reason: ""});
/** When the last data came, as performance.now(); 0: never. */
export const heardAt = signal(0);
/** Ticks each second while the page is visible. */
export const now = signal(performance.now());
/** For `api.mjs`: on a printer's page, by how many seconds the server's clock is ahead. The farm's server does not say. */
export const clockOffset = signal(0);
/** For `api.mjs`: on a printer's page, a temporary admin's key. The farm has none. */
export const adminKey = signal({key: "", until: 0});
/** Whose key this browser has, and its scope. */
export const me = signal({name: "", scope: ""});

export const age = computed(() => (heardAt.value ? Math.max(0, Math.floor((now.value - heardAt.value) / 1000)) : null));
export const isStale = computed(() => age.value === null || age.value >= STALE);

/** The farm's name, the server's version, and why printers get no new jobs (empty: they can get some). */
export const farm = signal({name: "", version: "", trouble: ""});

/** One signal for each printer, so that only the card of a printer that has changed is drawn again. */
const printers = /** @type {Map<string, import("./vendor/signals-core.mjs").Signal<import("./kinds.mjs").FarmPrinter>>} */ (new Map());
/** Their names, in the order in which they are shown: sorted by name, so that no card moves when a state changes. */
export const ids = signal(/** @type {string[]} */ ([]));
const revision = signal(0);

/** @type {import("./vendor/signals-core.mjs").Signal<import("./kinds.mjs").FarmJob[]>} */
export const jobs = signal([]);
/** @type {import("./vendor/signals-core.mjs").Signal<import("./kinds.mjs").FarmCopy[]>} */
export const orphans = signal([]);

/** @param {string} id @returns {import("./kinds.mjs").FarmPrinter|undefined} */
export function printer(id) {
  return printers.get(id)?.value;
}

/** All printers; subscribes to every change. */
export function everyPrinter() {
  void revision.value;
  return ids.value.map(id => /** @type {import("./kinds.mjs").FarmPrinter} */ (printers.get(id)?.peek()));
}

/** How many printers there are of each kind. */
export const census = computed(() => {
  const found = Object.fromEntries(KINDS.map(kind => [kind, 0]));
  for (const each of everyPrinter()) found[kindOf(each)] += 1;
  return found;
});

/** @param {any} event What has changed, or in the first event of a connection everything. @param {boolean} isWhole */
export function applyEvent(event, isWhole) {
  batch(() => {
    if (event.printers) applyPrinters(event.printers, isWhole);
    if (event.jobs) jobs.value = event.jobs;
    if (event.orphans) orphans.value = event.orphans;
    if (typeof event.trouble === "string") farm.value = {...farm.value, trouble: event.trouble};
  });
}

/** @param {Record<string, any>} views @param {boolean} isWhole */
function applyPrinters(views, isWhole) {
  let isSetChanged = false;
  if (isWhole) {
    for (const id of printers.keys()) if (!(id in views)) isSetChanged = printers.delete(id) || isSetChanged;
  }
  for (const [id, view] of Object.entries(views)) {
    const existing = printers.get(id);
    if (view === null) isSetChanged = printers.delete(id) || isSetChanged;
    else if (existing) existing.value = {...view, id};
    else {
      printers.set(id, signal({...view, id}));
      isSetChanged = true;
    }
  }
  if (isSetChanged) ids.value = [...printers.keys()].sort((a, b) => a.localeCompare(b, undefined, {numeric: true}));
  revision.value += 1;
}

let ticking = 0;
export function keepTicking() {
  clearInterval(ticking);
  const tick = () => (now.value = performance.now());
  ticking = document.hidden ? 0 : setInterval(tick, 1000);
  tick();
}
