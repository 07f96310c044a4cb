/** The view Now: the print and its buttons, what the printer and the print report, temperatures, toolpath and camera. */

import {choice, keepChoice, post, postStart} from "./api.mjs";
import {Chart} from "./chart.mjs";
import {Guard} from "./guard.mjs";
import {computed, effect, html, signal, useEffect, useState} from "./html.mjs";
import {Picture} from "./picture.mjs";
import {Refusal} from "./refusal.mjs";
import {sureToStart} from "./start.mjs";
import {degrees, ending, halted, heaterName, heaters, isActive, isIdle, isSilent, material, percent, printsCold, state, thisPrint,
  waitsForPrinter, whyNoPrinter, whyReadOnly} from "./state.mjs";
import {clockOffset, heardAt, isGone, isNew, job, printer, profile, sections, server, short, thumbnail, toolpath} from "./store.mjs";
import {Act, ask, Fail, untilIdle} from "./widgets.mjs";
import {clock, duration, loadMoreTexts, sentence, t, why} from "./words.mjs";

const fail = signal("");
const answerFail = signal("");
const haltFail = signal("");

/** @param {string} action */
function pause(action) {
  return post("api/job", {command: "pause", action});
}

function sureToCancel() {
  const {file, progress} = job.value;
  const done = percent.value === null ? "" : `${Math.floor(percent.value)} %`;
  return ask({
    title: t("cancel_title", {name: short(file?.name ?? t("this_print"), 80)}),
    body: t("cancel_body", {time: duration(progress?.time ?? 0), done: done || "–"}),
    yes: t("cancel_yes"),
    no: t("cancel_no"),
    holds: thisPrint(),
  });
}

function sureOfThisFile() {
  const {file} = job.value;
  return sureToStart(file?.name, () => isIdle() && job.value.file?.path === file?.path, file?.path);
}

/** The id of a print that was cancelled while its printer was away: it ends when the printer is back. */
const cancelledAway = signal(/** @type {number|null|undefined} */ (undefined)); // null is the id of a print without a record
const isCancelledAway = () => job.value.state === "reattaching" && job.value.id === cancelledAway.value;

// the next print may be without an id too
effect(() => {
  if (job.value.state !== "reattaching") cancelledAway.value = undefined;
});

async function cancel() {
  const {id, state: key} = job.value;
  await post("api/job", {command: "cancel"});
  if (key === "reattaching" && job.value.state === key) cancelledAway.value = id;
}

/** Pause or resume in one place, cancel far from it; no button moves when the state changes. */
function Buttons() {
  const key = job.value.state;
  const off = whyNoPrinter.value;
  const isIn = (/** @type {string[]} */ ...keys) => () => keys.includes(job.value.state) || !job.value.active;
  if (!isActive.value) {
    const {file} = job.value;
    return html`<div class="row apart buttons">
      ${file ? html`<${Act} key="start" kind=${halted.value ? "" : "main"} label=${t("start")} busy=${t("starting")} sure=${sureOfThisFile}
        run=${() => postStart("api/job", {command: "start"})} off=${off} fail=${fail}
        done=${() => Boolean(job.value.active)} />` : ""}
      <a class="button" href="#files">${t(file ? "other_file" : "choose_file")}</a></div>`;
  }
  const paused = key === "paused" || key === "resuming";
  const isChanging = key === "pausing" || key === "resuming" || key === "cancelling";
  return html`<div class="row apart buttons">
    ${paused
      ? html`<${Act} key="pause" kind="main" label=${t("resume")} busy=${t("resuming")} off=${off || (isChanging ? state.value.word : "")}
          run=${() => pause("resume")} done=${isIn("resuming", "printing")} fail=${fail} />`
      : html`<${Act} key="pause" kind="main" label=${t("pause")} busy=${t("pausing")} off=${off || (isChanging ? state.value.word : "")}
          run=${() => pause("pause")} done=${isIn("pausing", "paused")} fail=${fail} />`}
    <${Act} key="cancel" kind="danger" label=${t("cancel")} busy=${t("cancelling")}
      off=${key === "reattaching" ? whyReadOnly.value || (isCancelledAway() ? t("away_given_up") : "") : off || (key === "cancelling" ? state.value.word : "")}
      sure=${sureToCancel} run=${cancel} done=${() => isIn("cancelling")() || isCancelledAway()} fail=${fail} />
  </div>`;
}

