/** Buttons for temperature presets, and All off: on Control, and on Now while nothing is printed. */

import {get, post} from "./api.mjs";
import {html, signal, useEffect} from "./html.mjs";
import {heaterInUse, heaterName, heaters, isActive, whyNoPrinter} from "./state.mjs";
import {net, printer, sections, short} from "./store.mjs";
import {Act, Fail} from "./widgets.mjs";
import {t} from "./words.mjs";

/** @typedef {{name: string, extruder: number|null, bed: number|null, chamber?: number|null}} Preset */

const presets = signal(/** @type {Preset[]|null} */ (null));
const fail = signal("");

async function load() {
  try {
    presets.value = (await get("api/settings")).temperature.profiles;
  } catch {
    // loaded again with the next connection
  }
}

/** @param {string} name @param {number} value */
export function heat(name, value) {
  if (name === "bed" || name === "chamber") return post(`api/printer/${name}`, {command: "target", target: value});
  return post("api/printer/tool", {command: "target", targets: {[name]: value}});
}

/** The names of the printer's heaters. */
function heaterNames() {
  return heaters.value.map(([name]) => name).filter(name => /^tool\d+$|^bed$|^chamber$/.test(name));
}

/** The targets that a preset sets on this printer. @param {Preset} preset */
function targetsOf(preset) {
  const names = heaterNames();
  const wanted = /** @type {[string, number|null|undefined][]} */ ([[heaterInUse.value, preset.extruder], ["bed", preset.bed], ["chamber", preset.chamber]]);
  return /** @type {[string, number][]} */ (wanted.filter(([name, value]) => names.includes(name) && typeof value === "number"));
}

/** @param {[string, number][]} targets */
async function set(targets) {
  for (const [name, value] of targets) await heat(name, value);
}

/** @param {[string, number][]} targets */
function areSet(targets) {
  return targets.every(([name, value]) => Math.abs((printer.value.heaters?.[name]?.target ?? -1) - value) < 1);
}

export function Presets() {
  const off = whyNoPrinter.value || (isActive.value ? t("why_printing") : "");
  useEffect(() => void load(), [net.value.state, sections.value.settings?.revision]);
  useEffect(() => {
    fail.value = ""; // the reason has changed
  }, [off]);
  const several = heaterNames().filter(name => name.startsWith("tool")).length > 1;
  const cold = /** @type {[string, number][]} */ (heaterNames().map(name => [name, 0]));
  return html`<div class="row presets">${(presets.value ?? []).map(each => html`<${Act} key=${each.name}
    label=${html`${short(each.name, 40)} <small>${each.extruder ?? "–"}/${each.bed ?? "–"}</small>`}
      run=${() => set(targetsOf(each))} done=${() => areSet(targetsOf(each))} off=${off} fail=${fail} />`)}
    <${Act} kind="cool" label=${t("cool_down")} run=${() => set(cold)} done=${() => areSet(cold)} off=${off} fail=${fail} />
    ${several && html`<small>${t("presets_for", {nozzle: heaterName(heaterInUse.value)})}</small>`}</div><${Fail} of=${fail} />`;
}

/** For the view Now. */
export function HeatUp() {
  if (isActive.value || whyNoPrinter.value) return null;
  return html`<section class="card" aria-label=${t("heat")}><h2>${t("heat")}</h2><${Presets} /></section>`;
}
