/** Files become jobs: several at once, one upload after the other, each with its own answer beside it. */

import {Failure, key} from "./api.mjs";
import {html, signal, useEffect, useRef, useState} from "./html.mjs";
import {fieldsOf} from "./kinds.mjs";
import {whyRead} from "./state.mjs";
import {Fail} from "./widgets.mjs";
import {Wishes} from "./wishes.mjs";
import {number, short, size, t, tn, typed, why} from "./farm_words.mjs";

const MOST = 200; // rows
const EMPTY = {copies: "1", material: "", colour: "", nozzle_mm: "", group: "", priority: "", due: "", notes: ""};

/** @typedef {{id: string, file: File, fields: Record<string, unknown>|null, state: "chosen"|"waits"|"goes"|"done"|"failed", part: number, said: string, job: any}} Row */

/** @type {import("./vendor/signals-core.mjs").Signal<Row[]>} */
const rows = signal([]);
const fail = signal("");
const form = signal(EMPTY);
let stopNow = () => {};
let isBusy = false;

/** A key by which the server knows the same file again, however often it is sent. */
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map(each => each.toString(16).padStart(2, "0")).join("");
}

/** @param {FileList|File[]} files */
export function choose(files) {
  const fresh = [...files].map(file => /** @type {Row} */ ({id: newKey(), file, fields: null, state: "chosen", part: 0, said: "", job: null}));
  rows.value = [...rows.value.filter(each => each.state !== "done"), ...fresh].slice(0, MOST);
}

/** @param {string} id @param {Partial<Row>} what */
function put(id, what) {
  rows.value = rows.value.map(each => (each.id === id ? {...each, ...what} : each));
}

/** @param {Row} row */
function send(row) {
  const body = new FormData();
  for (const [name, value] of Object.entries(row.fields ?? {})) body.append(name, String(value));
  body.append("file", row.file, row.file.name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "api/farm/jobs");
    request.setRequestHeader("X-Api-Key", key());
    request.setRequestHeader("Idempotency-Key", row.id);
    request.responseType = "json";
    request.upload.onprogress = event => put(row.id, {part: event.total ? event.loaded / event.total : 0});
    request.onload = () => request.status < 300 ? resolve(request.response)
      : reject(new Failure(request.status, request.response?.error || t("refused_status", {status: request.status})));
    request.onerror = () => reject(new Failure(0, t("upload_lost")));
    request.onabort = () => reject(new Failure(-1, t("upload_stopped")));
    stopNow = () => request.abort();
    request.send(body);
  });
}

/** Send what waits, one after the other. */
async function work() {
  if (isBusy) return;
  isBusy = true;
  for (let row = next(); row; row = next()) {
    put(row.id, {state: "goes", part: 0, said: ""});
    try {
      put(row.id, {state: "done", job: await send(row)});
    } catch (error) {
      put(row.id, {state: "failed", said: /** @type {Error} */ (error).message});
    }
  }
  isBusy = false;
}
const next = () => rows.value.find(each => each.state === "waits");

/** @param {{row: Row}} props */
function File_({row}) {
  const name = short(row.file.name, 80);
  return html`<li class="past"><span class="what"><b>${name}</b> <small>${size(row.file.size)}</small>
      ${row.state === "goes" && html`<progress max="1" value=${row.part} aria-label=${t("progress_of", {name})}></progress>`}
      ${row.state === "waits" && html`<small>${t("upload_waits")}</small>`}
      ${row.state === "goes" && row.part >= 1 && html`<small>${t("upload_checked")}</small>`}
      ${row.state === "done" && html`<small class="good" role="status">${t("is_job", {n: number(row.job?.number ?? 0)})} <a href="#jobs">${t("view_jobs")}</a></small>`}
      ${row.said && html`<small class="bad" role="alert">${short(why(row.said), 400)}</small>`}</span>
    ${row.state === "goes" && html`<button type="button" aria-label=${`${t("stop_upload")}: ${name}`} onClick=${() => stopNow()}>${t("stop_upload")}</button>`}
    ${row.state === "failed" && html`<button type="button" aria-label=${`${t("try_again")}: ${name}`} onClick=${() => {
      put(row.id, {state: "waits", said: ""});
      work();
    }}>${t("try_again")}</button>`}
    ${["chosen", "waits", "failed"].includes(row.state) && html`<button type="button" aria-label=${`${t("take_away")}: ${name}`}
      onClick=${() => (rows.value = rows.value.filter(each => each.id !== row.id))}>${t("take_away")}</button>`}</li>`;
}

export function Submit() {
  const field = useRef(/** @type {HTMLInputElement|null} */ (null));
  const [over, setOver] = useState(false);
  useEffect(() => () => {
    fail.value = "";
  }, []);
  const chosen = rows.value.filter(each => each.state === "chosen").length;
  function submit(/** @type {Event} */ event) {
    event.preventDefault();
    const {fields, wrong} = fieldsOf(form.value, typed);
    fail.value = whyRead.value || (wrong ? t("wrong_field", {field: t(`field_${wrong}`)}) : chosen ? "" : t("no_file"));
    if (fail.value) return;
    rows.value = rows.value.map(each => (each.state === "chosen" ? {...each, fields, state: "waits"} : each));
    work();
  }
  const drop = (/** @type {any} */ event) => {
    event.preventDefault();
    setOver(false);
    choose(event.dataTransfer?.files ?? []);
  };
  return html`<form class=${`card submit ${over ? "over" : ""}`} onSubmit=${submit} onDragOver=${(/** @type {Event} */ event) => {
    event.preventDefault();
    setOver(true);
  }} onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <h2>${t("submit_title")}</h2><p class="dim">${t("submit_what")}</p>
    <div class="row"><label class="button" for="files">${t("choose_files")}</label>
      <input id="files" ref=${field} class="hidden" type="file" multiple accept=".gcode,.gco,.g,.bgcode,.gz,.3mf" onChange=${(/** @type {any} */ event) => {
        choose(event.target.files);
        event.target.value = "";
      }} /></div>
    <ul class="plainlist">${rows.value.map(row => html`<${File_} key=${row.id} row=${row} />`)}</ul>
    <${Wishes} form=${form.value} set=${(/** @type {any} */ value) => (form.value = value)} />
    <p class="dim">${t("from_file")}</p><${Fail} of=${fail} />
    <button type="submit" class="main" aria-disabled=${Boolean(whyRead.value) || !chosen}>${tn("submit_files", Math.max(1, chosen))}</button></form>`;
}
