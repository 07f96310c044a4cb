/** The queue: files in the order in which they will be printed, and whether the bed is clear for the next one. */

import {get, post} from "./api.mjs";
import {html, onValue, signal, useEffect, useState} from "./html.mjs";
import {dropMark, Grip} from "./reorder.mjs";
import {isActive, isIdle, whyReadOnly} from "./state.mjs";
import {sections, short} from "./store.mjs";
import {Act, ask, attempt, Fail} from "./widgets.mjs";
import {t, tn, typed, why} from "./words.mjs";

/** Limits of the queue (daemon/front/queue/document.py). */
const MAX_COPIES = 999;
const MAX_LENGTH = {notes: 1000, material: 60}; // characters

const shownQueue = signal(/** @type {any} */ (null));
const fail = signal("");

let newest = 0; // the number of the latest request

/**
 * Show the queue that a request returns, unless the answer to a later request, with a newer queue, has come before it.
 * @param {() => Promise<any>} request
 */
async function show(request) {
  newest += 1;
  const number = newest;
  const queue = await request();
  // the latest request always counts: the revisions of a queue that was lost begin anew
  if (number === newest || !(queue.revision < shownQueue.value?.revision)) shownQueue.value = queue;
}

function load() {
  return attempt(fail, () => show(() => get("api/queue")));
}

/** A function that sends a command to the queue. @param {object} body */
function command(body) {
  return () => show(() => post("api/queue", body));
}

/** Ask before the bed is marked as clear, as that may start the next print. */
function sureOfBed() {
  const waiting = () => shownQueue.value?.entries.find((/** @type {any} */ each) => each.state === "waiting");
  const next = waiting();
  if (!next || shownQueue.value.paused) return Promise.resolve(true);
  return ask({title: t("bed_title"), body: t("bed_body", {name: short(next.name, 80)}), yes: t("bed_yes"), no: t("start_no"), kind: "main",
    holds: () => isIdle() && waiting()?.id === next.id});
}

function sureToClear() {
  const count = shownQueue.value.entries.length;
  return ask({title: tn("queue_clear_title", count), body: t("queue_clear_body"), yes: t("queue_clear"), no: t("keep_it")});
}

/** A form to change an entry. @param {{entry: any, close: () => void}} props */
function Edit({entry, close}) {
  const [wanted, setWanted] = useState({copies: String(entry.copies), material: entry.material ?? "", notes: entry.notes ?? ""});
  const [pending, setPending] = useState(false);
  const least = entry.done + 1; // with no copy left, the entry would have ended
  const put = (/** @type {string} */ name) => onValue(value => setWanted({...wanted, [name]: value}));
  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    if (pending) return;
    const copies = typed(wanted.copies);
    if (!Number.isInteger(copies) || copies < least || copies > MAX_COPIES) {
      fail.value = t("count_range", {label: t("copies"), least, most: MAX_COPIES});
      return;
    }
    setPending(true);
    const change = command({command: "change", id: entry.id, copies, notes: wanted.notes.trim(), material: wanted.material.trim() || null});
    if (await attempt(fail, change)) close();
    else setPending(false);
  }
  return html`<form class="row editing" onSubmit=${submit} onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && close()}>
    <label class="field"><span>${t("copies")}</span><input inputmode="numeric" size="4" autofocus value=${wanted.copies} onInput=${put("copies")} /></label>
    <label class="field"><span>${t("by_material")}</span><input maxlength=${MAX_LENGTH.material} value=${wanted.material} onInput=${put("material")} /></label>
    <label class="field grows"><span>${t("notes")}</span><input maxlength=${MAX_LENGTH.notes} value=${wanted.notes} onInput=${put("notes")} /></label>
    <span class="row"><button type="submit" class="main" aria-busy=${pending}>${t("save")}</button><button type="button" onClick=${close}>${t("close")}</button></span></form>`;
}

/** The grip of an entry. @param {{entry: any, at: number}} props */
function EntryGrip({entry, at}) {
  const move = (/** @type {number} */ before) => command({command: "move", id: entry.id, to: before > at ? before - 1 : before})();
  return html`<${Grip} id=${entry.id} at=${at} title=${t("queue_drag")} move=${move} fail=${fail} />`;
}

