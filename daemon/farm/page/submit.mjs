/** The view Submit: files become jobs, uploaded one after the other, with the answer beside each. */

import {sendForm} from "./api.mjs";
import {number, short, size, t, tn, typed, why} from "./farm_words.mjs";
import {html, signal, useEffect, useRef, useState} from "./html.mjs";
import {JobFields} from "./job_fields.mjs";
import {fieldsOf} from "./kinds.mjs";
import {whyReadOnly} from "./state.mjs";
import {Fail} from "./widgets.mjs";

const MAX_ROWS = 200;
const STOPPED = -1; // the status of an upload that the user has stopped
const EMPTY = {copies: "1", material: "", colour: "", nozzle_mm: "", group: "", priority: "", due: "", notes: ""};

/** @typedef {{id: string, file: File, fields: Record<string, unknown>|null, state: "chosen"|"waiting"|"uploading"|"done"|"failed", share: number, error: string, job: any}} Row */

/** @type {import("./vendor/signals-core.mjs").Signal<Row[]>} */
const rows = signal([]);
const fail = signal("");
const form = signal(EMPTY);
let stopUpload = () => {};
let isUploading = false;

/** An idempotency key: however often the file is sent with it, it becomes one job. */
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map(each => each.toString(16).padStart(2, "0")).join("");
}

/** @param {FileList|File[]} files */
export function choose(files) {
  const fresh = [...files].map(file => /** @type {Row} */ ({id: newKey(), file, fields: null, state: "chosen", share: 0, error: "", job: null}));
  const all = [...rows.value.filter(each => each.state !== "done"), ...fresh];
  rows.value = all.slice(0, MAX_ROWS);
  fail.value = all.length > MAX_ROWS ? tn("too_many_files", all.length - MAX_ROWS, {max: number(MAX_ROWS)}) : "";
}

/** @param {string} id @param {Partial<Row>} changes */
function update(id, changes) {
  rows.value = rows.value.map(each => (each.id === id ? {...each, ...changes} : each));
}

/** @param {Row} row */
function send(row) {
  const body = new FormData();
  for (const [name, value] of Object.entries(row.fields ?? {})) body.append(name, String(value));
  body.append("file", row.file, row.file.name);
  return sendForm("api/farm/jobs", body, {"Idempotency-Key": row.id}, share => update(row.id, {share}), stop => (stopUpload = stop));
}

/** Upload the files that wait, one after the other. */
async function runUploads() {
  if (isUploading) return;
  isUploading = true;
  for (let row = next(); row; row = next()) {
    update(row.id, {state: "uploading", share: 0, error: ""});
    try {
      update(row.id, {state: "done", job: await send(row)});
    } catch (error) {
      const {status, message} = /** @type {import("./api.mjs").Failure} */ (error);
      const hasArrived = rows.value.some(each => each.id === row.id && each.share >= 1);
      update(row.id, {state: "failed", error: status === STOPPED && hasArrived ? t("upload_left") : message});
    }
  }
  isUploading = false;
}
const next = () => rows.value.find(each => each.state === "waiting");

/** @param {{row: Row}} props */
function UploadRow({row}) {
  const name = short(row.file.name, 80);
  // once the server may have the whole file, it may make the job; but an answer may never come if the connection has died
  const stop = t(row.share < 1 ? "stop_upload" : "stop_waiting");
  return html`<li class="past"><span class="what"><b>${name}</b> <small>${size(row.file.size)}</small>
      ${row.state === "uploading" && html`<progress max="1" value=${row.share} aria-label=${t("progress_of", {name})}></progress>`}
      ${row.state === "waiting" && html`<small>${t("upload_waits")}</small>`}
      ${row.state === "uploading" && row.share >= 1 && html`<small>${t("upload_checked")}</small>`}
      ${row.state === "done" && html`<small class="good" role="status">${t("is_job", {n: number(row.job?.number ?? 0)})} <a href="#jobs">${t("view_jobs")}</a></small>`}
      ${row.error && html`<small class="bad" role="alert">${short(why(row.error), 400)}</small>`}</span>
    ${row.state === "uploading" && html`<button type="button" aria-label=${`${stop}: ${name}`} onClick=${() => stopUpload()}>${stop}</button>`}
    ${row.state === "failed" && html`<button type="button" aria-label=${`${t("try_again")}: ${name}`} onClick=${() => {
      update(row.id, {state: "waiting", error: ""});
      runUploads();
    }}>${t("try_again")}</button>`}
    ${["chosen", "waiting", "failed"].includes(row.state) && html`<button type="button" aria-label=${`${t("take_away")}: ${name}`}
      onClick=${() => (rows.value = rows.value.filter(each => each.id !== row.id))}>${t("take_away")}</button>`}</li>`;
}

export function Submit() {
  const field = useRef(/** @type {HTMLInputElement|null} */ (null));
  const [isDragging, setDragging] = useState(false);
  useEffect(() => () => {
    fail.value = "";
  }, []);
  const chosen = rows.value.filter(each => each.state === "chosen").length;
  function submit(/** @type {Event} */ event) {
    event.preventDefault();
    const {fields, wrong} = fieldsOf(form.value, typed);
    fail.value = whyReadOnly.value || (wrong ? t("wrong_field", {field: t(`field_${wrong}`)}) : chosen ? "" : t("no_file"));
    if (fail.value) return;
    rows.value = rows.value.map(each => (each.state === "chosen" ? {...each, fields, state: "waiting"} : each));
    runUploads();
  }
  const drop = (/** @type {any} */ event) => {
    event.preventDefault();
    setDragging(false);
    choose(event.dataTransfer?.files ?? []);
  };
  return html`<form class=${`card submit ${isDragging ? "over" : ""}`} onSubmit=${submit} onDragOver=${(/** @type {Event} */ event) => {
    event.preventDefault();
    setDragging(true);
  }} onDragLeave=${() => setDragging(false)} onDrop=${drop}>
    <h2>${t("submit_title")}</h2><p class="dim">${t("submit_what")}</p>
    <div class="row"><label class="button" for="files">${t("choose_files")}</label>
      <input id="files" ref=${field} class="hidden" type="file" multiple accept=".gcode,.gco,.g,.bgcode,.gz,.3mf" onChange=${(/** @type {any} */ event) => {
        choose(event.target.files);
        event.target.value = "";
      }} /></div>
    <ul class="plainlist">${rows.value.map(row => html`<${UploadRow} key=${row.id} row=${row} />`)}</ul>
    <${JobFields} form=${form.value} set=${(/** @type {any} */ value) => (form.value = value)} />
    <p class="dim">${t("from_file")}</p><${Fail} of=${fail} />
    <button type="submit" class="main" aria-disabled=${Boolean(whyReadOnly.value) || !chosen}>${tn("submit_files", Math.max(1, chosen))}</button></form>`;
}
