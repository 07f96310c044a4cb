/** The details of a file: findings, layers, heights, temperatures, the slicer's settings; renaming and downloading. */

import {address, download, get, post, slice} from "./api.mjs";
import {html, onValue, signal, useEffect, useState} from "./html.mjs";
import {Picture} from "./picture.mjs";
import {Queued} from "./several.mjs";
import {sections, short} from "./store.mjs";
import {Act, attempt, Fail} from "./widgets.mjs";
import {clock, duration, number, t, tn, why} from "./words.mjs";

const ENDS = 65536; // bytes at the beginning and end of a file in which slicers write their settings
const MAX_SETTINGS = 1000;
const fail = signal("");

/** @param {any} analysis */
function figures(analysis) {
  const metres = Object.values(analysis.filament ?? {}).reduce((sum, /** @type {any} */ each) => sum + (each?.length ?? 0), 0) / 1000;
  const {dimensions, times = {}} = analysis;
  const mm = (/** @type {number} */ value) => number(value, value < 10 ? 1 : 0);
  return [
    [t("plan"), analysis.estimatedPrintTime && duration(analysis.estimatedPrintTime)],
    [t("plan_heating"), times.heating > 1 && duration(times.heating)],
    [t("plan_slicer"), analysis.slicerEstimate && duration(analysis.slicerEstimate)],
    [t("layers"), analysis.layers && number(analysis.layers)],
    [t("layer_height"), analysis.layer_height && `${number(analysis.layer_height, 2)} mm`],
    [t("first_layer"), analysis.first_layer_height && `${number(analysis.first_layer_height, 2)} mm`],
    [t("dimensions"), dimensions && `${mm(dimensions.width)} × ${mm(dimensions.depth)} × ${mm(dimensions.height)} mm`],
    [t("filament"), [analysis.filament_type, metres > 0 && `${number(metres, 1)} m`, analysis.filament_weight_total && `${number(analysis.filament_weight_total)} g`].filter(Boolean).join(", ")],
    [t("temperatures"), heats(analysis)],
    [t("nozzle_size"), analysis.nozzle_diameter && `${number(analysis.nozzle_diameter, 2)} mm`],
    [t("sliced_for"), analysis.printer_model],
    [t("slicer"), [analysis.slicer, analysis.slicer_version].filter(Boolean).join(" ")],
  ].filter(([, value]) => value);
}

/** @param {any} analysis */
function heats(analysis) {
  return [["nozzle", analysis.first_layer_extr_temp], ["bed", analysis.first_layer_bed_temp], ["chamber", analysis.chamber_temp]]
    .filter(([, value]) => value).map(([name, value]) => `${t(name)} ${value} °C`).join(", ");
}

/** @param {{analysis: any}} props */
function Findings({analysis}) {
  const rows = [...(analysis.errors ?? []).map((/** @type {string} */ each) => ["bad", t("error"), each]),
    ...(analysis.warnings ?? []).map((/** @type {string} */ each) => ["", t("warning"), each])];
  if (!rows.length) return html`<p class="good">${t("checked_fine")}</p>`;
  return html`<ul>${rows.map(([tone, head, each], index) => html`<li key=${index} class=${tone}>${head}: ${short(why(each), 400)}</li>`)}</ul>`;
}

/** How the last print of a file ended. @param {any} file */
export function outcome(file) {
  const last = file.prints?.last;
  if (!last) return "";
  if (last.success) return t("outcome_good");
  return t(last.outcome === "cancelled" ? "outcome_cancelled" : last.outcome === "interrupted" ? "outcome_interrupted" : "outcome_bad");
}

/** The time of each layer, as a chart and in words. @param {{path: string}} props */
function Layers({path}) {
  const [layers, setLayers] = useState(/** @type {any[]|null} */ (null));
  useEffect(() => {
    get(`api/files/local/${address(path)}?layers=1`).then(file => setLayers(file.layers ?? []), () => setLayers([]));
  }, [path]);
  if (!layers) return html`<p class="empty">${t("loading")}</p>`;
  if (layers.length < 2) return null;
  const longest = Math.max(...layers.map(each => each.duration_s), 1e-9);
  const slowest = layers.findIndex(each => each.duration_s === longest);
  const heights = layers.map(each => each.height).filter(each => each > 0);
  const [low, high] = [Math.min(...heights), Math.max(...heights)];
  const bars = layers.map((each, index) => `M${((index + 0.5) * 600) / layers.length} 80v-${Math.max(1, (76 * each.duration_s) / longest).toFixed(1)}`).join("");
  return html`<figure class="chart bars"><svg viewBox="0 0 600 80" preserveAspectRatio="none" role="img" aria-label=${t("layers_chart")}>
    <path d=${bars} stroke-width=${Math.max(0.5, 480 / layers.length)} /></svg>
    <figcaption>${t("layers_chart")}. ${t("layers_slowest", {n: slowest + 1, z: number(layers[slowest].z, 2), time: duration(longest)})}${" "}
      ${heights.length ? t(low === high ? "layers_even" : "layers_varied", {low: number(low, 2), high: number(high, 2)}) : ""}</figcaption></figure>`;
}

