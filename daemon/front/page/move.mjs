/** The view Control: axes with their position, filament, heaters, fan, speed and flow, macros. */

import {gcode, get, post} from "./api.mjs";
import {html, onValue, signal, useEffect, useState} from "./html.mjs";
import {heat, Presets} from "./presets.mjs";
import {degrees, heaterInUse, heaterName, heaters, isActive, isPrinting, target, thisPrint, whyNoMove, whyNoPrinter} from "./state.mjs";
import {isGone, job, me, net, printer, profile, short} from "./store.mjs";
import {Act, ask, Fail, NumberField} from "./widgets.mjs";
import {number, t, tn, typed} from "./words.mjs";

const STEPS = [0.1, 1, 10, 50];
const SPEEDS = {x: 6000, y: 6000, z: 600}; // mm/min
const HOMING_TIMEOUT = 180000; // ms: the slowest printers take minutes
const MOVE_DELAY = 1500; // ms until the page knows that the head has begun to move
const MIN_EXTRUSION = 170; // °C below which firmwares move no filament (Marlin's EXTRUDE_MINTEMP)
const step = signal(10);
const moveFail = signal("");
const heatFail = signal("");
const extrudeFail = signal("");
const paceFail = signal("");
const macroFail = signal("");
const amount = signal("10");

/** Whether an axis is homed; null: unknown. @param {string} axis */
function isHomed(axis) {
  const {homed} = printer.value;
  if (homed === null || homed === undefined) return null;
  if (typeof homed === "boolean") return homed;
  if (typeof homed === "string") return homed.toLowerCase().includes(axis);
  if (Array.isArray(homed)) return homed.map(each => String(each).toLowerCase()).includes(axis);
  return Boolean(/** @type {any} */ (homed)[axis]);
}

/** @param {string} axis */
function whyNot(axis) {
  return whyNoMove.value || (isHomed(axis) === false ? t("why_unhomed_1", {axes: axis.toUpperCase()}) : "");
}

/** Which axes have to be homed first, as a sentence; empty: none. */
function whyUnhomed() {
  const axes = ["x", "y", "z"].filter(axis => isHomed(axis) === false).map(axis => axis.toUpperCase());
  return axes.length ? tn("why_unhomed", axes.length, {axes: axes.join(", ")}) : "";
}

/** @param {{axis: "x"|"y"|"z", sign: 1|-1, arrow: string}} props */
function Jog({axis, sign, arrow}) {
  const name = `${axis.toUpperCase()} ${sign > 0 ? "+" : "−"}`;
  return html`<${Act} kind=${`jog j${axis}${sign > 0 ? "p" : "m"}`} label=${html`<span aria-hidden="true">${arrow}</span> ${name}`}
    name=${t("jog_name", {name, step: step.value})} off=${whyNot(axis)} fail=${moveFail} sure=${() => sureDown(axis === "z" && sign < 0)}
    run=${() => jog(axis, sign)} />`;
}

/** The arrow keys move while the pad has the focus; a key that is held moves once. @param {KeyboardEvent} event */
function onPadKey(event) {
  const moves = {ArrowLeft: ["x", -1], ArrowRight: ["x", 1], ArrowUp: ["y", 1], ArrowDown: ["y", -1], PageUp: ["z", 1], PageDown: ["z", -1]};
  const move = moves[/** @type {keyof typeof moves} */ (event.key)];
  if (!move || event.target !== event.currentTarget) return;
  event.preventDefault();
  if (event.repeat || !event.isTrusted) return;
  const [axis, sign] = /** @type {["x"|"y"|"z", number]} */ (move);
  moveFail.value = whyNot(axis);
  if (moveFail.value) return;
  sureDown(axis === "z" && sign < 0).then(async sure => {
    if (sure) await jog(axis, sign);
  }).catch(error => (moveFail.value = error.message));
}

/** Ask before the nozzle moves down in the middle of a print: it may hit the part. @param {boolean} isDown */
function sureDown(isDown) {
  if (!isActive.value || !isDown) return Promise.resolve(true);
  return ask({title: t("down_title"), body: t("down_body", {name: thePrint()}), yes: t("down_yes"), no: t("down_no"), holds: thisPrint()});
}

/** Have the printer report its position, which it does only on request. */
function requestPosition() {
  return gcode({command: "M114"}).catch(() => {}); // the position stays unknown
}

/** @param {string} axis @param {number} sign */
async function jog(axis, sign) {
  await post("api/printer/printhead", {command: "jog", [axis]: sign * step.value, speed: SPEEDS[/** @type {keyof typeof SPEEDS} */ (axis)]});
  await requestPosition();
}

/** The position when homing began, and when that was: homing is done once the printer reports a position after it. */
let homing = {was: printer.value.position, at: 0};

/** @param {string[]} axes */
function home(axes) {
  return async () => {
    homing = {was: printer.value.position, at: performance.now()};
    await post("api/printer/printhead", {command: "home", axes});
    await requestPosition();
  };
}

