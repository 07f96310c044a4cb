/** The view Prints: the queue, and earlier prints with their outcome, searched, summed up and printed again. */

import {download, get, postStart} from "./api.mjs";
import {html, onValue, signal, useEffect} from "./html.mjs";
import {Queue} from "./queue.mjs";
import {Continue} from "./resume_at.mjs";
import {sureToStart} from "./start.mjs";
import {isActive, isIdle, whyNoPrinter} from "./state.mjs";
import {job, short} from "./store.mjs";
import {Thumbnail} from "./thumbnail.mjs";
import {Act, attempt, Fail} from "./widgets.mjs";
import {clock, duration, monthOf, number, t, tn, why} from "./words.mjs";

const PAGE_SIZE = 50;
const SEARCH_DELAY = 300; // ms after the last keystroke
const RELOAD_DELAY = 2000; // ms until a list that does not yet show the end of the last print is loaded again

const next = signal(/** @type {number|null} */ (null));
const totals = signal(/** @type {any} */ (null));
/** What the totals are grouped by: month or material. */
const by = signal("month");
const jobs = signal(/** @type {any[]|null} */ (null));
const fail = signal("");
const outcomeFilter = signal("");
const word = signal("");

const TONES = {completed: "good", failed: "bad", interrupted: "bad", cancelled: "warn"};
const SIGNS = {completed: "✓", failed: "✕", interrupted: "✕", cancelled: "–"};

/** The search as parameters of the API. */
function searchQuery() {
  const query = new URLSearchParams();
  if (word.value.trim()) query.set("q", word.value.trim().slice(0, 100));
  if (outcomeFilter.value) query.set("state", outcomeFilter.value);
  return query;
}

let requests = 0;

/** @param {number|null} before The id of the last print that is shown: load older ones. */
function load(before = null) {
  const query = searchQuery();
  query.set("limit", String(PAGE_SIZE));
  if (before !== null) query.set("before", String(before)); // 0 is the id of an imported print
  const number = ++requests;
  return attempt(fail, async () => {
    const answer = await get(`api/history?${query}`);
    if (number !== requests) return; // there is a newer request
    jobs.value = before !== null ? [...(jobs.value ?? []), ...answer.jobs] : answer.jobs;
    next.value = answer.next ?? null;
    if (before !== null) return;
    const sums = await get(`api/history/totals?by=${by.value}&${searchQuery()}`);
    if (number === requests) totals.value = sums;
  });
}

/** The outcome of a print, in lower case. @param {any} each */
function outcomeOf(each) {
  return /** @type {keyof typeof TONES} */ (String(each.state).toLowerCase());
}

/** `2026-11` as `November 2026`; a material's name as it is. @param {string|null} name */
function rowName(name) {
  const month = by.value === "month" && /^(\d{4})-(\d\d)$/.exec(name ?? "");
  return month ? monthOf(Number(month[1]), Number(month[2])) : short(name || t("total_unknown"), 60);
}

/** A length of filament in m. @param {number|null} mm */
function metres(mm) {
  return typeof mm === "number" ? `${number(mm / 1000, 1)}\u00a0m` : "–";
}
/** @param {number|null} grams */
function weight(grams) {
  return typeof grams === "number" ? `${number(grams)}\u00a0g` : "–";
}

/** Totals of all prints of the search, by month or material on request, and the prints as a file. */
function Totals() {
  const {all = {}, totals: rows = [], by: of} = totals.value ?? {};
  const {prints = 0, completed = 0, printTime = 0, filamentWeight} = all;
  if (!prints) return null;
  const save = (/** @type {string} */ kind) => () => download(`api/history.${kind}${String(searchQuery()) ? `?${searchQuery()}` : ""}`, `history.${kind}`);
  const heads = ["prints_head", "completed_head", "time_head", "weight_head", "length_head"];
  return html`<p class="figures"><b>${tn("prints", prints)}</b> <span>${t("prints_good", {n: number(completed)})}</span> <span>${t("prints_time", {time: duration(printTime ?? 0)})}</span>
    ${filamentWeight ? html`<span>${number(filamentWeight)} g</span>` : ""}</p>
    <details><summary>${t("totals")}</summary>
      <div class="row tools"><label>${t("totals_by")} <select value=${by.value} onChange=${onValue(value => (by.value = value))}>
        ${["month", "material"].map(name => html`<option key=${name} value=${name}>${t(`by_${name}`)}</option>`)}</select></label>
        <span class="row">${["csv", "json"].map(kind => html`<${Act} key=${kind} label=${kind.toUpperCase()}
          name=${t("save_as", {kind: kind.toUpperCase()})} reads run=${save(kind)} fail=${fail} />`)}</span></div>
      <div class="scrolls" tabindex="0" role="region" aria-label=${t("totals")}><table><thead><tr>
        <th scope="col">${t(`by_${of ?? by.value}`)}</th>${heads.map(each => html`<th key=${each} scope="col">${t(each)}</th>`)}</tr></thead>
        <tbody>${rows.map((/** @type {any} */ row) => html`<tr key=${row.name}><th scope="row">${rowName(row.name)}</th><td>${number(row.prints)}</td>
          <td>${number(row.completed)}</td>
          <td>${duration(row.printTime ?? 0)}</td><td>${weight(row.filamentWeight)}</td><td>${metres(row.filamentLength)}</td></tr>`)}</tbody></table></div></details>`;
}