/** The settings that a slicer has written into the file's comments. @param {string} text @returns {[string, string][]} */
export function settingsIn(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const match = /^;\s*([A-Za-z][\w ()%/-]{0,59}?)\s*[=:]\s*(.+)$/.exec(line);
    if (match && !/^(LAYER|TYPE|WIDTH|HEIGHT|TIME_ELAPSED|MESH|Z|LAYER_CHANGE)$/.test(match[1]) && found.size < MAX_SETTINGS) found.set(match[1], match[2].trim());
  }
  return [...found].sort(([a], [b]) => a.localeCompare(b));
}

/** @param {{path: string}} props */
function SlicerSettings({path}) {
  const [rows, setRows] = useState(/** @type {[string, string][]|null} */ (null));
  const [word, setWord] = useState("");
  const open = async () => {
    if (rows) return;
    const where = `downloads/files/local/${address(path)}`;
    await attempt(fail, async () => setRows(settingsIn(`${await slice(where, `0-${ENDS - 1}`)}\n${await slice(where, `-${ENDS}`)}`)));
  };
  const shown = (rows ?? []).filter(([name, value]) => `${name} ${value}`.toLowerCase().includes(word.toLowerCase()));
  return html`<details onToggle=${open}><summary>${t("slicer_settings")}</summary>
    ${rows === null ? html`<p class="empty">${t("loading")}</p>` : rows.length === 0 ? html`<p class="empty">${t("no_slicer_settings")}</p>`
      : html`<label>${t("search")} <input type="search" value=${word} onInput=${onValue(setWord)} /></label>
        <div class="log" tabindex="0" role="region" aria-label=${t("slicer_settings")}>${shown.map(([name, value]) => html`<div
          key=${name}>${short(name, 60)} = ${short(value, 300)}</div>`)}</div>`}
  </details>`;
}

/** @param {{file: any, onMoved: () => Promise<unknown>}} props */
function Rename({file, onMoved}) {
  const [name, setName] = useState(file.name);
  const folder = file.path.slice(0, file.path.length - file.name.length);
  const rename = async () => {
    const wanted = name.trim();
    if (!wanted || wanted.includes("/")) throw new Error(t("name_wrong"));
    await post(`api/files/local/${address(file.path)}`, {command: "move", destination: folder + wanted});
    await onMoved();
  };
  return html`<div class="row"><label>${t("name")} <input value=${name} maxlength="200" onInput=${onValue(setName)} /></label>
    <${Act} label=${t("rename")} run=${rename} off=${name.trim() === file.name ? t("name_same") : ""} fail=${fail} /></div>`;
}

/** The toolpath, once its module is loaded. @param {{path: string}} props */
function ToolpathView({path}) {
  const [Shown, setShown] = useState(/** @type {any} */ (null));
  useEffect(() => void import("./toolpath.mjs").then(module => setShown(() => module.Inspect), () => {}), []);
  return Shown ? html`<${Shown} path=${path} />` : null;
}

/** @param {{file: any, onMoved: () => Promise<unknown>}} props */
export function Details({file, onMoved}) {
  const analysis = file.gcodeAnalysis;
  const last = file.prints?.last;
  const [queued, setQueued] = useState(0);
  return html`<div class="details">
    ${file.thumbnail && html`<${Picture} path=${file.thumbnail} alt=${t("picture_of", {name: short(file.name, 80)})} />`}
    ${analysis ? html`<${Findings} analysis=${analysis} />
      <dl class="pairs">${figures(analysis).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${short(value, 120)}</dd></div>`)}</dl>
      ${file.toolpath && html`<${ToolpathView} path=${file.toolpath} />`}
      <${Layers} path=${file.path} />` : html`<p class="dim">${t("not_analysed")}</p>`}
    ${last && html`<p class="dim">${tn("printed_times", (file.prints.success ?? 0) + (file.prints.failure ?? 0))}${" "}
      ${outcome(file)}, ${clock(last.date)}${last.printTime ? `, ${duration(last.printTime)}` : ""}</p>`}
    <${SlicerSettings} path=${file.path} />
    <${Rename} file=${file} onMoved=${onMoved} />
    <div class="row"><${Act} label=${t("download")} name=${`${t("download")} ${short(file.name, 80)}`} reads
        run=${() => download(`downloads/files/local/${address(file.path)}`, file.name)} fail=${fail} />
      ${sections.value.queue && html`<${Act} label=${t("queue_verb")}
        name=${`${t("queue_verb")}: ${short(file.name, 80)}`} run=${() => post("api/queue", {command: "add", path: file.path}).then(() => setQueued(queued + 1))} fail=${fail} />`}</div>
    <${Queued} count=${queued} /><${Fail} of=${fail} /></div>`;
}
