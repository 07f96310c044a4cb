/** Power switches, sensors, and the countdown before the printer is switched off. */

import {post} from "./api.mjs";
import {html, signal, useEffect, useState} from "./html.mjs";
import {clockOffset, isGone, sections, short} from "./store.mjs";
import {Act, ask, Fail} from "./widgets.mjs";
import {t, why} from "./words.mjs";

const fail = signal("");
const TIMEOUT = 15000; // ms: a smart plug may be slow
const FORCE = / *Send "force".*/; // how the service says that a refusal can be overruled

const service = () => sections.value.companions?.power ?? {};

/** @param {string} action @param {object} [details] @returns {Promise<any>} */
function request(action, details = {}) {
  return post("api/companions/power/ask", {do: action, with: details}, {timeout: TIMEOUT});
}

/** Switch off; if that is refused because of a print or heat, ask whether to do it anyway; false: it stays on. @param {string} device */
async function switchOff(device) {
  try {
    return await request("off", {device});
  } catch (error) {
    const text = /** @type {Error} */ (error).message;
    if (!FORCE.test(text)) throw error;
    const body = `${short(why(text.replace(FORCE, "")), 300)} ${t("psu_force_body")}`;
    const isSure = await ask({title: t("psu_force_title", {name: short(device, 40)}), body, yes: t("psu_force_yes"), no: t("psu_force_no")});
    return isSure && request("off", {device, force: true});
  }
}

/** @param {{device: any, away: boolean}} props */
function Switch({device, away}) {
  const {name, on} = device;
  const isOn = () => (service().state?.devices ?? []).find((/** @type {any} */ each) => each.name === name)?.on;
  const whyNot = away ? t("psu_away") : "";
  const button = (/** @type {boolean} */ wanted) => html`<${Act} key=${wanted} label=${t(wanted ? "psu_on" : "psu_off")} busy=${t("psu_switching")}
    name=${t(wanted ? "psu_on_name" : "psu_off_name", {name: short(name, 40)})} off=${whyNot} fail=${fail}
    run=${() => (wanted ? request("on", {device: name}) : switchOff(name))} done=${() => isOn() !== !wanted} timeout=${TIMEOUT} />`;
  return html`<div class="row apart"><span>${short(name, 40)}: <b>${t(on === null ? "psu_is_unknown" : on ? "psu_is_on" : "psu_is_off")}</b>${device.error && html` <small class="warn">${short(device.error, 200)}</small>`}</span>
    <span class="row">${on !== true && button(true)}${on !== false && button(false)}</span></div>`;
}

/** @param {{at: number, name: string}} props */
function Countdown({at, name}) {
  const left = () => Math.max(0, Math.round(at - Date.now() / 1000 - clockOffset.value));
  const [seconds, setSeconds] = useState(left());
  useEffect(() => {
    const timer = setInterval(() => setSeconds(left()), 1000);
    return () => clearInterval(timer);
  }, [at]);
  return html`<div class="row apart"><p class="warn" role="status">${t("psu_goes_off", {name: short(name, 40)})}</p><b aria-hidden="true">${t("psu_seconds", {n: seconds})}</b>
    <${Act} label=${t("psu_keep")} kind="main" run=${() => request("cancel")} done=${() => !service().state?.offAt} fail=${fail} /></div>`;
}

export function Power() {
  const {state, away} = service();
  if (isGone.value) return html`<section class="card" aria-label=${t("psu_heading")}><h2>${t("psu_heading")}</h2><p class="empty">${t("why_no_link")}</p></section>`;
  if (!state) return html`<section class="card" aria-label=${t("psu_heading")}><h2>${t("psu_heading")}</h2><p class="warn">${t("psu_away")}</p></section>`;
  const {filament = [], stop} = state.sensors ?? {};
  return html`<section class="card" aria-label=${t("psu_heading")}><h2>${t("psu_heading")}</h2>
    ${away && html`<p class="warn">${t("psu_away")}</p>`}
    ${state.offAt && html`<${Countdown} at=${state.offAt} name=${state.printer} />`}
    ${state.devices.map((/** @type {any} */ device) => html`<${Switch} key=${device.name} device=${device} away=${Boolean(away)} />`)}
    ${filament.map((/** @type {any} */ each) => html`<p key=${each.name}
      class=${each.present ? "dim" : "warn"}>${t(each.present ? "filament_there" : "filament_none", {name: short(each.name, 40)})}</p>`)}
    ${stop && html`<p class=${stop.pushed ? "warn" : "dim"}>${t(stop.pushed ? "stop_pushed" : "stop_ready")}</p>`}
    <${Fail} of=${fail} /></section>`;
}