/** The time left; a press shows how it was estimated. */
function Ending() {
  const [open, setOpen] = useState(false);
  const {origin} = job.value.progress ?? {};
  if (!ending.value) return null;
  const source = t(`origin_${String(origin ?? "none").replace(/\W/g, "_")}`);
  return html`<p class="ending"><button type="button" class="plain" aria-expanded=${open} onClick=${() => setOpen(!open)}>
    ${ending.value}</button>${open && html`<small>${source.startsWith("origin_") ? String(origin) : source}</small>`}</p>`;
}

/** Whether an emergency stop ended the last print. @param {any} last */
function wasStopped(last) {
  return last.outcome === "failed" && last.reason === "emergency stop";
}

/** Whether one of the notices already shows this reason. @param {string} reason */
function isShownBelow(reason) {
  const {state: connection, error} = printer.value;
  return halted.value?.text === reason || (["fault", "offline"].includes(connection) && [error, null].includes(reason));
}

/** The heaters that are still on, with their temperatures: not every slicer turns the bed off at the end. */
const stillHeated = computed(() => heaters.value.filter(([, each]) => (each.target ?? 0) > 0).map(([name, each]) => `${heaterName(short(name, 20))} ${degrees(each.target)}`).join(", "));

function Job() {
  const {file, progress, last} = job.value;
  useEffect(() => {
    fail.value = ""; // the state has changed since
  }, [job.value.state, job.value.id, file?.path, printer.value.state]);
  if (isGone.value) return html`<section class="card"><h2>${t("print")}</h2><p class="empty">${t(heardAt.value ? "job_gone" : "loading")}</p></section>`;
  const share = percent.value;
  const layer = progress?.layer;
  return html`<section class=${`card ${thumbnail.value ? "job" : ""}`} aria-label=${t("print")}>
    ${thumbnail.value && html`<${Picture} path=${thumbnail.value} />`}
    <div class="what">
      <h2>${file ? short(file.name, 120) : t("no_file")}</h2>
      ${isActive.value
        ? html`<progress max="100" value=${share ?? 0} aria-label=${t("progress")}></progress>
          <p class="figures"><b>${share === null ? "–" : `${Math.floor(share)} %`}</b>
            ${layer > 0 && html`<span>${t("layer", {n: layer, of: progress.layers ?? "?"})}</span>`}
            ${material.value && html`<span>${material.value}</span>`}
            ${typeof progress?.time === "number" && html`<span>${t("printed_for", {time: duration(progress.time)})}</span>`}</p>
          <${Ending} />`
        : html`<p class="figures">${last?.name && !file ? html`<b>${short(last.name, 80)}</b>` : ""}
            <span>${last?.outcome ? t(wasStopped(last) ? "last_stopped" : `last_${last.outcome}`) : t(file ? "file_chosen" : "file_none")}</span>
            ${last?.reason && !wasStopped(last) && !isShownBelow(last.reason) ? html`<span class="bad">${sentence(short(last.reason))}</span>` : ""}</p>
            ${last?.outcome === "completed" && stillHeated.value && html`<p class="dim">${t("still_heated", {heaters: stillHeated.value})}</p>`}
            ${last?.outcome === "interrupted" && html`<p class="dim">${printer.value.state === "ready" ? "" : t("interrupted_hot")} ${t("interrupted_what")}</p>`}
            <${Lazy} when=${["interrupted", "failed"].includes(last?.outcome) && !whyReadOnly.value} load=${goOn} />`}
      <${Buttons} />
      <${Fail} of=${fail} />
    </div>
  </section>`;
}

