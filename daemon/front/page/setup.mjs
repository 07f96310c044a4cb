/** The setup of a printer in steps: port, firmware, printer model, first test. */

import {address, get, post, postStart, upload} from "./api.mjs";
import {html, onValue, signal, useEffect, useState} from "./html.mjs";
import {isActive} from "./state.mjs";
import {isAdmin, isNew, job, printer, profile, short} from "./store.mjs";
import {Act, Fail} from "./widgets.mjs";
import {t} from "./words.mjs";

const VIRTUAL = "VIRTUAL";
const TIMEOUT = 60000; // ms for trying all usual baudrates on a port
const POLL = 250; // ms
const SIDE = 40; // mm, of the square that the first test draws

const portFail = signal("");
const presetFail = signal("");
const testFail = signal("");
/** The port that is being tried. */
const trying = signal("");

/** Whether a printer answers on a port. @param {string} port */
async function answers(port) {
  trying.value = port;
  await post("api/connection", {command: "connect", port, find: port !== VIRTUAL, save: port !== VIRTUAL});
  const end = performance.now() + TIMEOUT;
  let hasBegun = false;
  while (performance.now() < end) {
    await new Promise(resolve => setTimeout(resolve, POLL));
    const {state, error} = printer.value;
    if (state === "ready") return true;
    hasBegun ||= state === "opening" || state === "handshaking";
    if (hasBegun && (state === "fault" || state === "offline") && error) {
      await new Promise(resolve => setTimeout(resolve, 4 * POLL)); // the next baudrate may follow
      if (["fault", "offline"].includes(printer.value.state)) return false;
    }
  }
  return false;
}

/** @param {string[]} ports */
async function find(ports) {
  try {
    for (const port of ports) if (await answers(port)) return;
  } finally {
    trying.value = "";
  }
  throw new Error(printer.value.error ? short(printer.value.error, 300) : t("setup_nobody"));
}

/** @param {{number: number, name: string, done: boolean, children?: any}} props */
function Step({number, name, done, children}) {
  return html`<li class="step"><h3><span class="sign" aria-hidden="true">${done ? "✓" : number}</span> ${name}${done && html`<span
    class="hidden"> ${t("setup_done")}</span>`}</h3><div class="what">${children}</div></li>`;
}

function PortStep() {
  const [ports, setPorts] = useState(/** @type {string[]|null} */ (null));
  const [port, setPort] = useState("");
  const load = () => get("api/connection").then(answer => setPorts(answer.options.ports), error => (portFail.value = error.message));
  useEffect(() => void load(), []);
  const real = (ports ?? []).filter(each => each !== VIRTUAL);
  const chosen = port || real[0] || VIRTUAL;
  const {state, address: where, baudrate} = printer.value;
  if (state === "ready") return html`<${Step} number=${1} name=${t("setup_port")} done=${true}>
    <p>${t("setup_answers", {port: short(where ?? "?", 80)})}${baudrate ? ` ${t("setup_baud", {baudrate})}` : ""}</p><//>`;
  return html`<${Step} number=${1} name=${t("setup_port")} done=${false}>
    <p>${t(real.length ? "setup_port_what" : "no_ports")}</p>
    <fieldset class="choices"><legend class="hidden">${t("port")}</legend>${[...real, VIRTUAL].map(each => html`<label key=${each} class="check">
      <input type="radio" name="setup-port" checked=${each === chosen} onChange=${() => setPort(each)} />
      ${each === VIRTUAL ? t("setup_simulated") : short(each, 80)}</label>`)}</fieldset>
    <div class="row"><${Act} kind="main" label=${t("setup_find")} busy=${t("setup_trying", {port: short(trying.value, 60)})} run=${() => find([chosen])} fail=${portFail} />
      ${real.length > 1 && html`<${Act} label=${t("setup_find_all")} busy=${t("setup_trying", {port: short(trying.value, 60)})} run=${() => find(real)} fail=${portFail} />`}
      <button type="button" onClick=${load}>${t("look_again")}</button></div>
    <p class="dim">${t("setup_find_what")}</p><${Fail} of=${portFail} /><//>`;
}