function isHomingDone() {
  const {position, state} = printer.value;
  return state !== "ready" || Boolean(position) && (position !== homing.was || performance.now() - homing.at > MOVE_DELAY);
}

function Pad() {
  const where = isGone.value ? null : printer.value.position;
  useEffect(() => {
    if (!where && !whyNoMove.value && me.value.control) requestPosition();
  }, [whyNoMove.value]);
  return html`<section class="card" aria-label=${t("move")}><h2>${t("move")}</h2>
    <dl class="position">${["x", "y", "z"].map(axis => html`<div key=${axis} class=${isHomed(axis) === false ? "old" : ""}><dt>${axis.toUpperCase()}</dt>
      <dd>${typeof where?.[axis] === "number" ? number(where[axis], axis === "z" ? 2 : 1) : "–"}</dd></div>`)}</dl>
    <fieldset class="steps"><legend>${t("step")}</legend>${STEPS.map(each => html`<label key=${each} class="chip"><input type="radio" name="step"
      checked=${step.value === each} onChange=${() => (step.value = each)} />${number(each, each < 1 ? 1 : 0)}</label>`)}</fieldset>
    <div class="pad" tabindex="0" role="group" aria-label=${t("pad")} onKeyDown=${onPadKey}>
      <${Jog} axis="y" sign=${1} arrow="↑" /><${Jog} axis="x" sign=${-1} arrow="←" />
      <${Act} kind="jog jhome" label=${t("home")} name=${t("home_all")} busy=${t("homing")} timeout=${HOMING_TIMEOUT} done=${isHomingDone} sure=${() => sureDown(true)}
        run=${home(["x", "y", "z"])} off=${whyNoMove.value} fail=${moveFail} />
      <${Jog} axis="x" sign=${1} arrow="→" /><${Jog} axis="y" sign=${-1} arrow="↓" />
      <${Jog} axis="z" sign=${1} arrow="↑" /><${Jog} axis="z" sign=${-1} arrow="↓" />
    </div>
    <div class="row">${["x", "y", "z"].map(axis => html`<${Act} key=${axis} label=${t("home_axis", {axis: axis.toUpperCase()})}
      busy=${t("homing")} timeout=${HOMING_TIMEOUT} done=${isHomingDone} sure=${() => sureDown(axis === "z")} run=${home([axis])} off=${whyNoMove.value} fail=${moveFail} />`)}
      <${Act} label=${t("motors_off")} run=${() => gcode({command: "M84"})} off=${whyNoMove.value || (isActive.value ? t("why_printing") : "")} fail=${moveFail} /></div>
    <${Fail} of=${moveFail} />
    <p class="dim">${whyNoMove.value || whyUnhomed() || t("pad_hint")}</p>
  </section>`;
}

/** The highest target of a heater, °C. @param {string} name */
function maxTarget(name) {
  const {maxHotend, maxBed, maxChamber} = profile.value;
  return name === "bed" ? maxBed ?? 120 : name === "chamber" ? maxChamber ?? 80 : maxHotend ?? 280;
}

function thePrint() {
  return short(job.value.file?.name ?? t("this_print"), 80);
}

/** Ask before a heater that a print is using is cooled, as that loses the print. @param {string} name @param {number} value */
function sureHeat(name, value) {
  if (!isActive.value || (name.startsWith("tool") ? value >= MIN_EXTRUSION : value > 0)) return Promise.resolve(true);
  const wanted = value > 0 ? `${Math.round(value)} °C` : t("off");
  return ask({title: t("cool_title", {heater: heaterName(name), wanted}), body: t(isPrinting.value ? "cool_body" : "cool_paused", {name: thePrint()}),
    yes: t(value > 0 ? "cool_set" : "cool_yes"), no: t("cool_no"), holds: thisPrint()});
}

function Heat() {
  const off = whyNoPrinter.value;
  const all = heaters.value.filter(([name]) => /^tool\d+$|^bed$|^chamber$/.test(name));
  return html`<section class="card" aria-label=${t("heat")}><h2>${t("heat")}</h2>
    <ul class="plainlist heat">${all.map(([name, each]) => html`<li key=${name}>
      <b>${heaterName(name)}</b><span class="reading">${degrees(each.actual)} <span class="dim">${target(each.target)}</span></span>
      <${NumberField} id=${`target-${name}`} label=${heaterName(name)} unit="°C" value=${each.target} least=${0} most=${maxTarget(name)}
        send=${async (/** @type {number} */ value) => (await sureHeat(name, value)) && heat(name, value)} fail=${heatFail} off=${off} />
      <${Act} label=${t("off_verb")} name=${`${heaterName(name)}: ${t("off_verb")}`} sure=${() => sureHeat(name, 0)} run=${() => heat(name, 0)} off=${off} fail=${heatFail}
        done=${() => printer.value.heaters?.[name]?.target === 0} /></li>`)}</ul>
    <${Presets} />
    <${Fail} of=${heatFail} />
    <p class="dim">${off || t("limits", {hotend: maxTarget("tool0"), bed: maxTarget("bed")})}</p>
  </section>`;
}