const ANSWER_DELAY = 500; // ms in which no answer is sent after one question has replaced another
let shownPrompt = {text: "", at: 0};

/** @param {{text: string, choices: string[]}} prompt @param {number} choice */
async function answerTo(prompt, choice) {
  if (performance.now() - shownPrompt.at < ANSWER_DELAY) throw new Error(t("prompt_new"));
  await post("api/plugin/action_command_prompt", {command: "select", choice, prompt: prompt.text});
}

const MAX_MESSAGE_AGE = 600; // s after which a message of the printer is no longer shown

/** @param {number|null} at */
function isFresh(at) {
  return !at || Date.now() / 1000 + clockOffset.value - at < MAX_MESSAGE_AGE;
}

/** What to do about a halt. @param {string|null} kind */
function whatToDo(kind) {
  const text = t(`halt_${kind}`);
  return text.startsWith("halt_") ? t("halt_null") : text;
}

/**
 * What printer and print report: `tone`, `head`, the reported `text`, and `what` it means or what to do about it; `connects`,
 * `seen` and `choose` are for notices with a button.
 * @returns {any[]}
 */
function noticeRows() {
  const {message, trouble, error, stop, state: connection} = printer.value;
  const {pauseReason, warning, error: failed} = job.value;
  const power = server.value.power ?? [];
  const waits = waitsForPrinter.value;
  const halt = halted.value;
  return [
    waits && {tone: "warn", head: t(isSilent.value ? "silent" : "away"), text: error ?? failed, what: t(isCancelledAway() ? "away_given_up" : "away_what")},
    connection === "fault" && !waits && !stop && {tone: "bad", head: t(halt ? "fault" : "no_connection"), text: error ?? failed, what: halt ? whatToDo(halt.kind) : t("no_connection_what"), connects: true},
    connection === "offline" && !waits && !isNew.value && {tone: "warn", head: t("state_offline"), text: error, what: t("offline_what"), connects: true},
    halt && connection !== "fault" && {tone: "bad", head: t("halted_at", {clock: clock(halt.at)}), text: halt.text, what: whatToDo(halt.kind), seen: true},
    power.length > 0 && {tone: "warn", head: t("power_low"), text: power.map((/** @type {string} */ each) => t(`power_${each}`)).join(", "), what: t("power_low_what")},
    printsCold.value && {tone: "bad", head: t("cold"), what: t("cold_what")},
    trouble && {tone: "bad", head: t("trouble"), text: trouble},
    isActive.value && pauseReason && {tone: "warn", head: t("pause_reason"), text: pauseReason},
    isActive.value && warning && {tone: "warn", head: t("warning"), text: warning},
    isUnknown() && !isNew.value && !isUnknownHidden.value && {tone: "warn", head: t("no_kind"), what: t("no_kind_what"), choose: true},
    message?.text && isFresh(message.at) && {tone: "", head: message.at ? t("message_at", {clock: clock(message.at)}) : t("message"), text: message.text},
  ].filter(Boolean);
}

/** @param {{row: any}} props */
function Notice({row}) {
  const {tone, head, text, what, connects, seen, choose} = row;
  return html`<section class=${`card notice ${tone}`}>
    <h2>${head}</h2>${text && html`<p>${short(why(text), 600)}</p>`}${what && html`<p class=${tone === "bad" ? "" : "dim"}>${what}</p>`}
    ${seen && html`<div class="row"><${Act} label=${t("halt_seen")} run=${() => post("api/connection", {command: "seen"})} done=${() => !halted.value} fail=${haltFail} />
      <a class="button" href="#health">${t("halt_lines")}</a></div><${Fail} of=${haltFail} />`}
    ${choose && html`<div class="row"><a class="button" href="#setup">${t("no_kind_choose")}</a><button type="button" onClick=${hideUnknown}>${t("close")}</button></div>`}
    ${connects && html`<a class="button" href="#settings">${t("go_connect")}</a>`}</section>`;
}

