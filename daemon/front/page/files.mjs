/** The view Files: the list, uploads with the findings of the checks, printing and deleting. */

import {address, get, postStart, remove, upload} from "./api.mjs";
import {computed, html, onValue, signal, useEffect, useState} from "./html.mjs";
import {Details, outcome} from "./inspect.mjs";
import {refusedFile, showRefusal} from "./refusal.mjs";
import {Choose, chosen, countOf, foldersIn, NewFolder, Several} from "./several.mjs";
import {sureToStart} from "./start.mjs";
import {isActive, isIdle, whyNoPrinter, whyReadOnly} from "./state.mjs";
import {filesChanged, job, net, short} from "./store.mjs";
import {Thumbnail} from "./thumbnail.mjs";
import {Act, ask, Fail} from "./widgets.mjs";
import {clock, duration, size, t, tn, why} from "./words.mjs";

const ENDINGS = ".gcode,.gco,.g,.bgcode,.gz,.3mf";
const POLL = 1000; // ms between two checks whether a file has been analysed
const MAX_POLLS = 120;
const MAX_UPLOADS = 50; // in the list; beyond that, the oldest entries that have been sent are removed
const MAX_FINDINGS = 30; // of one upload

const list = signal(/** @type {{files: any[], free: number, total: number}|null} */ (null));
const listFail = signal("");
const folder = signal("");
const order = signal("date");
const search = signal("");
const fail = signal("");
/** The path of the file whose details are shown. */
const openPath = signal("");
/** @type {import("./vendor/signals-core.mjs").Signal<any[]>} */
const uploads = signal([]);
let uploadId = 0;
let isUploading = false;
let requests = 0;

/** Load the list; an answer that comes after a newer request is ignored. */
export async function load() {
  const number = ++requests;
  try {
    const answer = await get("api/files?recursive=true");
    if (number !== requests) return;
    list.value = answer;
    listFail.value = "";
  } catch (error) {
    if (number === requests) listFail.value = /** @type {Error} */ (error).message;
  }
}

// -- uploads -----------------------------------------------------------------------------------------------

/** The list without its oldest entries that have been sent, as far as it has more than MAX_UPLOADS. @param {any[]} entries */
function shortened(entries) {
  let surplus = entries.length - MAX_UPLOADS;
  return entries.filter(each => isUnsent(each) || surplus-- <= 0);
}

/** @param {any} entry */
function isUnsent({state}) {
  return state === "waiting" || state === "uploading";
}

/** @param {Iterable<File>} files @param {string} [into] The folder; by default the one that is shown now. */
export function addUploads(files, into = folder.value) {
  if (whyReadOnly.value) {
    fail.value = whyReadOnly.value;
    return;
  }
  for (const file of files) {
    uploads.value = shortened([...uploads.value, {id: ++uploadId, file, into, name: file.name, share: 0, state: "waiting", text: ""}]);
  }
  runUploads();
}

addEventListener("beforeunload", event => {
  if (uploads.value.some(isUnsent)) event.preventDefault();
});

/** @param {number} id @param {object} changes */
function update(id, changes) {
  uploads.value = uploads.value.map(each => (each.id === id ? {...each, ...changes} : each));
}

async function runUploads() {
  if (isUploading) return;
  isUploading = true;
  const next = () => uploads.value.find(each => each.state === "waiting");
  for (let each = next(); each; each = next()) await uploadOne(each, false);
  isUploading = false;
}

/** @param {any} entry @param {boolean} overwrite */
async function uploadOne(entry, overwrite) {
  update(entry.id, {state: "uploading", share: 0, text: ""});
  try {
    const answer = await upload(entry.file, entry.into, overwrite, share => update(entry.id, {share}), stop => update(entry.id, {stop}));
    const {path, name} = answer.files.local;
    update(entry.id, {state: "checking", path, name, file: null, stop: null});
    load();
    check(entry.id, path);
  } catch (error) {
    const {status, message} = /** @type {import("./api.mjs").Failure} */ (error);
    if (status === 409 && !overwrite && (await sureToReplace(entry.name))) return uploadOne(entry, true);
    update(entry.id, {state: "failed", text: message, file: status === 0 ? entry.file : null, stop: null});
  }
}

/** @param {string} name */
function sureToReplace(name) {
  return ask({title: t("replace_title", {name: short(name, 80)}), body: t("replace_body"), yes: t("replace_yes"), no: t("replace_no")});
}

/** @param {number} id @param {string} path */
async function check(id, path) {
  for (let poll = 0; poll < MAX_POLLS; poll += 1) {
    try {
      const file = await get(`api/files/local/${address(path)}`);
      if (file.gcodeAnalysis?.errors) {
        update(id, {state: "done", analysis: file.gcodeAnalysis});
        load();
        return;
      }
    } catch (error) {
      if (/** @type {import("./api.mjs").Failure} */ (error).status === 404) return update(id, {state: "gone"});
    }
    await new Promise(resolve => setTimeout(resolve, POLL));
  }
  update(id, {state: "unchecked"});
}

