/** The queue: files in the order in which they are printed, and whether the bed is clear for the next one. */

import {get, post} from "./api.mjs";
import {html, signal, useEffect, useState} from "./html.mjs";
import {isActive, isIdle, whyRead} from "./state.mjs";
import {sections, short} from "./store.mjs";
import {Act, ask, Fail} from "./widgets.mjs";
import {t, tn, typed, why} from "./words.mjs";

const MOST = 100; // copies
const LONGEST = {notes: 1000, material: 60}; // characters

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
  const waits = () => known.value?.entries.find((/** @type {any} */ each) => each.state === "waiting");
  const next = waits();
  if (!next || known.value.paused) return Promise.resolve(true);
  return ask({title: t("bed_title"), body: t("bed_body", {name: short(next.name, 80)}), yes: t("bed_yes"), no: t("start_no"), kind: "main",
    holds: () => isIdle() && waits()?.id === next.id});
}

function sureToClear() {
  const count = known.value.entries.length;
  return ask({title: tn("queue_clear_title", count), body: t("queue_clear_body"), yes: t("queue_clear"), no: t("keep_it")});
}

/** What is known of an entry, to be changed. @param {{entry: any, close: () => void}} props */
function Edit({entry, close}) {
  const [wanted, setWanted] = useState({copies: String(entry.copies), material: entry.material ?? "", notes: entry.notes ?? ""});
  const [pending, setPending] = useState(false);
  const least = Math.max(1, entry.done);
  const put = (/** @type {string} */ name) => (/** @type {any} */ event) => setWanted({...wanted, [name]: event.target.value});
  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    if (pending) return;
    const copies = typed(wanted.copies);
    if (!Number.isInteger(copies) || copies < least || copies > MOST) {
      fail.value = t("number_range", {label: t("copies"), least, most: MOST, unit: ""});
      return;
    }
    fail.value = "";
    setPending(true);
    try {
      await tell({command: "change", id: entry.id, copies, notes: wanted.notes.trim(), material: wanted.material.trim() || null})();
      close();
    } catch (error) {
      fail.value = /** @type {Error} */ (error).message;
      setPending(false);
    }
  }
  return html`<form class="row editing" onSubmit=${submit} onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && close()}>
    <label class="field"><span>${t("copies")}</span><input inputmode="numeric" size="4" autofocus value=${wanted.copies} onInput=${put("copies")} /></label>
    <label class="field"><span>${t("by_material")}</span><input maxlength=${LONGEST.material} value=${wanted.material} onInput=${put("material")} /></label>
    <label class="field grows"><span>${t("notes")}</span><input maxlength=${LONGEST.notes} value=${wanted.notes} onInput=${put("notes")} /></label>
    <span class="row"><button type="submit" class="main" aria-busy=${pending}>${t("save")}</button><button type="button" onClick=${close}>${t("close")}</button></span></form>`;
}

/** What is dragged, and before which place it would come. */
const drag = signal(/** @type {{id: number, before: number}|null} */ (null));

/** A grip for mouse and finger; who uses a keyboard has the buttons. @param {{entry: any, at: number}} props */
function Grip({entry, at}) {
  const over = (/** @type {any} */ event) => {
    if (drag.value?.id !== entry.id) return;
    const rows = [...event.target.closest("ol").children];
    const below = rows.findIndex(row => event.clientY < row.getBoundingClientRect().top + row.offsetHeight / 2);
    const before = below < 0 ? rows.length : below;
    if (before !== drag.value?.before) drag.value = {id: entry.id, before};
  };
  const drop = () => {
    const {before = at, id} = drag.value ?? {};
    drag.value = null;
    const to = before > at ? before - 1 : before;
    if (id !== entry.id || to === at) return;
    fail.value = "";
    tell({command: "move", id, to})().catch(error => (fail.value = error.message));
  };
  const take = (/** @type {any} */ event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    event.target.setPointerCapture(event.pointerId);
    drag.value = {id: entry.id, before: at};
  };
  return html`<span class="grip" aria-hidden="true" title=${t("queue_drag")} onPointerDown=${take} onPointerMove=${over} onPointerUp=${drop}
    onPointerCancel=${() => (drag.value = null)}>⠿</span>`;
}