/** @param {{entry: any, at: number, last: number}} props */
function Entry({entry, at, last}) {
  const [editing, setEditing] = useState(false);
  const isBusy = entry.state === "printing" || entry.state === "beginning";
  const name = short(entry.name, 80);
  const bad = ["refused", "missing", "failed"].includes(entry.state);
  return html`<li class=${`past queued ${dropMark(entry.id, at, last)}`}>${last > 0 && !whyReadOnly.value && html`<${EntryGrip} entry=${entry} at=${at} />`}
    <span class="what"><b>${short(entry.name, 120)}</b>
      <small>${[t(`queued_${entry.state}`), entry.copies > 1 && t("copies_done", {done: entry.done, copies: entry.copies}), short(entry.material ?? "", 60)].filter(Boolean).join(" · ")}</small>
      ${entry.notes && html`<small>${short(entry.notes, 200)}</small>`}
      ${entry.reason && html`<small class=${bad ? "bad" : "dim"}>${short(why(entry.reason), 300)}</small>`}</span>
    <span class="row">${bad && html`<${Act} label=${t("try_again")} name=${`${t("try_again")} ${name}`} run=${command({command: "retry", id: entry.id})} fail=${fail} />`}
      <button type="button" disabled=${Boolean(whyReadOnly.value)} aria-expanded=${editing}
        aria-label=${`${t("change")} ${name}`} onClick=${() => setEditing(!editing)}>${t("change")}</button>
      <${Act} label="↑" name=${t("queue_up", {name})} run=${command({command: "move", id: entry.id, to: at - 1})} off=${at === 0 ? t("queue_first") : ""} fail=${fail} />
      <${Act} label="↓" name=${t("queue_down", {name})} run=${command({command: "move", id: entry.id, to: at + 1})} off=${at === last ? t("queue_last") : ""} fail=${fail} />
      <${Act} label=${t("queue_remove")} name=${`${t("queue_remove")} ${name}`} run=${command({command: "remove", id: entry.id})} off=${isBusy ? t("why_printing") : ""} fail=${fail} /></span>
    ${editing && html`<${Edit} entry=${entry} close=${() => setEditing(false)} />`}</li>`;
}

export function Queue() {
  const part = sections.value.queue;
  useEffect(() => {
    if (part) load();
  }, [part?.revision, part?.waiting]);
  if (!part) return null;
  const {entries = [], paused, bed, waiting} = shownQueue.value ?? {};
  return html`<section class="card" aria-label=${t("queue")}><h2>${t("queue")}</h2>
    ${shownQueue.value && html`<p>${isActive.value ? t("bed_in_use") : bed?.clear ? t("bed_clear") : t("bed_not_clear")}${paused ? ` ${t("queue_paused")}` : ""}</p>
      ${waiting && bed?.clear && entries.length > 0 && html`<p class="warn">${short(why(waiting), 300)}</p>`}
      <div class="row"><${Act} kind=${bed?.clear ? "" : "main"} label=${t(bed?.clear ? "bed_unclear" : "bed_is_clear")}
        sure=${bed?.clear ? undefined : sureOfBed} off=${isActive.value ? t("why_printing") : ""} run=${command({command: "bed", clear: !bed?.clear})} fail=${fail} />
        <${Act} label=${t(paused ? "queue_resume" : "queue_pause")} run=${command({command: paused ? "resume" : "pause"})} fail=${fail} />
        ${entries.length > 0 && html`<${Act} kind="danger" label=${t("queue_clear")} sure=${sureToClear} run=${command({command: "clear"})} fail=${fail} />`}</div>`}
    <${Fail} of=${fail} />
    ${shownQueue.value && !entries.length && html`<p class="empty">${t("queue_empty")}</p>`}
    <ol class="plainlist">${entries.map((/** @type {any} */ each, /** @type {number} */ at) => html`<${Entry} key=${each.id} entry=${each} at=${at}
      last=${entries.length - 1} />`)}</ol></section>`;
}
