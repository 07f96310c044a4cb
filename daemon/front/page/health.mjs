/** The view Health: the connection to the printer, faults and recordings, what protects the heaters, and this computer. */

import {address, download, get} from "./api.mjs";
import {connectionQuality} from "./connection_quality.mjs";
import {html, signal, useEffect, useState} from "./html.mjs";
import {connectionFigures, isGone, net, printer, server, short} from "./store.mjs";
import {Act, attempt, Fail} from "./widgets.mjs";
import {clock, duration, number, sentence, size, t, tn} from "./words.mjs";

const INTERVAL = 10000; // ms between two requests
const MIN_FREE = 0.1; // share of a disk, or of the memory, that should be free

const health = signal(/** @type {any} */ (null));
const fail = signal("");
const fileFail = signal("");

function load() {
  return attempt(fail, async () => {
    health.value = await get("api/health");
  });
}

/** @param {{rows: [string, any][]}} props Rows without a value are left out. */
function Pairs({rows}) {
  const shown = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return html`<dl class="pairs">${shown.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** @param {number|null|undefined} value */
function ms(value) {
  return typeof value === "number" ? `${number(value, value < 10 ? 1 : 0)} ms` : null;
}

/** What the figures of the connection mean, in sentences. @param {any} link @returns {[string, string][]} tone and text */
function meaning(link) {
  const {sent, resends, badChecksums, wrongNumbers, timeouts, figures} = link;
  const sentences = [connectionQuality(sent, resends)];
  if (resends) sentences.push(["", t("resends_why", {wrong: number(badChecksums), missed: number(wrongNumbers), other: number(resends - badChecksums - wrongNumbers)})]);
  if (timeouts) sentences.push(["warn", tn("connection_timeouts", timeouts)]);
  if (!figures?.answers) return sentences;
  const waits = figures.late + figures.waits;
  sentences.push(waits ? ["warn", tn("connection_waited", waits)] : ["good", t("connection_never_waited")]);
  return sentences;
}

function PrinterConnection() {
  const link = connectionFigures.value;
  const gone = isGone.value || !link || typeof link.sent !== "number" || printer.value.state === "offline";
  if (gone) return html`<section class="card" aria-label=${t("printer_connection")}><h2>${t("printer_connection")}</h2><p class="empty">${t("no_figures")}</p></section>`;
  const {figures} = link;
  const window = figures && [figures.windowLines && tn("window_lines", figures.windowLines), figures.windowBytes && t("window_bytes", {n: number(figures.windowBytes)})].filter(Boolean).join(", ");
  return html`<section class="card" aria-label=${t("printer_connection")}><h2>${t("printer_connection")}</h2>
    ${meaning(link).map(([tone, text]) => html`<p key=${text} class=${tone}>${text}</p>`)}
    <${Pairs} rows=${[
      [t("sent"), number(link.sent)],
      [t("acknowledged"), number(link.acknowledged ?? 0)],
      [t("resends"), number(link.resends ?? 0)],
      [t("timeouts"), number(link.timeouts ?? 0)],
      [t("answer_half"), ms(figures?.p50)],
      [t("answer_most"), ms(figures?.p99)],
      [t("answer_longest"), ms(figures?.longest)],
      [t("stall"), figures?.answers && figures.stall ? ms(figures.stall) : null],
      [t("planner_empty"), typeof figures?.plannerEmpty === "number" ? number(figures.plannerEmpty) : null],
      [t("window"), window],
    ]} /></section>`;
}

/** @param {{kind: string, entry: any}} props */
function Recording({kind, entry}) {
  const [dialogue, setDialogue] = useState(/** @type {any} */ (null));
  const path = `api/recordings/${kind}/${address(entry.name)}`;
  const show = async () => setDialogue(dialogue ? null : await get(`${path}/dialogue`));
  return html`<li class="recording"><div class="row apart"><span class="what"><b>${clock(entry.date)}</b> <small>${size(entry.size)}</small></span>
      <span class="row"><${Act} label=${t(dialogue ? "close" : "show_dialogue")}
        name=${`${t(dialogue ? "close" : "show_dialogue")} ${clock(entry.date)}`} reads run=${show} fail=${fileFail} />
      <${Act} label=${t("download")} name=${`${t("download")} ${clock(entry.date)}`} reads run=${() => download(path, entry.name)} fail=${fileFail} /></span></div>
    ${dialogue && html`${dialogue.more > 0 && html`<p class="dim">${tn("console_gap", dialogue.more)}</p>`}
      <div class="log" tabindex="0" role="region" aria-label=${t("dialogue")}>${dialogue.lines.map((/** @type {string} */ each, /** @type {number} */ index) => html`<div
        key=${index} class=${each[0] === ">" ? "sent" : ""}>${short(each, 400)}</div>`)}</div>`}</li>`;
}

function Recordings() {
  const {faults = [], sessions = [], recording} = health.value ?? {};
  return html`<section class="card" aria-label=${t("faults")}><h2>${t("faults")}</h2>
    <p class="dim">${t("faults_what")}</p>
    ${health.value && !faults.length && html`<p class="empty">${t("no_faults")}</p>`}
    <ul class="plainlist">${faults.map((/** @type {any} */ each) => html`<${Recording} key=${each.name} kind="faults" entry=${each} />`)}</ul>
    <h2>${t("recordings")}</h2>
    ${!sessions.length && html`<p class="dim">${t(recording ? "no_recordings" : "recording_off")}</p>`}
    <ul class="plainlist">${sessions.map((/** @type {any} */ each) => html`<${Recording} key=${each.name} kind="sessions" entry=${each} />`)}</ul>
    <${Fail} of=${fileFail} /></section>`;
}

/** What turns the heaters off, and what is wrong with that. */
function Heaters() {
  const {protection, trouble} = printer.value;
  return html`<section class="card" aria-label=${t("heater_safety")}><h2>${t("heater_safety")}</h2>
    ${trouble && html`<p class="bad">${short(trouble, 400)}</p>`}
    ${!protection ? html`<p class="dim">${t("protection_unknown")}</p>`
      : protection.after ? html`<p class="good">${t("protected", {time: duration(protection.after)})}</p>`
      : html`<p class="warn">${t("unprotected", {reason: sentence(short(protection.reason))})}</p>`}
    <p class="dim">${t("protected_always")}</p></section>`;
}

/** @param {string[]|null} now @param {string[]|null} since */
function power(now, since) {
  if (!now) return null;
  if (now.length) return html`<span class="bad">${now.map(each => t(`power_${each}`)).join(", ")}</span>`;
  return since?.length ? html`<span class="warn">${t("power_was", {what: since.map(each => t(`power_${each}`)).join(", ")})}</span>` : t("power_good");
}

/** @param {any} machine */
function loadText({load: value, processors}) {
  if (typeof value !== "number") return null;
  return processors ? tn("load_of", processors, {load: number(value, 2)}) : number(value, 2);
}

function Machine() {
  const {machine = {}, memory = {}, recordTrouble} = health.value ?? {};
  const isLow = (/** @type {any} */ each) => each?.total && each.free / each.total < MIN_FREE;
  const room = (/** @type {any} */ each) => each?.total ? html`<span
    class=${isLow(each) ? "warn" : ""}>${t("free_of", {free: size(each.free), total: size(each.total)})}</span>` : null;
  return html`<section class="card" aria-label=${t("machine")}><h2>${t("machine")}</h2>
    ${recordTrouble && html`<p class="warn">${short(recordTrouble, 300)}</p>`}
    <${Pairs} rows=${[
      [t("machine_model"), machine.model && short(machine.model, 80)],
      [t("power"), power(machine.now ?? null, machine.since ?? null)],
      [t("load"), loadText(machine)],
      [t("processor"), typeof machine.temperature === "number" ? `${number(machine.temperature)} °C` : null],
      [t("memory"), room(machine.memory)],
      [t("disk"), room(machine.disk)],
      [t("running_for"), machine.uptime ? duration(machine.uptime) : null],
      ["nozzled", short(server.value.version ?? "", 40)],
      [t("own_memory"), memory.core && memory.front ? t("own_memory_of", {core: size(memory.core), front: size(memory.front)}) : null],
    ]} /></section>`;
}

export function Health() {
  useEffect(() => {
    load();
    const timer = setInterval(() => !document.hidden && net.value.state === "live" && load(), INTERVAL);
    return () => clearInterval(timer);
  }, [net.value.state]);
  return html`<p class="back"><a href="#settings">← ${t("view_settings")}</a></p><${Fail} of=${fail} />
    <div class="grid two"><div><${PrinterConnection} /><${Heaters} /></div><div><${Machine} /><${Recordings} /></div></div>`;
}