/** @param {{entry: any, at: number, last: number}} props */
function Entry({entry, at, last}) {
  const [editing, setEditing] = useState(false);
  const goes = entry.state === "printing" || entry.state === "beginning";
  const name = short(entry.name, 80);
  const bad = ["refused", "missing", "failed"].includes(entry.state);
  const {id, before} = drag.value ?? {};
  const mark = id === entry.id ? "dragged" : before === at ? "over" : before === last + 1 && at === last ? "under" : "";
  return html`<li class=${`past queued ${mark}`}>${last > 0 && !whyRead.value && html`<${Grip} entry=${entry} at=${at} />`}<span class="what"><b>${short(entry.name, 120)}</b>
      <small>${[t(`queued_${entry.state}`), entry.copies > 1 && t("copies_done", {done: entry.done, copies: entry.copies}), short(entry.material ?? "", 60)].filter(Boolean).join(" · ")}</small>
      ${entry.notes && html`<small>${short(entry.notes, 200)}</small>`}
      ${entry.reason && html`<small class=${bad ? "bad" : "dim"}>${short(why(entry.reason), 300)}</small>`}</span>
    <span class="row">${bad && html`<${Act} label=${t("try_again")} name=${`${t("try_again")} ${name}`} run=${tell({command: "retry", id: entry.id})} fail=${fail} />`}
      <button type="button" disabled=${Boolean(whyRead.value)} aria-expanded=${editing}
        aria-label=${`${t("change")} ${name}`} onClick=${() => setEditing(!editing)}>${t("change")}</button>
      <${Act} label="↑" name=${t("queue_up", {name})} run=${tell({command: "move", id: entry.id, to: at - 1})} off=${at === 0 ? t("queue_first") : ""} fail=${fail} />
      <${Act} label="↓" name=${t("queue_down", {name})} run=${tell({command: "move", id: entry.id, to: at + 1})} off=${at === last ? t("queue_last") : ""} fail=${fail} />
      <${Act} label=${t("queue_remove")} name=${`${t("queue_remove")} ${name}`} run=${tell({command: "remove", id: entry.id})} off=${goes ? t("why_printing") : ""} fail=${fail} /></span>
    ${editing && html`<${Edit} entry=${entry} close=${() => setEditing(false)} />`}</li>`;
}

export function Queue() {
  const part = sections.value.queue;
  useEffect(() => {
    if (part) load();
  }, [part?.revision, part?.waiting]);
  if (!part) return null;
  const {entries = [], paused, bed, waiting} = known.value ?? {};
  return html`<section class="card" aria-label=${t("queue")}><h2>${t("queue")}</h2>
    ${known.value && html`<p>${isActive.value ? t("bed_in_use") : bed?.clear ? t("bed_clear") : t("bed_not_clear")}${paused ? ` ${t("queue_paused")}` : ""}</p>
      ${waiting && bed?.clear && entries.length > 0 && html`<p class="warn">${short(why(waiting), 300)}</p>`}
      <div class="row"><${Act} kind=${bed?.clear ? "" : "main"} label=${t(bed?.clear ? "bed_unclear" : "bed_is_clear")}
        sure=${bed?.clear ? undefined : sureOfBed} off=${isActive.value ? t("why_printing") : ""} run=${tell({command: "bed", clear: !bed?.clear})} fail=${fail} />
        <${Act} label=${t(paused ? "queue_resume" : "queue_pause")} run=${tell({command: paused ? "resume" : "pause"})} fail=${fail} />
        ${entries.length > 0 && html`<${Act} kind="danger" label=${t("queue_clear")} sure=${sureToClear} run=${tell({command: "clear"})} fail=${fail} />`}</div>`}
    <${Fail} of=${fail} />
    ${known.value && !entries.length && html`<p class="empty">${t("queue_empty")}</p>`}
    <ol class="plainlist">${entries.map((/** @type {any} */ each, /** @type {number} */ at) => html`<${Entry} key=${each.id} entry=${each} at=${at}
      last=${entries.length - 1} />`)}</ol></section>`;
}