/** A question of the printer. @param {{prompt: {text: string, choices: string[]}}} props */
function Prompt({prompt}) {
  return html`<section class="card notice warn" role="alert"><h2>${t("prompt")}</h2><p>${short(prompt.text, 500)}</p>
    <div class="row">${(prompt.choices ?? []).map((each, index) => html`<${Act} key=${index} label=${short(each, 60)} run=${() => answerTo(prompt, index)}
      done=${() => !printer.value.prompt} fail=${answerFail} />`)}</div><${Fail} of=${answerFail} /></section>`;
}

/** The printer's question, why a file was refused, and all notices. */
function Notices() {
  const {prompt} = printer.value;
  const {refused} = job.value;
  if (isGone.value) return null;
  const asked = prompt?.text ?? "";
  if (asked !== shownPrompt.text) shownPrompt = {text: asked, at: shownPrompt.text && asked ? performance.now() : -Infinity};
  return html`${prompt && html`<${Prompt} key=${prompt.text} prompt=${prompt} />`}
    ${refused && !isActive.value && html`<${Refusal} path=${refused.path} name=${refused.name} reasons=${refused.reasons} />`}
    ${noticeRows().map((row, index) => html`<${Notice} key=${index} row=${row} />`)}`;
}

/** A part that is loaded when it is shown for the first time. @param {{when: boolean, load: () => Promise<any>}} props */
function Lazy({when, load}) {
  const [Part, setPart] = useState(/** @type {any} */ (null));
  useEffect(() => {
    if (when) load().then(part => setPart(() => part), () => {});
  }, [when]);
  return when && Part ? html`<${Guard}><${Part} /><//>` : null;
}

const camera = () => import("./camera.mjs").then(module => module.Camera);
let hasWaited = false;
/** The toolpath; on the first load, after everything that matters more. */
const live = async () => {
  if (!hasWaited) await untilIdle();
  hasWaited = true;
  return (await import("./toolpath.mjs")).Live;
};
const goOn = () => Promise.all([import("./resume_at.mjs"), loadMoreTexts()]).then(([module]) => module.ContinueLast);
const power = () => Promise.all([import("./power.mjs"), loadMoreTexts()]).then(([module]) => module.Power);
const heatUp = () => import("./presets.mjs").then(module => module.HeatUp);
const setup = () => Promise.all([import("./setup.mjs"), loadMoreTexts()]).then(([module]) => module.Setup);

/** Whether the printer's size and limits are unknown, so that they are not checked. */
const isUnknown = () => printer.value.state === "ready" && !isActive.value && !profile.value.width && !profile.value.configured;
/** Whether the user has closed the notice about that. */
const isUnknownHidden = signal(choice("noKind") !== "");
function hideUnknown() {
  keepChoice("noKind", "hidden");
  isUnknownHidden.value = true;
}

export function Now() {
  const {state: connection, address} = printer.value;
  if (connection === "offline" && !address) isNew.value = true;
  return html`<div class="grid two"><div><${Lazy} when=${isNew.value && !isGone.value}
    load=${setup} />${(!isNew.value || isActive.value) && html`<${Job} />`}<${Notices} />
    <${Lazy} when=${!isActive.value && !whyNoPrinter.value && !halted.value} load=${heatUp} />
      <${Lazy} when=${isActive.value && Boolean(toolpath.value)} load=${live} /></div>
    <div><${Lazy} when=${Boolean(sections.value.companions?.power)} load=${power} /><${Lazy} when=${Boolean(server.value.camera)} load=${camera} />
      <section class="card"><h2>${t("temperatures")}</h2><${Chart} /></section></div></div>`;
}
