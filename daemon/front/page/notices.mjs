/** Messages and spools in Settings: which messages are sent and what became of them, and Spoolman's spool on each tool. */

import {address, get, post} from "./api.mjs";
import {html, onChecked, signal, useEffect, useState} from "./html.mjs";
import {sections, short} from "./store.mjs";
import {Act, Fail} from "./widgets.mjs";
import {clock, number, sentence, t} from "./words.mjs";

const fail = signal("");
const spoolFail = signal("");

/** @param {string} action @param {object} [details] @returns {Promise<any>} */
function request(action, details = {}) {
  return post("api/companions/notify/ask", {do: action, with: details});
}

/** @param {any} result */
function outcome({reason, tries, over}) {
  if (!reason) return t("notify_sent");
  return t(over ? "notify_given_up" : "notify_again", {n: tries, reason: short(reason, 100)});
}

/** The results of a test, and the targets that have not answered yet. @param {any} test @returns {any[]} */
function testRows({results, waiting}) {
  return [...results, ...waiting.map((/** @type {string} */ target) => ({target, pending: true}))];
}

/** @param {{state: any, away: boolean}} props */
function Messages({state, away}) {
  const off = away ? t("notify_away") : "";
  const [test, setTest] = useState(/** @type {any} */ (null));
  const [, redraw] = useState({});
  const choose = async (/** @type {string} */ name, /** @type {boolean} */ on) => {
    fail.value = off;
    if (!off) await request("choose", {classes: {[name]: on}}).catch(error => (fail.value = error.message));
    redraw({}); // the box is ticked if the service says so
  };
  return html`<section class="card" aria-label=${t("notify")}><h2>${t("notify")}</h2>
    ${off && html`<p class="warn">${off}</p>`}
    ${state.problem && html`<p class="warn">${short(state.problem, 300)}</p>`}
    <ul class="plainlist">${Object.entries(state.classes ?? {}).map(([name, on]) => html`<li key=${name}><label class="check">
      <input type="checkbox" checked=${on} disabled=${away} onChange=${onChecked(on => choose(name, on))} /> ${t(`notify_${name}`)}</label></li>`)}</ul>
    <div class="row"><${Act} label=${t("notify_test")} busy=${t("notify_testing")} run=${async () => setTest(await request("test"))}
      off=${off || (state.targets?.length ? "" : t("notify_no_target"))} fail=${fail} /></div><${Fail} of=${fail} />
    ${test && html`<div role="status"><ul class="plainlist">${testRows(test).map(each => html`<li
      key=${each.target}>${short(each.target, 40)}: ${each.pending ? t("notify_pending") : outcome(each)}</li>`)}</ul></div>`}
    ${state.results?.length > 0 && html`<h3>${t("notify_last")}</h3>
      <ul class="plainlist">${state.results.slice(0, 8).map((/** @type {any} */ each, /** @type {number} */ at) => html`<li key=${at}
      class=${each.reason ? "warn" : ""}>
      ${clock(each.date)} ${short(each.target, 40)}: ${each.kind in state.classes ? t(`notify_${each.kind}`) : t("notify_test")} – ${outcome(each)}</li>`)}</ul>`}</section>`;
}

/** @param {any} spool */
function spoolName({id, vendor, name, material, left_weight: left}) {
  const parts = [vendor, name, material, left === null ? "" : t("spool_left", {g: number(Math.round(left))})];
  return `${id}: ${parts.filter(Boolean).map(each => short(each, 40)).join(" ")}`.replace(/: $/, "");
}

/** @param {{stock: any, away: boolean}} props */
function Spools({stock, away}) {
  const [allSpools, setAllSpools] = useState(/** @type {any[]} */ ([]));
  const load = () => request("spools").then(answer => setAllSpools(answer.spools), error => (spoolFail.value = error.message));
  useEffect(() => void (away || load()), [away]);
  const [, redraw] = useState({});
  const use = (/** @type {number} */ tool) => async (/** @type {any} */ event) => {
    spoolFail.value = "";
    const spool = event.target.value === "" ? null : Number(event.target.value);
    await request("spool", {tool, spool}).catch(error => (spoolFail.value = error.message));
    redraw({}); // the field shows the spool that the service has
  };
  const choices = (/** @type {any} */ {id, spool}) => (id === null || allSpools.some(each => each.id === id) ? allSpools : [spool ?? {id, left_weight: null}, ...allSpools]);
  return html`<section class="card" aria-label=${t("spools")}><h2>${t("spools")}</h2>
    ${stock.away && html`<p class="warn">${short(stock.away, 300)}</p>`}
    ${stock.tools.map((/** @type {any} */ each) => html`<div class="row" key=${each.tool}><label>T${each.tool} <select value=${String(each.id ?? "")} disabled=${away}
      onChange=${use(each.tool)}><option value="">${t("spool_none")}</option>
      ${choices(each).map((/** @type {any} */ one) => html`<option key=${one.id} value=${String(one.id)}>${spoolName(one)}</option>`)}</select></label></div>`)}
    ${stock.owed > 0 && html`<p class="dim">${t("spool_owed", {m: number(stock.owed / 1000, 1)})}</p>`}
    <${Fail} of=${spoolFail} /></section>`;
}

const SPOOL_WARNING = /^T\d+ (needs|prints) /;

/** Warnings about the spools on the tools for printing a file. @param {{path: string}} props */
export function SpoolWarnings({path}) {
  const [warnings, setWarnings] = useState(/** @type {string[]} */ ([]));
  useEffect(() => {
    get(`api/files/local/${address(path)}`).then(file => setWarnings((file.gcodeAnalysis?.warnings ?? []).filter((/** @type {string} */ each) => SPOOL_WARNING.test(each))), () => {});
  }, [path]);
  return warnings.map(each => html`<p key=${each} class="warn">${sentence(short(each, 300))}</p>`);
}

export function Notices() {
  const {state, away} = sections.value.companions?.notify ?? {};
  return html`<${Messages} state=${state ?? {}} away=${Boolean(away)} />
    ${state?.spoolman && html`<${Spools} stock=${state.spoolman} away=${Boolean(away)} />`}`;
}
