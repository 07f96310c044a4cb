/** The view of prints: the queue, and the last prints with how they ended, found again, counted and printed once more. */

import {address, get, post} from "./api.mjs";
import {html, signal, useEffect} from "./html.mjs";
import {Queue} from "./queue.mjs";
import {isActive, whyNoPrinter} from "./state.mjs";
import {job, short} from "./store.mjs";
import {Act, ask, Fail} from "./widgets.mjs";
import {clock, duration, number, t, tn} from "./words.mjs";

const MOST = 100;

const jobs = signal(/** @type {any[]|null} */ (null));
const fail = signal("");
const ending = signal("");
const word = signal("");

const TONES = {completed: "good", failed: "bad", interrupted: "bad", cancelled: "warn"};
const SIGNS = {completed: "✓", failed: "✕", interrupted: "✕", cancelled: "–"};

async function load() {
  try {
    jobs.value = (await get(`api/history?limit=${MOST}`)).jobs;
    fail.value = "";
  } catch (error) {
    fail.value = /** @type {Error} */ (error).message;
  }
}

/** @param {any} each */
function key(each) {
  return /** @type {keyof typeof TONES} */ (String(each.state).toLowerCase());
}

/** @param {{rows: any[]}} props What the shown ones come to. */
function Totals({rows}) {
  const ended = rows.filter(each => key(each) in TONES);
  if (!ended.length) return null;
  const time = ended.reduce((sum, each) => sum + (each.printTime ?? 0), 0);
  const good = ended.filter(each => key(each) === "completed").length;
  return html`<p class="figures"><b>${tn("prints", ended.length)}</b> <span>${t("prints_good", {n: number(good)})}</span> <span>${t("prints_time", {time: duration(time)})}</span></p>`;
}

/** @param {{each: any}} props */
function Again({each}) {
  const off = whyNoPrinter.value || (isActive.value ? t("why_printing") : "");
  const name = short(each.name ?? each.path, 80);
  const sure = () => ask({title: t("start_title", {name}), body: t("start_body"), yes: t("start_yes"), no: t("start_no"), kind: "main"});
  const run = async () => {
    await post(`api/files/local/${address(each.path)}`, {command: "select", print: true});
    location.hash = "#now";
  };
  return html`<${Act} label=${t("print_again")} name=${`${t("print_again")} ${name}`} busy=${t("starting")} sure=${sure} run=${run} off=${off} fail=${fail} />`;
}

export function History() {
  useEffect(() => void load(), [job.value.state, job.value.active]);
  const looked = word.value.trim().toLowerCase();
  const rows = (jobs.value ?? []).filter(each => (!ending.value || key(each) === ending.value) && (!looked || `${each.path} ${each.name}`.toLowerCase().includes(looked)));
  return html`<${Queue} /><section class="card" aria-label=${t("history")}><h2>${t("history")}</h2>
    <div class="row tools"><label>${t("search")} <input type="search" value=${word.value} onInput=${(/** @type {any} */ event) => (word.value = event.target.value)} /></label>
      <label>${t("ended")} <select value=${ending.value} onChange=${(/** @type {any} */ event) => (ending.value = event.target.value)}><option value="">${t("ended_any")}</option>
        ${Object.keys(TONES).map(name => html`<option key=${name} value=${name}>${t(`ended_${name}`)}</option>`)}</select></label></div>
    <${Fail} of=${fail} /><${Totals} rows=${rows} />
    ${jobs.value === null && !fail.value && html`<p class="empty">${t("loading")}</p>`}
    ${jobs.value && rows.length === 0 && html`<p class="empty">${t(jobs.value.length ? "no_match_history" : "no_history")}</p>`}
    <ul class="plainlist">${rows.map(each => {
      const said = t(`ended_${key(each)}`);
      return html`<li key=${each.id} class="past"><b class=${`sign ${TONES[key(each)] ?? ""}`} aria-hidden="true">${SIGNS[key(each)] ?? "…"}</b>
        <span class="what"><b>${short(each.name ?? each.path, 120)}</b>
          <small>${[said.startsWith("ended_") ? short(each.state, 40) : said, each.started && clock(each.started),
            typeof each.printTime === "number" && duration(each.printTime)].filter(Boolean).join(" · ")}</small>
          ${each.reason && html`<small class="dim">${short(each.reason, 300)}</small>`}</span>
        ${key(each) in TONES && html`<${Again} each=${each} />`}</li>`;
    })}</ul></section>`;
}