/** @param {{each: any}} props */
function Again({each}) {
  const off = each.fileExists === false ? t("file_gone") : whyNoPrinter.value || (isActive.value ? t("why_printing") : "");
  const name = short(each.name ?? each.path, 80);
  const run = async () => {
    await postStart(`api/history/${each.id}`, {command: "reprint"});
    location.hash = "#now";
  };
  return html`<${Act} label=${t("print_again")} name=${`${t("print_again")} ${name}`} busy=${t("starting")} sure=${() => sureToStart(name, isIdle, each.path)} run=${run} off=${off} fail=${fail} />`;
}

export function History() {
  const search = word.value;
  useEffect(() => {
    const timer = setTimeout(() => load(), search ? SEARCH_DELAY : 0);
    return () => clearTimeout(timer);
  }, [job.value.state, job.value.active, search, outcomeFilter.value, by.value]);
  const rows = jobs.value ?? [];
  const isBehind = rows.length > 0 && !job.value.active && !(outcomeOf(rows[0]) in TONES); // the answer was on its way when the print ended
  useEffect(() => {
    const timer = isBehind ? setTimeout(() => load(), RELOAD_DELAY) : 0;
    return () => clearTimeout(timer);
  }, [isBehind, jobs.value]);
  return html`<${Queue} /><section class="card" aria-label=${t("history")}><h2>${t("history")}</h2>
    <div class="row tools"><label>${t("search")} <input type="search" value=${word.value} onInput=${onValue(value => (word.value = value))} /></label>
      <label>${t("ended")} <select value=${outcomeFilter.value} onChange=${onValue(value => (outcomeFilter.value = value))}><option value="">${t("ended_any")}</option>
        ${Object.keys(TONES).map(name => html`<option key=${name} value=${name}>${t(`ended_${name}`)}</option>`)}</select></label></div>
    <${Fail} of=${fail} /><${Totals} />
    ${jobs.value === null && !fail.value && html`<p class="empty">${t("loading")}</p>`}
    ${jobs.value && rows.length === 0 && html`<p class="empty">${t(search || outcomeFilter.value ? "no_match_history" : "no_history")}</p>`}
    <ul class="plainlist">${rows.map(each => {
      const outcome = t(`ended_${outcomeOf(each)}`);
      return html`<li key=${each.id} class="past"><b class=${`sign ${TONES[outcomeOf(each)] ?? ""}`} aria-hidden="true">${SIGNS[outcomeOf(each)] ?? "…"}</b>
        <${Thumbnail} path=${each.thumbnail} /><span class="what"><b>${short(each.name ?? each.path, 120)}</b>
          <small>${[outcome.startsWith("ended_") ? short(each.state, 40) : outcome, each.started && clock(each.started),
            typeof each.printTime === "number" && duration(each.printTime),
            each.filamentWeight && `${number(each.filamentWeight)} g`, short(each.material ?? "", 40)].filter(Boolean).join(" · ")}</small>
          ${each.notes && html`<small>${short(each.notes, 300)}</small>`}
          ${each.reason && html`<small class="dim">${short(why(each.reason), 300)}</small>`}</span>
        ${outcomeOf(each) in TONES && html`<span
          class="row">${!search && !outcomeFilter.value && each === rows[0] && html`<${Continue} each=${each} />`}<${Again} each=${each} /></span>`}</li>`;
    })}</ul>
    ${next.value !== null && html`<button type="button" onClick=${() => load(next.value)}>${t("earlier")}</button>`}</section>`;
}
