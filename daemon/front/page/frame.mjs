/** The frame around every view: Stop, state, heaters, progress, freshness, and the navigation. */

import {Failure, gcode, post} from "./api.mjs";
import {html, signal, useEffect, useRef, useState} from "./html.mjs";
import {tryNow} from "./link.mjs";
import {degrees, ending, heatAge, heaterName, heaters, isActive, percent, state, target, whyReadOnly} from "./state.mjs";
import {accessRequests, age, GRACE, isAdmin, isGone, isStale, job, net, newVersion, now, printer, server, short} from "./store.mjs";
import {Act, dialogs, Fail, Icon} from "./widgets.mjs";
import {duration, t, tn} from "./words.mjs";

const HOLD_TIME = 400; // ms that a finger has to press Stop
const HINT_TIME = 3000; // ms that the hint is shown after a finger was lifted too early
const connectFail = signal("");

/** What became of the last Stop, as a sentence; empty: none was pressed, or the printer has answered. */
export const stopText = signal("");

let presses = 0; // of Stop

async function sendStop() {
  presses += 1;
  const press = presses;
  stopText.value = t("stop_sending");
  try {
    await gcode({command: "M112"}, {late: true}); // a stop is right however late it comes
    stopText.value = t("stop_sent");
  } catch (error) {
    if (press !== presses) return; // the latest press tells whether a stop can be sent
    if (error instanceof Failure && error.status === 0) stopText.value = t("stop_unknown"); // it may have been sent
    else stopText.value = t("stop_failed", {text: error instanceof Failure ? error.message : String(error)});
  }
}

/** The button Stop: a finger has to hold it, a mouse or a key presses it. No script can (`isTrusted`). */
export function Stop() {
  const [hint, setHint] = useState("");
  const [holding, setHolding] = useState(false);
  const timer = useRef(0);
  const finger = useRef(false);
  function down(/** @type {PointerEvent} */ event) {
    finger.current = event.pointerType !== "mouse";
    if (!event.isTrusted || !finger.current) return;
    setHolding(true);
    setHint("");
    timer.current = setTimeout(() => {
      timer.current = 0;
      setHolding(false);
      sendStop();
    }, HOLD_TIME);
  }
  function up(/** @type {PointerEvent} */ event) {
    setHolding(false);
    if (!timer.current) return;
    clearTimeout(timer.current);
    timer.current = 0;
    if (!event.isTrusted) return;
    setHint(t("stop_hold"));
    setTimeout(() => setHint(""), HINT_TIME);
  }
  function click(/** @type {MouseEvent} */ event) {
    if (!event.isTrusted) return;
    if (finger.current && event.detail > 0) return; // a finger is handled in `up`
    setHint("");
    sendStop();
  }
  return html`<div class="stopbox">
    <button type="button" id="stop" class=${`${holding ? "holding" : ""} ${whyReadOnly.value ? "weak" : ""}`} title=${whyReadOnly.value} onPointerDown=${down} onPointerUp=${up}
      onPointerCancel=${up} onPointerLeave=${up} onClick=${click}
      onContextMenu=${(/** @type {Event} */ event) => event.preventDefault()}><span class=${hint ? "hint" : ""} aria-live="polite">${hint || t("stop")}</span></button>
  </div>`;
}

/** Whether the dialog with the requests for access is open. */
export const isAnsweringAccess = signal(false);

/** A button for requests for access, in space that is always reserved: a stranger's request moves nothing under a finger. */
function AccessBadge() {
  const count = isAdmin.value ? Object.keys(accessRequests.value).length : 0;
  return html` <span role="status">${count > 0 && html`<button type="button" class="access" onClick=${() => (isAnsweringAccess.value = true)}>${tn("access_badge", count)}</button>`}</span>`;
}

/** A button that shrinks to a sign on small screens. @param {{label: string, run: () => void}} props */
function Again({label, run}) {
  return html`<button type="button" class="small again" aria-label=${label} title=${label} onClick=${run}><span>${label}</span></button>`;
}

