/** The view Now: the print, what may be done with it, what the printer says, and the last half hour of heat. */

import {choice, keepChoice, post} from "./api.mjs";
import {Chart} from "./chart.mjs";
import {computed, html, signal, useEffect, useState} from "./html.mjs";
import {Picture} from "./picture.mjs";
import {degrees, ending, halted, heaterName, heaters, isActive, isIdle, isSilent, material, percent, printsCold, state, thisPrint, waitsForPrinter, whyNoPrinter, whyRead} from "./state.mjs";
import {clockOffset, heard, isGone, isNew, job, printer, profile, sections, server, short, thumbnail, toolpath} from "./store.mjs";
import {sureToStart} from "./start.mjs";
import {Act, ask, Fail, quiet} from "./widgets.mjs";
import {Refusal} from "./refusal.mjs";
import {clock, duration, more, sentence, t, why} from "./words.mjs";

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

/** The print that somebody has cancelled while it waits for its printer: that is told to the printer when it is back. */
const givenUp = signal(/** @type {number|null} */ (null));
const isGivenUp = () => job.value.state === "reattaching" && job.value.id === givenUp.value;

async function cancel() {
  const {id, state: key} = job.value;
  await post("api/job", {command: "cancel"});
  if (key === "reattaching") givenUp.value = id;
}

/** Pause or resume in one place, cancel far from it; none of them moves when the state changes. */
function Buttons() {
  const key = job.value.state;
  const off = whyNoPrinter.value;
  const is = (/** @type {string[]} */ ...keys) => () => keys.includes(job.value.state) || !job.value.active;
  if (!isActive.value) {
    const has = job.value.file;
    return html`<div class="row apart buttons">
      ${has ? html`<${Act} key="start" kind=${halted.value ? "" : "main"} label=${t("start")} busy=${t("starting")} sure=${sureOfThisFile}
        run=${() => post("api/job", {command: "start"})} off=${off} fail=${fail}
        done=${() => Boolean(job.value.active)} />` : ""}
      <a class="button" href="#files">${t(has ? "other_file" : "choose_file")}</a></div>`;
  }
  const paused = key === "paused" || key === "resuming";
  const moving = key === "pausing" || key === "resuming" || key === "cancelling";
  return html`<div class="row apart buttons">
    ${paused
      ? html`<${Act} key="pause" kind="main" label=${t("resume")} busy=${t("resuming")} off=${off || (moving ? state.value.word : "")}
          run=${() => pause("resume")} done=${is("resuming", "printing")} fail=${fail} />`
      : html`<${Act} key="pause" kind="main" label=${t("pause")} busy=${t("pausing")} off=${off || (moving ? state.value.word : "")}
          run=${() => pause("pause")} done=${is("pausing", "paused")} fail=${fail} />`}
    <${Act} key="cancel" kind="danger" label=${t("cancel")} busy=${t("cancelling")}
      off=${key === "reattaching" ? whyRead.value || (isGivenUp() ? t("away_given_up") : "") : off || (key === "cancelling" ? state.value.word : "")}
      sure=${sureToCancel} run=${cancel} done=${() => is("cancelling")() || isGivenUp()} fail=${fail} />
  </div>`;
}

/** Where the end time comes from, on request. */
function Ending() {
  const [open, setOpen] = useState(false);
  const {origin} = job.value.progress ?? {};
  if (!ending.value) return null;
  const source = t(`origin_${String(origin ?? "none").replace(/\W/g, "_")}`);
  return html`<p class="ending"><button type="button" class="plain" aria-expanded=${open} onClick=${() => setOpen(!open)}>
    ${ending.value}</button>${open && html`<small>${source.startsWith("origin_") ? String(origin) : source}</small>`}</p>`;
}

/** Somebody has pressed Stop. @param {any} last */
function wasStopped(last) {
  return last.outcome === "failed" && last.reason === "emergency stop";
}

/** A notice below has these words already. @param {string} reason */
function isToldBelow(reason) {
  const {state: line, error} = printer.value;
  return halted.value?.text === reason || (["fault", "offline"].includes(line) && [error, null].includes(reason));
}