/** @param {{entry: any}} props */
function Upload({entry}) {
  const {errors = [], warnings = [], estimatedPrintTime} = entry.analysis ?? {};
  const close = () => (uploads.value = uploads.value.filter(each => each.id !== entry.id));
  const again = () => {
    update(entry.id, {state: "waiting"});
    runUploads();
  };
  const words = {
    waiting: t("upload_waiting"),
    uploading: t("upload_going", {part: Math.floor(entry.share * 100)}),
    checking: t("upload_checking"),
    done: errors.length ? tn("refused_count", errors.length) : warnings.length ? tn("warnings", warnings.length) : t("upload_fine"),
    unchecked: t("upload_unchecked"),
    failed: why(entry.text),
    gone: t("upload_gone"),
  };
  const tone = entry.state === "failed" || errors.length ? "bad" : warnings.length ? "warn" : "";
  return html`<li class=${`card notice ${tone}`}>
    <div class="row apart"><b class="name">${short(entry.name, 80)}</b>
      ${entry.state === "uploading" && entry.stop
        ? html`<button type="button" class="small" onClick=${entry.stop}>${t("upload_stop")}</button>`
        : html`<button type="button" class="small" aria-label=${`${t("close")} ${short(entry.name, 80)}`} onClick=${close}>${t("close")}</button>`}</div>
    ${entry.state === "uploading" && html`<progress max="1" value=${entry.share} aria-label=${short(entry.name, 80)}></progress>`}
    <p role="status">${words[/** @type {keyof typeof words} */ (entry.state)]}${estimatedPrintTime ? ` · ${duration(estimatedPrintTime)}` : ""}</p>
    ${[...errors, ...warnings].length > 0 && html`<ul>${[...errors, ...warnings].slice(0, MAX_FINDINGS).map((each, index) => html`<li key=${index}>${short(why(each), 400)}</li>`)}</ul>`}
    ${entry.path && entry.state !== "gone" && html`<div class="row"><${Print} file=${{path: entry.path, name: entry.name, gcodeAnalysis: entry.analysis}} /></div>`}
    ${entry.state === "failed" && entry.file && html`<button type="button" onClick=${again}>${t("try_again")}</button>`}
  </li>`;
}

// -- the list ----------------------------------------------------------------------------------------------

/** @param {{path: string}} file */
async function print(file) {
  refusedFile.value = null;
  try {
    await postStart(`api/files/local/${address(file.path)}`, {command: "select", print: true});
    location.hash = "#now";
  } catch (error) {
    await showRefusal(error, file.path);
  }
}

/** Ask before a print; a file with errors has a question of its own (`refusal.mjs`). @param {any} file */
function sureToPrint(file) {
  if (file.gcodeAnalysis?.errors?.length) return Promise.resolve(true);
  return sureToStart(file.name, isIdle, file.path);
}

/** @param {{file: any}} props */
function Print({file}) {
  const off = whyNoPrinter.value || (isActive.value ? t("why_printing") : "");
  return html`<${Act} kind="main" label=${t("print_it")} name=${`${t("print_it")} ${short(file.name, 80)}`} busy=${t("starting")}
    sure=${() => sureToPrint(file)} run=${() => print(file)} off=${off} fail=${fail} />`;
}

/** @param {any} file */
function sureToErase(file) {
  const isFolder = file.type === "folder";
  return ask({
    title: t("delete_title", {name: short(file.name, 80)}),
    body: t(isFolder ? "delete_folder" : "delete_body"),
    yes: t("delete_yes"),
    no: t("delete_no"),
  });
}

/** @param {any} file */
async function erase(file) {
  await remove(`api/files/local/${address(file.path)}`);
  await load();
}