/** How fresh the values are. This is always there, so that nothing moves when the connection is lost. */
function Freshness() {
  const {state: link, since, retryAt, reason} = net.value;
  const seconds = (now.value - since) / 1000;
  if (link === "live" && !isStale.value) {
    return newVersion.value
      ? html`<p class="fresh warn">${t("updated")} <${Again} label=${t("reload")} run=${() => location.reload()} /></p>`
      : html`<p class="fresh">${server.value.name ? `${short(server.value.name, 40)} · ` : ""}${heatAge.value ? html`<span
        class="warn">${t("heat_old", {age: duration(heatAge.value)})}</span>` : t("fresh")}${whyReadOnly.value && html`<span>${t("may_look")}</span>`}<${AccessBadge} /></p>`;
  }
  if (link === "boot" && !reason && seconds < GRACE) return html`<p class="fresh">${t("state_boot")}</p>`;
  if (link === "lost" && seconds < GRACE && !isStale.value) return html`<p class="fresh">${t("fresh_lost")}</p>`;
  const old = age.value === null ? t("fresh_never") : t("fresh_old", {age: age.value});
  const wait = Math.ceil((retryAt - now.value) / 1000);
  const next = wait > 0 ? t("fresh_next", {n: wait}) : t("fresh_trying");
  return html`<p class="fresh bad" id="banner"><span>${link === "live" ? t("fresh_silent") : t("fresh_no_link")} · ${old}
    ${link === "live" ? "" : html` · ${next}`}${reason ? ` · ${short(reason)}` : ""}</span>
    ${link === "live" ? "" : html`<${Again} label=${t("try_now")} run=${tryNow} />`}</p>`;
}

function Heaters() {
  return html`<dl class=${isStale.value || heatAge.value ? "heaters old" : "heaters"}>${heaters.value.map(([name, each]) => html`
    <div key=${name}><dt>${heaterName(short(name, 20))}</dt>
      <dd><b>${degrees(each.actual)}</b> <span>${target(each.target)}</span></dd></div>`)}</dl>`;
}

function Progress() {
  const share = percent.value;
  const at = share === null ? "–" : `${Math.floor(share)} %`;
  if (!isActive.value) return html`<p class="progress idle">${isGone.value ? "" : t("no_print")}</p>`;
  return html`<div class="progress">
    <progress max="100" value=${share ?? 0} aria-label=${t("progress_of", {name: short(job.value.file?.name, 60)})}></progress>
    <p><b>${at}</b> <span>${ending.value}</span></p></div>`;
}

/** Tells screen readers what changes: the state, and each tenth of a print. */
function Announcer() {
  const share = isActive.value && percent.value !== null ? Math.floor(percent.value / 10) * 10 : null;
  return html`<p class="hidden" role="status">${state.value.word}${share ? `, ${share} %` : ""}</p>`;
}

/** After a Stop: whether the printer confirmed it, and how to reconnect. */
function StopResult() {
  const stopAnswer = isGone.value ? null : printer.value.stop;
  useEffect(() => {
    // the printer's answer is shown instead; once that is gone, a press that came after it no longer waits for one
    if (stopAnswer || stopText.value === t("stop_sent")) stopText.value = "";
  }, [stopAnswer]);
  if (!stopText.value && !stopAnswer) return null;
  const bad = stopAnswer === "unconfirmed" || (!stopAnswer && stopText.value !== t("stop_sent") && stopText.value !== t("stop_sending"));
  const text = stopAnswer ? t(stopAnswer === "confirmed" ? "stop_confirmed" : "stop_unconfirmed") : stopText.value;
  return html`<p class=${bad ? "notice bad" : "notice warn"} role="alert"><span>${text}</span>
    ${stopAnswer && html`<${Act} label=${t("stop_next")} busy=${t("connecting")} fail=${connectFail}
      run=${() => post("api/connection", {command: "connect"})} done=${() => printer.value.state !== "fault"} /><${Fail} of=${connectFail} />`}
    <button type="button" class="small" onClick=${() => (stopText.value = "")} hidden=${Boolean(stopAnswer)}>${t("close")}</button></p>`;
}

/** Views that are part of another one in the navigation. */
const PARENTS = {health: "settings", setup: "settings"};
const VIEWS = ["now", "files", "move", "console", "history", "settings"];

/** @param {{view: string}} props */
export function Frame({view}) {
  const {word, icon, tone} = state.value;
  return html`<header>
    <div class="top">
      <div class="always"><${Stop} />
        <div class=${`state ${tone} ${isStale.value ? "old" : ""}`}><${Icon} name=${icon} /><h1>${word}</h1></div></div>
      <${Heaters} />
      <${Progress} />
    </div>
    <div class="news"><${Freshness} /><${StopResult} /></div>
    <${Announcer} />
  </header>
  <nav aria-label=${t("views")} inert=${dialogs.value > 0}>${VIEWS.map(name => html`<a key=${name}
    href=${`#${name}`} aria-current=${name === (PARENTS[/** @type {keyof typeof PARENTS} */ (view)] ?? view) ? "page" : null}>
    <${Icon} name=${name} /><span>${t(`view_${name}`)}</span></a>`)}</nav>`;
}
