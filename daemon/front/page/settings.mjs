/** The view Settings: connection, printer, health, scripts, appearance, devices, options, and what companions add. */

import {get, post} from "./api.mjs";
import {connectionQuality} from "./connection_quality.mjs";
import {Devices} from "./devices.mjs";
import {Guard} from "./guard.mjs";
import {html, onValue, signal, useEffect, useState} from "./html.mjs";
import {Looks} from "./looks.mjs";
import {Options} from "./options.mjs";
import {isActive, isIdle, percent, thisPrint} from "./state.mjs";
import {connectionFigures, isAdmin, isGone, job, newVersion, printer, profile, sections, server, short} from "./store.mjs";
import {Act, ask, Fail} from "./widgets.mjs";
import {sentence, t, tn, why} from "./words.mjs";

const connectFail = signal("");
const printerFail = signal("");

// -- connection --------------------------------------------------------------------------------------------

function sureToDisconnect() {
  if (!isActive.value) {
    return ask({title: t("disconnect_idle"), body: t("disconnect_idle_body"), yes: t("disconnect"), no: t("stay_connected"), holds: isIdle});
  }
  return ask({
    title: t("disconnect_title", {name: short(job.value.file?.name ?? t("this_print"), 80)}),
    body: t("disconnect_body", {done: percent.value === null ? "–" : `${Math.floor(percent.value)} %`}),
    yes: t("disconnect"),
    no: t("cancel_no"),
    holds: thisPrint(),
  });
}

function Connection() {
  const [options, setOptions] = useState(/** @type {any} */ (null));
  const [port, setPort] = useState("");
  const [rate, setRate] = useState("");
  const load = () => get("api/connection").then(answer => setOptions(answer.options), error => (connectFail.value = error.message));
  useEffect(() => void load(), [printer.value.state]);
  const {state: connection, address, baudrate, firmware, error} = printer.value;
  const isConnected = connection === "ready" || connection === "opening" || connection === "handshaking";
  const ports = options?.ports ?? [];
  const connect = () => post("api/connection", {command: "connect", save: true, ...(port && {port}), ...(rate && (rate === "find" ? {find: true} : {baudrate: Number(rate)}))});
  return html`<section class="card" aria-label=${t("connection")}><h2>${t("connection")}</h2>
    ${isConnected ? html`<dl class="pairs"><div><dt>${t("port")}</dt><dd>${short(address ?? "–", 80)}</dd></div>
        <div><dt>${t("baudrate")}</dt><dd>${baudrate ?? "–"}</dd></div>
        <div><dt>${t("firmware")}</dt><dd>${short(firmware ?? "–", 120)}</dd></div></dl>
      <${Act} kind="danger" label=${t("disconnect")} busy=${t("disconnecting")} sure=${sureToDisconnect}
        run=${() => post("api/connection", {command: "disconnect"})} fail=${connectFail}
        done=${() => printer.value.state === "offline" || printer.value.state === "fault"} />`
    : html`${error && html`<p>${short(why(error), 400)}</p>`}
      <p class="dim">${ports.length ? tn("ports_found", ports.length) : t("no_ports")}</p>
      <div class="row"><label>${t("port")} <select value=${port} onChange=${onValue(setPort)}>
        <option value="">${options?.portPreference ? short(options.portPreference, 60) : t("configured")}</option>
        ${ports.filter((/** @type {string} */ each) => each !== options?.portPreference).map((/** @type {string} */ each) => html`<option key=${each}
          value=${each}>${short(each, 60)}</option>`)}</select></label>
      <label>${t("baudrate")} <select value=${rate} onChange=${onValue(setRate)}>
        <option value="">${t("configured")}</option><option value="find">${t("find_baudrate")}</option>
        ${(options?.baudrates ?? []).map((/** @type {number} */ each) => html`<option key=${each} value=${each}>${each}</option>`)}</select></label></div>
      <div class="row"><${Act} kind="main" label=${t("connect")} busy=${t("connecting")} run=${connect} fail=${connectFail}
        done=${() => printer.value.state === "ready" || printer.value.state === "fault"} />
        <button type="button" onClick=${load}>${t("look_again")}</button></div><p><a href="#setup">${t("setup_again")}</a></p>`}
    <${Fail} of=${connectFail} /></section>`;
}

// -- printer -----------------------------------------------------------------------------------------------

