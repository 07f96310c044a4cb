/** Continuing the last print, which ended early, at a layer of its file: the proposal, what to check, and the confirmation. */

import {get, post} from "./api.mjs";
import {html, onChecked, onValue, signal, useEffect, useRef, useState} from "./html.mjs";
import {showRefusal} from "./refusal.mjs";
import {degrees, heaterName, isActive, whyNoPrinter, whyReadOnly} from "./state.mjs";
import {isGone, job, short} from "./store.mjs";
import {Act, attempt, Fail, Modal, overlay} from "./widgets.mjs";
import {clock, number, sentence, t} from "./words.mjs";

const TIMEOUT = 900000; // ms: a small computer reads a large file for minutes
const TAP_DELAY = 500; // ms in which a tap is ignored after the dialog has changed
const EARLY_ENDS = ["interrupted", "failed", "cancelled"];

const fail = signal("");

/** Whether a print can be continued: it ended early, after some of its lines, and its file is there. @param {any} each Of the history. */
function canContinue(each) {
  return EARLY_ENDS.includes(String(each?.state)) && each.offset > 0 && each.fileExists !== false && !isActive.value && !whyReadOnly.value;
}

/** The button for the last print. @param {{each: any}} props */
export function Continue({each}) {
  if (!canContinue(each)) return null;
  const name = short(each.name ?? each.path, 80);
  const label = each.layersDone ? t("go_on_from", {n: number(each.layersDone)}) : t("go_on");
  const open = () => (overlay.value = () => html`<${Dialog} key=${each.id} each=${each} />`);
  return html`<button type="button" aria-label=${`${label} ${name}`} onClick=${open}>${label}</button>`;
}

/** The button on Now, where the last print has to be loaded first. */
export function ContinueLast() {
  const [last, setLast] = useState(/** @type {any} */ (null));
  useEffect(() => {
    let isCurrent = true;
    const show = (/** @type {any} */ each) => isCurrent && setLast(each);
    get("api/history?limit=1").then(answer => show(answer.jobs[0] ?? null), () => show(null));
    return () => {
      isCurrent = false; // another print is the last one
    };
  }, [job.value.id, job.value.state]);
  return last && html`<${Continue} each=${last} />`;
}

/** Whether nozzled has been asked to start, and has not answered: to close the dialog now would not stop that. */
const isStarting = signal(false);

function close() {
  overlay.value = null;
}

/** Close the dialog for the user. */
function leave() {
  if (!isStarting.value || isGone.value) close();
}

/** @param {{each: any}} props */
function Dialog({each}) {
  const [proposal, setProposal] = useState(/** @type {any} */ (null));
  const [isLoading, setLoading] = useState(false);
  const load = async (/** @type {object} */ place) => {
    setLoading(true);
    fail.value = "";
    await attempt(fail, async () => setProposal(await post("api/resume-at", {command: "propose", print: each.id, ...place}, {timeout: TIMEOUT})));
    setLoading(false);
  };
  useEffect(() => void load({}), []);
  useEffect(() => {
    if (isActive.value) close(); // another browser was faster
  }, [isActive.value]);
  const name = short(each.name ?? each.path, 80);
  return html`<${Modal} name="go-on" close=${leave}><div class="card bare">
    <h2 id="go-on">${t("go_on_title", {name})}</h2>
    ${isLoading && html`<p role="status">${t("go_on_looking")}</p>`}
    <${Fail} of=${fail} />
    ${proposal && !isLoading && html`<${Proposal} key=${proposal.token} proposal=${proposal} load=${load} />`}
    ${!(proposal && !isLoading) && html`<div class="row"><button type="button" autofocus onClick=${close}>${t("close")}</button></div>`}</div><//>`;
}

/** @param {{proposal: any, load: (place: object) => void}} props */
function Proposal({proposal, load}) {
  const [layer, setLayer] = useState(String(proposal.layer ?? ""));
  const [touches, setTouches] = useState(false);
  const [read, setRead] = useState(false);
  const safe = useRef(/** @type {HTMLButtonElement|null} */ (null));
  useEffect(() => {
    safe.current?.focus({preventScroll: true});
    const timer = setTimeout(() => setRead(true), TAP_DELAY);
    return () => clearTimeout(timer);
  }, []);
  const {print: was, top, lift, prime} = proposal;
  const heat = Object.entries(proposal.temperatures).map(([name, target]) => `${heaterName(short(name, 20))} ${degrees(/** @type {number} */ (target))}`);
  const facts = [
    [t("go_on_layer"), `${number(proposal.layer ?? 0)} / ${number(proposal.layers)}`],
    proposal.height !== null && [t("go_on_height"), `${number(proposal.height, 2)}\u00a0mm`],
    [t("go_on_line"), number(proposal.line)],
    [t("go_on_heat"), heat.join(", ") || "–"],
    [t("go_on_used"), `${number(proposal.extruded / 1000, 2)}\u00a0m`],
  ].filter(Boolean);
  const showOther = (/** @type {Event} */ event) => {
    event.preventDefault();
    load({layer: Math.min(proposal.layers, Math.max(1, Math.round(Number(layer)) || 1))});
  };
  const account = [t("go_on_was", {clock: clock(was.ended), lines: number(was.lines)}), was.layer && t("go_on_was_in", {n: number(was.layer)}),
    was.reason && sentence(short(was.reason)), t("go_on_whole")].filter(Boolean).join(" ");
  return html`<p>${account}</p>
    <dl class="facts">${facts.map((/** @type {any} */ [name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    <form class="row" onSubmit=${showOther}><label>${t("go_on_first")} <input type="number" inputmode="numeric" min="1" max=${proposal.layers} value=${layer}
      onInput=${onValue(setLayer)} /></label>
      <button type="submit" disabled=${!layer || Number(layer) === proposal.layer || isStarting.value}>${t("go_on_show")}</button></form>
    ${proposal.warnings.map((/** @type {string} */ each) => html`<p key=${each} class="warn">${sentence(short(each, 400))}</p>`)}
    <h3>${t("go_on_before")}</h3>
    <ol class="checks"><li>${t("go_on_check_part")}</li>
      <li>${t("go_on_check_touch", {top: number(top, 2)})} <button type="button" class="small" onClick=${() => (location.hash = "#move")}>${t("go_on_move")}</button></li>
      <li>${t("go_on_check_home", {lift: number(lift)})}</li><li>${t("go_on_check_prime", {prime: number(prime)})}</li></ol>
    <p class="dim">${t("go_on_hint")}</p>
    <details><summary>${t("go_on_sequence")}</summary><pre class="scrolls" tabindex="0">${proposal.sequence.join("\n")}</pre></details>
    <label class="check"><input type="checkbox" checked=${touches} onChange=${onChecked(setTouches)} /> ${t("go_on_touches")}</label>
    <div class="row apart"><button type="button" ref=${safe} disabled=${isStarting.value && !isGone.value} onClick=${leave}>${t("go_on_no")}</button>
      <${Act} kind="danger" label=${t("go_on_yes", {n: number(proposal.layer ?? 0)})} busy=${t("starting")}
        off=${whyNoPrinter.value || (touches && read ? "" : t("go_on_not_yet"))} run=${() => start(proposal)} done=${() => Boolean(job.value.active)} fail=${fail} /></div>`;
}

/** @param {any} proposal */
async function start(proposal) {
  isStarting.value = true;
  try {
    await post("api/resume-at", {command: "start", token: proposal.token}, {timeout: TIMEOUT});
  } catch (error) {
    await showRefusal(error, proposal.file);
  } finally {
    isStarting.value = false;
  }
  close();
  location.hash = "#now";
}