function PresetStep() {
  const [models, setModels] = useState(/** @type {any} */ (null));
  const [chosen, setChosen] = useState("");
  const ready = printer.value.state === "ready";
  const load = () => get("api/printerpresets").then(setModels, error => (presetFail.value = error.message));
  useEffect(() => {
    if (ready) load();
  }, [ready]);
  const current = models?.current ?? "";
  const wanted = chosen || models?.suggested || current;
  const {width, depth, height, configured} = profile.value;
  const use = async () => {
    await post("api/printerpresets", {command: "use", preset: wanted});
    setChosen("");
    await load();
  };
  return html`<${Step} number=${3} name=${t("setup_preset")} done=${Boolean(width)}>
    ${width ? html`<p>${short(profile.value.name ?? "", 60)}: ${width} × ${depth} × ${height} mm</p>` : html`<p>${t("setup_preset_what")}</p>`}
    ${ready && models && !configured && html`<div class="row"><label>${t("preset")} <select value=${wanted} onChange=${onValue(setChosen)}>
      <option value="">${t("no_preset")}</option>${models.presets.map((/** @type {any} */ each) => html`<option key=${each.id}
        value=${each.id}>${short(each.name, 60)}</option>`)}</select></label>
      <${Act} label=${t("use")} run=${use} fail=${presetFail}
        off=${!isAdmin.value ? t("why_no_admin") : !wanted || wanted === current ? t("preset_same") : isActive.value ? t("why_printing") : ""} /></div>`}
    <${Fail} of=${presetFail} /><//>`;
}

/** A square in the air, without heat and filament, to see the axes move. */
function testFile() {
  const {width, depth, origin} = profile.value;
  const middle = (/** @type {number|null} */ size) => (origin === "center" ? 0 : (size || 100) / 2);
  const [x, y] = [middle(width), middle(depth)];
  const [half, fast] = [SIDE / 2, "F3000"];
  const corners = [[-half, -half], [half, -half], [half, half], [-half, half], [-half, -half]];
  const lines = ["; nozzled: the first test, without heat and filament", "G21", "G90", "G28", "G1 Z20 F600",
    ...corners.map(([dx, dy]) => `G1 X${x + dx} Y${y + dy} ${fast}`), "M400", "M84"];
  return new File([`${lines.join("\n")}\n`], "first test.gcode");
}

function TestStep() {
  const ready = printer.value.state === "ready";
  const done = job.value.file?.name === "first test.gcode" && job.value.state === "completed";
  const run = async () => {
    const answer = await upload(testFile(), "", true, () => {}, () => {});
    await postStart(`api/files/local/${address(answer.files.local.path)}`, {command: "select", print: true});
  };
  return html`<${Step} number=${4} name=${t("setup_test")} done=${done}><p>${t(done ? "setup_test_done" : "setup_test_what")}</p>
    <div class="row"><${Act} label=${t("setup_test_run")} busy=${t("starting")} run=${run} done=${() => Boolean(job.value.active) || job.value.state === "completed"}
      off=${ready ? (isActive.value ? t("why_printing") : "") : t("why_no_printer")} fail=${testFail} /><a class="button" href="#files">${t("choose_file")}</a>
        </div><${Fail} of=${testFail} /><//>`;
}

export function Setup() {
  const {state, firmware} = printer.value;
  const machine = /** @type {any} */ (printer.value).machine;
  return html`<section class="card setup" aria-label=${t("setup")}><h2>${t("setup")}</h2><ol class="plainlist"><${PortStep} />
    <${Step} number=${2} name=${t("firmware")} done=${state === "ready"}>
      <p>${state === "ready" ? [machine, firmware].filter(Boolean).map(each => short(each, 100)).join(", ") || t("unknown") : t("setup_firmware_what")}</p><//>
    <${PresetStep} /><${TestStep} /></ol>
    ${isNew.value && state === "ready" && html`<button type="button" onClick=${() => (isNew.value = false)}>${t("setup_close")}</button>`}
    <p class="dim">${t("setup_later")} <a href="#settings">${t("view_settings")}</a></p></section>`;
}
