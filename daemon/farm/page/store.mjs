/** What the page knows of the farm, and how old it is. `link.mjs` writes it, the views read it. */

import {batch, computed, signal} from "./html.mjs";
import {KINDS, kindOf} from "./kinds.mjs";

/** Seconds after which what is shown is called old; after which a missing connection is said. */
export const STALE = 6;
export const GRACE = 2;

/** The connection: boot, nokey, live, lost, refused. */
export const net = signal({state: "boot", since: performance.now(), retryAt: 0, reason: ""});
/** When anything was heard last, by performance.now(); 0: never. */
export const heard = signal(0);
/** Ticks each second while the page is seen. */
export const now = signal(performance.now());
/** Seconds that the server's clock is before ours: nobody tells here, and no request has an end. */
export const clockOffset = signal(0);
/** A printer's page has keys for a while; here a key is an admin's or not. */
export const raised = signal({key: "", until: 0});
/** Whose key this is. */
export const me = signal({name: "", scope: ""});

export const age = computed(() => (heard.value ? Math.max(0, Math.floor((now.value - heard.value) / 1000)) : null));
export const isStale = computed(() => age.value === null || age.value >= STALE);

/** The farm: name, version, what is wrong with NATS. */
export const farm = signal({name: "", version: "", trouble: ""});

/** One signal for each printer: a card is drawn anew when its printer has changed. */
const printers = /** @type {Map<string, import("./vendor/signals-core.mjs").Signal<import("./kinds.mjs").FarmPrinter>>} */ (new Map());
/** Their names, in the order in which they are shown; nothing moves under a finger as a state changes. */
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

/** Every printer; who reads it is told of each change. */
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

/** @param {any} said What changed, or, in the first event of a connection (`whole`), all there is. @param {boolean} whole */
export function take(said, whole) {
  batch(() => {
    if (said.printers) takePrinters(said.printers, whole);
    if (said.jobs) jobs.value = said.jobs;
    if (said.orphans) orphans.value = said.orphans;
    if (typeof said.trouble === "string") farm.value = {...farm.value, trouble: said.trouble};
  });
}

/** @param {Record<string, any>} said @param {boolean} whole */
function takePrinters(said, whole) {
  let isOther = false;
  if (whole) {
    for (const id of printers.keys()) if (!(id in said)) isOther = printers.delete(id) || isOther;
  }
  for (const [id, view] of Object.entries(said)) {
    const known = printers.get(id);
    if (view === null) isOther = printers.delete(id) || isOther;
    else if (known) known.value = {...view, id};
    else {
      printers.set(id, signal({...view, id}));
      isOther = true;
    }
  }
  if (isOther) ids.value = [...printers.keys()].sort((a, b) => a.localeCompare(b, undefined, {numeric: true}));
  revision.value += 1;
}

let ticking = 0;
export function keepTicking() {
  clearInterval(ticking);
  const tick = () => (now.value = performance.now());
  ticking = document.hidden ? 0 : setInterval(tick, 1000);
  tick();
}