function PrinterCard() {
  const [models, setModels] = useState(/** @type {any} */ (null));
  const [chosen, setChosen] = useState(/** @type {string|null} */ (null));
  const load = () => get("api/printerpresets").then(setModels, error => (printerFail.value = error.message));
  useEffect(() => void load(), [printer.value.state, sections.value.profile]); // the printer names its model; another browser may choose a preset
  const {name, width, depth, height, extruders, maxHotend, maxBed} = profile.value;
  const current = models?.current ?? "";
  const suggested = models?.presets?.find((/** @type {any} */ each) => each.id === models.suggested);
  const use = async (/** @type {string|null} */ preset) => {
    await post("api/printerpresets", {command: "use", preset});
    setChosen(now => (now === (preset ?? "") ? null : now)); // the user may have chosen another one meanwhile
    await load();
  };
  return html`<section class="card" aria-label=${t("printer")}><h2>${t("printer")}</h2>
    <dl class="pairs"><div><dt>${t("name")}</dt><dd>${short(name ?? "–", 80)}</dd></div>
      <div><dt>${t("volume")}</dt><dd>${width && depth && height ? `${width} × ${depth} × ${height} mm` : t("unknown")}</dd></div>
      <div><dt>${t("extruders")}</dt><dd>${extruders ?? "–"}</dd></div>
      <div><dt>${t("limit")}</dt><dd>${maxHotend ?? "–"} / ${maxBed ?? "–"} °C</dd></div></dl>
    ${suggested && current !== suggested.id && html`<p>${t("suggested", {type: short(models.machineType, 60)})} <${Act} label=${t("use_preset", {name: short(suggested.name, 60)})}
      run=${() => use(suggested.id)} off=${isAdmin.value ? "" : t("why_no_admin")} fail=${printerFail} /></p>`}
    <div class="row"><label>${t("preset")} <select value=${chosen ?? current} onChange=${onValue(setChosen)}>
      <option value="">${t("no_preset")}</option>
      ${(models?.presets ?? []).map((/** @type {any} */ each) => html`<option key=${each.id} value=${each.id}>${short(each.name, 60)}</option>`)}</select></label>
      <${Act} label=${t("use")} run=${() => use(chosen || null)}
        off=${!isAdmin.value ? t("why_no_admin") : chosen === null || chosen === current ? t("preset_same") : isActive.value ? t("why_printing") : ""} fail=${printerFail} /></div>
    <${Fail} of=${printerFail} /></section>`;
}

// -- health and appearance --------------------------------------------------------------------------------------

function HealthSummary() {
  const {sent, resends} = connectionFigures.value ?? {};
  const {protection, trouble} = printer.value;
  return html`<section class="card" aria-label=${t("health")}><h2>${t("health")}</h2>
    ${typeof sent === "number" && !isGone.value
      ? html`<p>${connectionQuality(sent, resends ?? 0)[1]}</p>`
      : html`<p class="empty">${t("no_figures")}</p>`}
    ${trouble && html`<p class="bad">${short(trouble, 400)}</p>`}
    ${protection && !protection.after && html`<p class="warn">${t("unprotected", {reason: sentence(short(protection.reason))})}</p>`}
    <a class="button" href="#health">${t("health_more")}</a>
    ${newVersion.value && html`<div class="row warn"><span>${t("updated")}</span><button type="button" onClick=${() => location.reload()}>${t("reload")}</button></div>`}
    <p class="dim">${short(server.value.name ?? "", 60)} nozzled ${short(server.value.version ?? "", 40)}</p></section>`;
}

/** The G-code scripts of the configuration. */
function Scripts() {
  const [scripts, setScripts] = useState(/** @type {Record<string, string[]>} */ ({}));
  useEffect(() => {
    get("api/macros").then(answer => setScripts(answer.scripts), () => {});
  }, []);
  return html`<section class="card" aria-label=${t("scripts")}><h2>${t("scripts")}</h2><p class="dim">${t("scripts_what")}</p>
    <dl class="scripts">${Object.entries(scripts).filter(([, lines]) => lines.length).map(([name, lines]) => html`<div key=${name}>
      <dt>${t(`script_${name}`)}</dt><dd><code>${lines.map(each => short(each, 120)).join("\n")}</code></dd></div>`)}</dl></section>`;
}

function Appearance() {
  return html`<section class="card" aria-label=${t("looks")}><h2>${t("looks")}</h2><${Looks} /></section>`;
}

/** The parts of Settings for companions. @type {Record<string, () => Promise<any>>} */
const COMPANIONS = {
  notify: () => import("./notices.mjs").then(module => module.Notices),
  power: () => import("./power.mjs").then(module => module.Power),
  timelapse: () => import("./timelapse.mjs").then(module => module.Films),
};

/** @param {{name: string}} props */
function CompanionPart({name}) {
  const [Part, setPart] = useState(/** @type {any} */ (null));
  useEffect(() => void COMPANIONS[name]().then(part => setPart(() => part), () => {}), []);
  return Part && html`<${Guard}><${Part} /><//>`;
}

export function Settings() {
  const companions = Object.keys(COMPANIONS).filter(name => sections.value.companions?.[name]);
  return html`<div class="grid two"><div><${Connection} /><${PrinterCard} /><${HealthSummary} /><${Scripts} /><${Appearance} /></div>
    <div><${Devices} /><${Options} />${companions.map(name => html`<${CompanionPart} key=${name} name=${name} />`)}</div></div>`;
}