/** What is still on behind a print: not every slicer turns the bed off. */
const stillHeated = computed(() => heaters.value.filter(([, each]) => (each.target ?? 0) > 0).map(([name, each]) => `${heaterName(short(name, 20))} ${degrees(each.target)}`).join(", "));

function Job() {
  const {file, progress, last} = job.value;
  useEffect(() => {
    fail.value = ""; // the state has answered what nobody knew
  }, [job.value.state, job.value.id, file?.path, printer.value.state]);
  if (isGone.value) return html`<section class="card"><h2>${t("print")}</h2><p class="empty">${t(heard.value ? "job_gone" : "loading")}</p></section>`;
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
        : html`<p class="figures">${last?.name && !file ? html`<b>${short(last.name, 80)}</b>` : ""}<span>${last?.outcome ? t(wasStopped(last) ? "last_stopped" : `last_${last.outcome}`) : file ? t("file_chosen") : t("file_none")}</span>
            ${last?.reason && !wasStopped(last) && !isToldBelow(last.reason) ? html`<span class="bad">${sentence(short(last.reason))}</span>` : ""}</p>
            ${last?.outcome === "completed" && stillHeated.value && html`<p class="dim">${t("still_heated", {heaters: stillHeated.value})}</p>`}
            ${last?.outcome === "interrupted" && html`<p class="dim">${printer.value.state === "ready" ? "" : t("interrupted_hot")} ${t("interrupted_what")}</p>`}
            <${Lazy} wanted=${["interrupted", "failed"].includes(last?.outcome) && !whyRead.value} bring=${goOn} />`}
      <${Buttons} />
      <${Fail} of=${fail} />
    </div>
  </section>`;
}

const READ = 500; // ms in which nobody has read a question that took the place of another
let shownPrompt = {text: "", at: 0};

/** @param {{text: string, choices: string[]}} prompt @param {number} choice */
async function answerTo(prompt, choice) {
  if (performance.now() - shownPrompt.at < READ) throw new Error(t("prompt_new"));
  await post("api/plugin/action_command_prompt", {command: "select", choice, prompt: prompt.text});
}

const OLD = 600; // s after which nobody wants to read what the printer has said

/** @param {number|null} at */
function isFresh(at) {
  return !at || Date.now() / 1000 + clockOffset.value - at < OLD;
}

/** What a person does about a halt. @param {string|null} kind */
function whatToDo(kind) {
  const text = t(`halt_${kind}`);
  return text.startsWith("halt_") ? t("halt_null") : text;
}

/** What the printer and the print have to say, each with what it means. */
function Words() {
  const {message, prompt, trouble, error, stop, state: line} = printer.value;
  const {pauseReason, warning, error: failed, refused} = job.value;
  if (isGone.value) return null;
  const asked = prompt?.text ?? "";
  if (asked !== shownPrompt.text) shownPrompt = {text: asked, at: shownPrompt.text && asked ? performance.now() : -Infinity};
  const waits = waitsForPrinter.value;
  const halt = halted.value;
  const rows = [
    waits && {tone: "warn", head: t(isSilent.value ? "silent" : "away"), text: error ?? failed, what: t(isGivenUp() ? "away_given_up" : "away_what")},
    line === "fault" && !waits && !stop && {tone: "bad", head: t("fault"), text: error ?? failed, what: halt ? whatToDo(halt.kind) : t("fault_what")},
    line === "offline" && !waits && !isNew.value && {tone: "warn", head: t("state_offline"), text: error, what: t("offline_what")},
    halt && line !== "fault" && {tone: "bad", head: t("halted_at", {clock: clock(halt.at)}), text: halt.text, what: whatToDo(halt.kind), seen: true},
    server.value.power?.length > 0 && {tone: "warn", head: t("power_low"), text: server.value.power.map((/** @type {string} */ each) => t(`power_${each}`)).join(", "), what: t("power_low_what")},
    printsCold.value && {tone: "bad", head: t("cold"), what: t("cold_what")},
    trouble && {tone: "bad", head: t("trouble"), text: trouble},
    isActive.value && pauseReason && {tone: "warn", head: t("pause_reason"), text: pauseReason},
    isActive.value && warning && {tone: "warn", head: t("warning"), text: warning},
    isUnknown() && !isNew.value && !isTold.value && {tone: "warn", head: t("no_kind"), what: t("no_kind_what"), choose: true},
    message?.text && isFresh(message.at) && {tone: "", head: message.at ? t("message_at", {clock: clock(message.at)}) : t("message"), text: message.text},
  ].filter(Boolean);
  return html`${prompt && html`<section key=${prompt.text} class="card notice warn" role="alert"><h2>${t("prompt")}</h2><p>${short(prompt.text, 500)}</p>
      <div class="row">${(prompt.choices ?? []).map((each, index) => html`<${Act} key=${index} label=${short(each, 60)}
        run=${() => answerTo(prompt, index)}
        done=${() => !printer.value.prompt} fail=${answerFail} />`)}</div><${Fail} of=${answerFail} /></section>`}
    ${refused && !isActive.value && html`<${Refusal} path=${refused.path} name=${refused.name} reasons=${refused.reasons} />`}
    ${rows.map((/** @type {any} */ each, index) => html`<section key=${index} class=${`card notice ${each.tone}`}>
      <h2>${each.head}</h2>${each.text && html`<p>${short(why(each.text), 600)}</p>`}${each.what && html`<p class=${each.tone === "bad" ? "" : "dim"}>${each.what}</p>`}
      ${each.seen && html`<div class="row"><${Act} label=${t("halt_seen")} run=${() => post("api/connection", {command: "seen"})} done=${() => !halted.value} fail=${haltFail} />
        <a class="button" href="#health">${t("halt_lines")}</a></div><${Fail} of=${haltFail} />`}
      ${each.choose && html`<div class="row"><a class="button" href="#setup">${t("no_kind_choose")}</a><button type="button" onClick=${noKind}>${t("close")}</button></div>`}
      ${(line === "fault" || line === "offline") && !waits && each.what && html`<a class="button" href="#settings">${t("go_connect")}</a>`}</section>`)}`;
}

/** What is loaded where it is wanted. @param {{wanted: boolean, bring: () => Promise<any>}} props */
function Lazy({wanted, bring}) {
  const [Shown, setShown] = useState(/** @type {any} */ (null));
  useEffect(() => {
    if (wanted) bring().then(shown => setShown(() => shown), () => {});
  }, [wanted]);
  return wanted && Shown ? html`<${Shown} />` : null;
}
const camera = () => import("./camera.mjs").then(module => module.Camera);
let rested = false;
/** The first time it comes behind what matters more. */
const live = async () => {
  if (!rested) await quiet();
  rested = true;
  return (await import("./toolpath.mjs")).Live;
};
const goOn = () => Promise.all([import("./resume_at.mjs"), more()]).then(([module]) => module.ContinueLast);
const power = () => Promise.all([import("./power.mjs"), more()]).then(([module]) => module.Power);
const heatUp = () => import("./presets.mjs").then(module => module.HeatUp);

const setup = () => Promise.all([import("./setup.mjs"), more()]).then(([module]) => module.Setup);

/** Nobody has said what the printer is like: its volume and its limits are not checked. */
const isUnknown = () => printer.value.state === "ready" && !isActive.value && !profile.value.width && !profile.value.configured;
const isTold = signal(choice("noKind") !== "");
function noKind() {
  keepChoice("noKind", "told");
  isTold.value = true;
}

export function Now() {
  const {state: line, address} = printer.value;
  if (line === "offline" && !address) isNew.value = true;
  return html`<div class="grid two"><div><${Lazy} wanted=${isNew.value && !isGone.value}
    bring=${setup} />${(!isNew.value || isActive.value) && html`<${Job} />`}<${Words} />
    <${Lazy} wanted=${!isActive.value && !whyNoPrinter.value && !halted.value} bring=${heatUp} />
      <${Lazy} wanted=${isActive.value && Boolean(toolpath.value)} bring=${live} /></div>
    <div><${Lazy} wanted=${Boolean(sections.value.companions?.power)} bring=${power} /><${Lazy} wanted=${Boolean(server.value.camera)} bring=${camera} /><section class="card"><h2>${t("temperatures")}</h2><${Chart} /></section></div></div>`;
}