function Filament() {
  const nozzle = printer.value.heaters?.[heaterInUse.value]?.actual ?? null;
  const cold = typeof nozzle === "number" && nozzle < MIN_EXTRUSION ? t("why_cold", {actual: Math.round(nozzle), least: MIN_EXTRUSION}) : "";
  const tool = printer.value.tool ?? 0;
  const count = Math.max(profile.value.extruders ?? 1, ...heaters.value.map(([name]) => (name.startsWith("tool") ? Number(name.slice(4)) + 1 : 1)));
  const off = whyNoMove.value || (nozzle === null ? t("why_no_temperature") : cold);
  /** @param {number} sign */
  const push = sign => async () => {
    const millimetres = typed(amount.value);
    if (!(millimetres > 0 && millimetres <= 200)) throw new Error(t("number_range", {label: t("amount"), least: 0.1, most: 200, unit: "mm"}));
    await post("api/printer/tool", {command: "extrude", amount: sign * millimetres});
  };
  return html`<section class="card" aria-label=${t("filament")}><h2>${t("filament")}</h2>
    ${count > 1 && html`<div class="row tools" role="group" aria-label=${t("tool")}>
      <span>${t("tool")}</span>${Array.from({length: count}, (_, n) => html`<${Act} key=${n} kind=${n === tool ? "chip chosen" : "chip"}
      label=${String(n + 1)} name=${t(n === tool ? "tool_is" : "tool_take", {n: n + 1})} run=${() => post("api/printer/tool", {command: "select", tool: `tool${n}`})}
      done=${() => printer.value.tool === n} off=${whyNoMove.value} fail=${extrudeFail} />`)}</div>`}
    <div class="row"><label>${t("amount")} <input inputmode="decimal" size="4" value=${amount.value}
      onInput=${onValue(value => (amount.value = value))} /> mm</label>
      <${Act} label=${t("extrude")} run=${push(1)} off=${off} fail=${extrudeFail} />
      <${Act} label=${t("retract")} run=${push(-1)} off=${off} fail=${extrudeFail} /></div>
    <${Fail} of=${extrudeFail} /><p class="dim">${off || t("extrude_hint")}</p></section>`;
}

function Pace() {
  const {fan, feed, flow} = printer.value;
  const off = whyNoPrinter.value;
  const share = (/** @type {number|null} */ value) => (typeof value === "number" ? Math.round(value * 100) : null);
  return html`<section class="card" aria-label=${t("pace")}><h2>${t("pace")}</h2><ul class="plainlist heat">
    <li><b>${t("fan")}</b><span class="reading">${share(fan) === null ? "–" : fan ? `${share(fan)} %` : t("off")}</span>
      <${NumberField} id="fan" label=${t("fan")} unit="%" value=${share(fan)} least=${0} most=${100} off=${off} fail=${paceFail}
        send=${(/** @type {number} */ value) => gcode({command: value ? `M106 S${Math.round(value * 2.55)}` : "M107"})} /></li>
    <li><b>${t("feed")}</b><span class="reading">${share(feed) === null ? "–" : `${share(feed)} %`}</span>
      <${NumberField} id="feed" label=${t("feed")} unit="%" value=${share(feed)} least=${10} most=${300} off=${off} fail=${paceFail}
        send=${(/** @type {number} */ value) => post("api/printer/printhead", {command: "feedrate", factor: Math.round(value)})} /></li>
    <li><b>${t("flow")}</b><span class="reading">${share(flow) === null ? "–" : `${share(flow)} %`}</span>
      <${NumberField} id="flow" label=${t("flow")} unit="%" value=${share(flow)} least=${50} most=${200} off=${off} fail=${paceFail}
        send=${(/** @type {number} */ value) => post("api/printer/tool", {command: "flowrate", factor: Math.round(value)})} /></li></ul>
    <${Fail} of=${paceFail} /></section>`;
}

/** The buttons of [macros] in the configuration, if there are any. */
function Macros() {
  const [macros, setMacros] = useState(/** @type {any[]} */ ([]));
  useEffect(() => {
    get("api/macros").then(answer => setMacros(answer.macros), () => {});
  }, [net.value.state]);
  if (!macros.length) return null;
  const off = (/** @type {any} */ each) => whyNoPrinter.value || (isPrinting.value && !each.whilePrinting ? t("why_printing") : "");
  return html`<section class="card" aria-label=${t("macros")}><h2>${t("macros")}</h2>
    <div class="row">${macros.map(each => html`<${Act} key=${each.name} label=${short(each.name, 60)} busy=${t("sending")} title=${short(each.commands.join("\n"), 500)}
      run=${() => post("api/macros", {command: "run", name: each.name})} off=${off(each)} fail=${macroFail} />`)}</div>
    <${Fail} of=${macroFail} /></section>`;
}

export function Move() {
  return html`<div class="grid two"><div><${Pad} /><${Filament} /><${Macros} /></div><div><${Heat} /><${Pace} /></div></div>`;
}
