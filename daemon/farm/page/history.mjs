/** The view History: copies that are done, failed or cancelled, searched and saved as CSV. */

import {get, picture} from "./api.mjs";
import {clock, duration, short, t, why} from "./farm_words.mjs";
import {html, onValue, signal, useEffect, useRef, useState} from "./html.mjs";
import {ids} from "./store.mjs";
import {Act, Fail} from "./widgets.mjs";

const PAGE_SIZE = 50;
const SEARCH_DELAY = 300; // ms after the last change of the search
const fail = signal("");
const SIGNS = {done: ["✓", "good"], failed: ["✗", "bad"], cancelled: ["–", "dim"]};

/** @param {Record<string, string>} filter @param {Record<string, string|number>} [more] */
function query(filter, more = {}) {
  const parts = Object.entries({...filter, ...more}).filter(([, value]) => value !== "");
  return new URLSearchParams(parts.map(([name, value]) => [name, String(value)])).toString();
}

/** @param {Record<string, string>} filter */
async function save(filter) {
  const link = document.createElement("a");
  link.href = await picture(`api/farm/history.csv?${query(filter)}`);
  link.download = "history.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** @param {{copy: any}} props */
function Past({copy}) {
  const [sign, tone] = SIGNS[/** @type {keyof typeof SIGNS} */ (copy.state)] ?? ["", ""];
  return html`<li class="past"><span class=${`sign ${tone}`} aria-hidden="true">${sign}</span><span class="what"><b>${short(copy.job_name || copy.job, 100)}</b>
    <small>${[t(`copy_${copy.state}`), copy.printer && short(copy.printer, 40), copy.seconds > 0 && duration(copy.seconds), copy.ended && clock(copy.ended)].filter(Boolean).join(" · ")}</small>
    ${copy.reason && html`<small class=${copy.state === "failed" ? "bad" : ""}>${short(why(copy.reason), 300)}</small>`}</span></li>`;
}

export function History() {
  const [filter, setFilter] = useState(/** @type {Record<string, string>} */ ({printer: "", state: "", q: ""}));
  const [rows, setRows] = useState(/** @type {any[]|null} */ (null));
  const [last, setLast] = useState(/** @type {any} */ (null)); // the copy after which the list continues; null: it ends here
  const newest = useRef(filter);
  newest.current = filter;
  const load = async (/** @type {any} */ after, isWanted = () => newest.current === filter) => {
    const cursor = after && {before: after.ended, before_copy: after.id}; // many copies of a job can end at the same moment
    const answer = await get(`api/farm/history?${query(filter, {limit: PAGE_SIZE, ...cursor})}`);
    if (!isWanted()) return;
    const copies = answer.copies ?? [];
    setRows(after === null ? copies : [...(rows ?? []), ...copies]);
    setLast(copies.length < PAGE_SIZE ? null : copies.at(-1));
  };
  useEffect(() => {
    let isCurrent = true;
    const show = (/** @type {string} */ text) => {
      if (isCurrent) fail.value = text;
    };
    const timer = setTimeout(() => load(null, () => isCurrent).then(() => show(""), error => show(error.message)), rows ? SEARCH_DELAY : 0);
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [filter]);
  const put = (/** @type {string} */ name) => onValue(value => setFilter({...filter, [name]: value}));
  return html`<section class="card"><h2>${t("view_history")}</h2>
    <div class="row"><label>${t("state")} <select value=${filter.state} onChange=${put("state")}><option value="">${t("every")}</option>
        ${Object.keys(SIGNS).map(each => html`<option key=${each} value=${each}>${t(`copy_${each}`)}</option>`)}</select></label>
      <label>${t("printer")} <select value=${filter.printer} onChange=${put("printer")}><option value="">${t("every")}</option>
        ${ids.value.map(each => html`<option key=${each} value=${each}>${short(each, 40)}</option>`)}</select></label>
      <label class="find">${t("find")} <input type="search" value=${filter.q} onInput=${put("q")} /></label>
      <${Act} label=${t("save_csv")} reads=${true} run=${() => save(filter)} fail=${fail} /></div><${Fail} of=${fail} />
    ${rows === null && !fail.value && html`<p class="empty">${t("loading")}</p>`}
    ${rows?.length === 0 && html`<p class="empty">${t("no_history")}</p>`}
    <ul class="plainlist">${(rows ?? []).map(each => html`<${Past} key=${each.id} copy=${each} />`)}</ul>
    ${last !== null && html`<${Act} label=${t("show_more")} reads=${true} run=${() => load(last)} fail=${fail} />`}</section>`;
}
