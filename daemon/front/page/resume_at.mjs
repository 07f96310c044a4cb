/** Going on with the last print, which ended early, at a layer of its file: what is proposed, what to look at, a yes. */

import {address, Failure, get, post} from "./api.mjs";
import {html, signal, useEffect, useRef, useState} from "./html.mjs";
import {refused} from "./refusal.mjs";
import {degrees, heaterName, isActive, whyNoPrinter, whyRead} from "./state.mjs";
import {job, short} from "./store.mjs";
import {Act, Fail, Modal, overlay} from "./widgets.mjs";
import {clock, number, sentence, t} from "./words.mjs";

const PATIENCE = 900000; // ms in which a small board has read a large file
const READ = 500; // ms in which nobody has read what has come into the dialog
const ENDS = ["interrupted", "failed", "cancelled"];

const fail = signal("");

/** The print may go on: it ended early, behind some of its lines, and its file is there. @param {any} each Of the history. */
export function canGoOn(each) {
  return ENDS.includes(String(each?.state)) && each.offset > 0 && each.fileExists !== false && !isActive.value && !whyRead.value;
}

/** The button, for the last print of all. @param {{each: any}} props */
export function Continue({each}) {
  if (!canGoOn(each)) return null;
  const name = short(each.name ?? each.path, 80);
  const label = each.layersDone ? t("go_on_from", {n: number(each.layersDone)}) : t("go_on");
  const open = () => (overlay.value = () => html`<${Dialog} key=${each.id} each=${each} />`);
  return html`<button type="button" aria-label=${`${label} ${name}`} onClick=${open}>${label}</button>`;
}

/** The same on Now, which does not know the prints of the past. */
export function ContinueLast() {
  const [last, setLast] = useState(/** @type {any} */ (null));
  useEffect(() => {
    get("api/history?limit=1").then(said => setLast(said.jobs[0] ?? null), () => setLast(null));
  }, [job.value.id, job.value.state]);
  return last && html`<${Continue} each=${last} />`;
}

function close() {
  overlay.value = null;
}

/** @param {{each: any}} props */
function Dialog({each}) {
  const [found, setFound] = useState(/** @type {any} */ (null));
  const [looking, setLooking] = useState(false);
  const look = async (/** @type {object} */ place) => {
    setLooking(true);
    fail.value = "";
    try {
      setFound(await post("api/resume-at", {command: "propose", print: each.id, ...place}, {patience: PATIENCE}));
    } catch (error) {
      fail.value = /** @type {Error} */ (error).message;
    }
    setLooking(false);
  };
  useEffect(() => void look({}), []);
  useEffect(() => {
    if (isActive.value) close(); // somebody was faster
  }, [isActive.value]);
  const name = short(each.name ?? each.path, 80);
  return html`<${Modal} name="go-on" close=${close}><div class="card bare">
    <h2 id="go-on">${t("go_on_title", {name})}</h2>
    ${looking && html`<p role="status">${t("go_on_looking")}</p>`}
    <${Fail} of=${fail} />
    ${found && !looking && html`<${Proposal} key=${found.token} found=${found} look=${look} />`}
    ${!(found && !looking) && html`<div class="row"><button type="button" autofocus onClick=${close}>${t("close")}</button></div>`}</div><//>`;
}

/** @param {{found: any, look: (place: object) => void}} props */
function Proposal({found, look}) {
  const [layer, setLayer] = useState(String(found.layer ?? ""));
  const [touches, setTouches] = useState(false);
  const [read, setRead] = useState(false);
  const safe = useRef(/** @type {HTMLButtonElement|null} */ (null));
  useEffect(() => {
    safe.current?.focus({preventScroll: true});
    const timer = setTimeout(() => setRead(true), READ);
    return () => clearTimeout(timer);
  }, []);
  const {print: was, top, lift, prime} = found;
  const heat = Object.entries(found.temperatures).map(([name, target]) => `${heaterName(short(name, 20))} ${degrees(/** @type {number} */ (target))}`);
  const facts = [
    [t("go_on_layer"), `${number(found.layer ?? 0)} / ${number(found.layers)}`],
    found.height !== null && [t("go_on_height"), `${number(found.height, 2)}\u00a0mm`],
    [t("go_on_line"), number(found.line)],
    [t("go_on_heat"), heat.join(", ") || "–"],
    [t("go_on_used"), `${number(found.extruded / 1000, 2)}\u00a0m`],
  ].filter(Boolean);
  const another = (/** @type {Event} */ event) => {
    event.preventDefault();
    look({layer: Math.min(found.layers, Math.max(1, Math.round(Number(layer)) || 1))});
  };
  return html`<p>${t("go_on_was", {clock: clock(was.ended), lines: number(was.lines)})} ${was.layer ? t("go_on_was_in", {n: number(was.layer)}) : ""}
      ${was.reason ? sentence(short(was.reason)) : ""} ${t("go_on_whole")}</p>
    <dl class="facts">${facts.map((/** @type {any} */ [name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    <form class="row" onSubmit=${another}><label>${t("go_on_first")} <input type="number" inputmode="numeric" min="1" max=${found.layers} value=${layer}
      onInput=${(/** @type {any} */ event) => setLayer(event.target.value)} /></label>
      <button type="submit" disabled=${!layer || Number(layer) === found.layer}>${t("go_on_show")}</button></form>
    ${found.warnings.map((/** @type {string} */ each) => html`<p key=${each} class="warn">${sentence(short(each, 400))}</p>`)}
    <h3>${t("go_on_before")}</h3>
    <ol class="checks"><li>${t("go_on_check_part")}</li><li>${t("go_on_check_touch", {top: number(top, 2)})} <button type="button" class="small" onClick=${() => (location.hash = "#move")}>${t("go_on_move")}</button></li>
      <li>${t("go_on_check_home", {lift: number(lift)})}</li><li>${t("go_on_check_prime", {prime: number(prime)})}</li></ol>
    <p class="dim">${t("go_on_hint")}</p>
    <details><summary>${t("go_on_sequence")}</summary><pre class="scrolls" tabindex="0">${found.sequence.join("\n")}</pre></details>
    <label class="check"><input type="checkbox" checked=${touches} onChange=${(/** @type {any} */ event) => setTouches(event.target.checked)} /> ${t("go_on_touches")}</label>
    <div class="row apart"><button type="button" ref=${safe} onClick=${close}>${t("go_on_no")}</button>
      <${Act} kind="danger" label=${t("go_on_yes", {n: number(found.layer ?? 0)})} busy=${t("starting")}
        off=${whyNoPrinter.value || (touches && read ? "" : t("go_on_not_yet"))} run=${() => start(found)} done=${() => Boolean(job.value.active)} fail=${fail} /></div>`;
}

/** @param {any} found */
async function start(found) {
  try {
    await post("api/resume-at", {command: "start", token: found.token}, {patience: PATIENCE});
  } catch (error) {
    const known = error instanceof Failure && error.status === 409 ? await get(`api/files/local/${address(found.file)}`).catch(() => null) : null;
    if (!known?.gcodeAnalysis?.errors?.length || whyNoPrinter.value || isActive.value) throw error;
    refused.value = {path: found.file, name: known.name, reasons: [error instanceof Error ? error.message : ""]};
  }
  close();
  location.hash = "#now";
}
