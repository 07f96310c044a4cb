/** The queue: files in the order in which they are printed, and whether the bed is clear for the next one. */

import {get, post} from "./api.mjs";
import {html, signal, useEffect} from "./html.mjs";
import {sections, short} from "./store.mjs";
import {Act, ask, Fail, NumberField} from "./widgets.mjs";
import {t, tn} from "./words.mjs";

const MOST = 100; // copies

const known = signal(/** @type {any} */ (null));
const fail = signal("");

async function load() {
  try {
    known.value = await get("api/queue");
    fail.value = "";
  } catch (error) {
    fail.value = /** @type {Error} */ (error).message;
  }
}

/** @param {object} what */
function tell(what) {
  return async () => {
    known.value = await post("api/queue", what);
  };
}

/** Says that the bed is clear, which may begin the next print: so that is asked. */
function sureOfBed() {
  const next = known.value?.entries.find((/** @type {any} */ each) => each.state === "waiting");
  if (!next || known.value.paused) return Promise.resolve(true);
  return ask({title: t("bed_title"), body: t("bed_body", {name: short(next.name, 80)}), yes: t("bed_yes"), no: t("start_no"), kind: "main"});
}

function sureToClear() {
  const count = known.value.entries.length;
  return ask({title: tn("queue_clear_title", count), body: t("queue_clear_body"), yes: t("queue_clear"), no: t("keep_it")});
}

/** @param {{entry: any, at: number, last: number}} props */
function Entry({entry, at, last}) {
  const goes = entry.state === "printing" || entry.state === "beginning";
  const name = short(entry.name, 80);
  const bad = ["refused", "missing", "failed"].includes(entry.state);
  return html`<li class="past queued"><span class="what"><b>${short(entry.name, 120)}</b>
      <small>${[t(`queued_${entry.state}`), entry.copies > 1 && t("copies_done", {done: entry.done, copies: entry.copies}), short(entry.material ?? "", 60), short(entry.notes, 200)].filter(Boolean).join(" · ")}</small>
      ${entry.reason && html`<small class=${bad ? "bad" : "dim"}>${short(entry.reason, 300)}</small>`}</span>
    <span class="row">${bad && html`<${Act} label=${t("try_again")} name=${`${t("try_again")} ${name}`} run=${tell({command: "retry", id: entry.id})} fail=${fail} />`}
      <${NumberField} id=${`copies-${entry.id}`} label=${`${t("copies")} ${name}`} unit="×" verb=${t("set")} value=${entry.copies} least=${Math.max(1, entry.done)} most=${MOST}
        send=${(/** @type {number} */ value) => tell({command: "change", id: entry.id, copies: Math.round(value)})()} fail=${fail} />
      <${Act} label="↑" name=${t("queue_up", {name})} run=${tell({command: "move", id: entry.id, to: at - 1})} off=${at === 0 ? t("queue_first") : ""} fail=${fail} />
      <${Act} label="↓" name=${t("queue_down", {name})} run=${tell({command: "move", id: entry.id, to: at + 1})} off=${at === last ? t("queue_last") : ""} fail=${fail} />
      <${Act} label=${t("queue_remove")} name=${`${t("queue_remove")} ${name}`} run=${tell({command: "remove", id: entry.id})} off=${goes ? t("why_printing") : ""} fail=${fail} /></span></li>`;
}

export function Queue() {
  const part = sections.value.queue;
  useEffect(() => {
    if (part) load();
  }, [part?.revision, part?.waiting]);
  if (!part) return null;
  const {entries = [], paused, bed, waiting} = known.value ?? {};
  return html`<section class="card" aria-label=${t("queue")}><h2>${t("queue")}</h2>
    ${known.value && html`<p>${bed?.clear ? t("bed_clear") : t("bed_not_clear")}${paused ? ` ${t("queue_paused")}` : ""}</p>
      ${waiting && bed?.clear && entries.length > 0 && html`<p class="warn">${short(waiting, 300)}</p>`}
      <div class="row"><${Act} kind=${bed?.clear ? "" : "main"} label=${t(bed?.clear ? "bed_unclear" : "bed_is_clear")} sure=${bed?.clear ? undefined : sureOfBed} run=${tell({command: "bed", clear: !bed?.clear})} fail=${fail} />
        <${Act} label=${t(paused ? "queue_resume" : "queue_pause")} run=${tell({command: paused ? "resume" : "pause"})} fail=${fail} />
        ${entries.length > 0 && html`<${Act} kind="danger" label=${t("queue_clear")} sure=${sureToClear} run=${tell({command: "clear"})} fail=${fail} />`}</div>`}
    <${Fail} of=${fail} />
    ${known.value && !entries.length && html`<p class="empty">${t("queue_empty")}</p>`}
    <ol class="plainlist">${entries.map((/** @type {any} */ each, /** @type {number} */ at) => html`<${Entry} key=${each.id} entry=${each} at=${at} last=${entries.length - 1} />`)}</ol></section>`;
}