/** @param {{file: any}} props */
function Row({file}) {
  const analysis = file.gcodeAnalysis ?? {};
  const isOpen = openPath.value === file.path;
  if (file.type === "folder") {
    return html`<li class="file"><${Choose} file=${file} /><a class="what" href=${`#files/${address(file.path)}`}><b>${short(file.name, 100)}/</b>
      <small>${tn("files", countOf(file))}</small></a>
      <div class="row"><${Act} label=${t("delete")} name=${`${t("delete")} ${short(file.name, 80)}`} sure=${() => sureToErase(file)} run=${() => erase(file)} fail=${fail} /></div></li>`;
  }
  const time = file.statistics?.averagePrintTime?._default ?? analysis.estimatedPrintTime;
  return html`<li class="file"><${Choose} file=${file} />
    <${Thumbnail} path=${file.thumbnail} />
    <button type="button" class="plain what" aria-expanded=${isOpen} onClick=${() => (openPath.value = isOpen ? "" : file.path)}>
      <b>${short(file.name, 100)}</b>
      <small>${[time && duration(time), size(file.size), clock(file.date), outcome(file)].filter(Boolean).join(" · ")}</small>
      ${analysis.errors?.length > 0 && html`<small class="bad">${tn("refused_count", analysis.errors.length)}</small>`}
    </button>
    <div class="row apart"><${Print} file=${file} />
      <${Act} label=${t("delete")} name=${`${t("delete")} ${short(file.name, 80)}`} sure=${() => sureToErase(file)} run=${() => erase(file)} fail=${fail} /></div>
    ${isOpen && html`<${Details} key=${file.date} file=${file} onMoved=${load} />`}
  </li>`;
}

/** @param {any} file */
function planned(file) {
  return file.gcodeAnalysis?.estimatedPrintTime ?? 0;
}

const names = new Intl.Collator(undefined, {numeric: true});
const ORDERS = {
  date: (/** @type {any} */ a, /** @type {any} */ b) => b.date - a.date,
  name: (/** @type {any} */ a, /** @type {any} */ b) => names.compare(a.name, b.name),
  size: (/** @type {any} */ a, /** @type {any} */ b) => b.size - a.size,
  time: (/** @type {any} */ a, /** @type {any} */ b) => planned(b) - planned(a),
  printed: (/** @type {any} */ a, /** @type {any} */ b) => (b.prints?.last?.date ?? 0) - (a.prints?.last?.date ?? 0),
};

/** @param {any[]} entries @returns {any[]} */
function flat(entries) {
  return entries.flatMap(each => (each.type === "folder" ? flat(each.children ?? []) : [each]));
}

/** The entries of the folder, or the files below it that match the search, in their order; folders come first. */
const visibleEntries = computed(() => {
  let entries = list.value?.files ?? [];
  for (const part of folder.value.split("/").filter(Boolean)) {
    entries = entries.find(each => each.type === "folder" && each.name === part)?.children ?? [];
  }
  const word = search.value.trim().toLowerCase();
  if (word) entries = flat(entries).filter(each => each.path.toLowerCase().includes(word));
  const sorted = [...entries].sort(ORDERS[/** @type {keyof typeof ORDERS} */ (order.value)]);
  return [...sorted.filter(each => each.type === "folder"), ...sorted.filter(each => each.type !== "folder")];
});

/** @param {{rest: string}} props The folder, from the address. */
export function Files({rest}) {
  const [most, setMost] = useState(100);
  const [making, setMaking] = useState(false);
  folder.value = rest;
  useEffect(() => {
    chosen.value = null;
  }, [rest]);
  useEffect(() => void load(), [job.value.active, filesChanged.value, net.value.state]);
  const rows = visibleEntries.value;
  const find = (/** @type {string} */ text) => {
    search.value = text;
    if (chosen.value) chosen.value = new Set(); // no file is chosen that is not visible
  };
  const choose = (/** @type {any} */ event) => {
    addUploads(event.target.files);
    event.target.value = "";
  };
  return html`<section class="card" aria-label=${t("view_files")}>
    <div class="row apart tools">
      <label class=${`button upload ${whyReadOnly.value ? "" : "main"}`} title=${whyReadOnly.value}>${t("upload")}<input type="file" class="hidden" multiple
        accept=${ENDINGS} disabled=${Boolean(whyReadOnly.value)} onChange=${choose} /></label>
      <label class="find"><span class="hidden">${t("search")}</span><input type="search" placeholder=${t("search")} value=${search.value} onInput=${onValue(find)} /></label>
      <label><span class="roomy">${t("sort")}</span><select value=${order.value} onChange=${onValue(value => (order.value = value))}>
        ${Object.keys(ORDERS).map(name => html`<option key=${name} value=${name}>${t(`sort_${name}`)}</option>`)}</select></label>
      <span class="row"><button type="button" disabled=${Boolean(whyReadOnly.value)} onClick=${() => setMaking(true)}>${t("new_folder")}</button>
      <button type="button" disabled=${Boolean(whyReadOnly.value)} aria-pressed=${chosen.value !== null}
        onClick=${() => (chosen.value = chosen.value ? null : new Set())}>${t("choose_several")}</button></span>
    </div>
    <p class="dim">${whyReadOnly.value || html`<span class="roomy">${t("drop_here")} · </span>`}${list.value ? t("free", {free: size(list.value.free)}) : ""}</p>
    <${Fail} of=${fail} /><${Fail} of=${listFail} />
    ${uploads.value.length > 0 && html`<ul class="plainlist">${uploads.value.map(entry => html`<${Upload} key=${entry.id} entry=${entry} />`)}</ul>`}
    ${making && html`<${NewFolder} parent=${rest} close=${() => setMaking(false)} onDone=${load} />`}
    <${Several} rows=${rows} folders=${foldersIn(list.value?.files ?? [])} onDone=${load} />
    ${rest && html`<p><a href=${`#files/${address(rest.split("/").slice(0, -1).join("/"))}`}>← ${short(rest, 100)}</a></p>`}
    ${list.value === null && !listFail.value && html`<p class="empty">${t("loading_files")}</p>`}
    ${list.value && rows.length === 0 && html`<p class="empty">${t(search.value ? "no_match" : "no_files", {address: location.origin})}</p>`}
    <ul class="plainlist">${rows.slice(0, most).map(file => html`<${Row} key=${file.path} file=${file} />`)}</ul>
    ${rows.length > most && html`<button type="button" onClick=${() => setMost(most + 200)}>${t("more", {n: rows.length - most})}</button>`}
  </section>`;
}
