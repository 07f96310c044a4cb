/** The part of Settings that an admin can change: printer profile, temperature presets, name and cameras. */

import {get, patch, post} from "./api.mjs";
import {html, onChecked, onValue, signal, useEffect, useState} from "./html.mjs";
import {isActive} from "./state.mjs";
import {isAdmin, printer, sections, short} from "./store.mjs";
import {Act, attempt, Fail} from "./widgets.mjs";
import {plain, t, typed} from "./words.mjs";

const settings = signal(/** @type {any} */ (null));
const loadFail = signal("");
const cameraFail = signal("");
const presetFail = signal("");
const profileFail = signal("");

function load() {
  return attempt(loadFail, async () => {
    settings.value = await get("api/settings");
  });
}

function whyNoAdmin() {
  return isAdmin.value ? "" : t("why_no_admin");
}

/** The number in a field that may be empty. @param {string} text @param {string} label */
function numberOrNone(text, label) {
  if (!text.trim()) return null;
  const value = typed(text);
  if (Number.isNaN(value)) throw new Error(t("number_wrong", {label}));
  return value;
}

/** @param {{label: string, value: string, set: (text: string) => void, fixed?: boolean, number?: boolean, wide?: boolean}} props */
function Field({label, value, set, fixed, number, wide}) {
  return html`<label class=${wide ? "field wide" : "field"}><span>${label}${fixed ? ` ${t("fixed")}` : ""}</span> <input value=${value} disabled=${fixed}
    inputmode=${number ? "decimal" : "text"} size=${number ? 6 : 20} maxlength="300"
    onInput=${onValue(set)} /></label>`;
}

/** A list with some fields of one entry changed. @param {any[]} list @param {number} at @param {object} fields */
function changed(list, at, fields) {
  return list.map((each, index) => (index === at ? {...each, ...fields} : each));
}

/** The changes that have not been sent: those whose values differ from the sent ones. @param {Record<string, any>} changes @param {Record<string, any>} sent */
export function unsent(changes, sent) {
  return Object.fromEntries(Object.entries(changes).filter(([name, value]) => value !== sent[name]));
}

const CAMERA_FIELDS = [["name", "camera_name"], ["streamUrl", "camera_stream"], ["snapshotUrl", "camera_snapshot"], ["webrtcUrl", "camera_webrtc"]];

function CameraSettings() {
  const {appearance, nozzled} = settings.value;
  const webcam = nozzled?.webcam ?? settings.value.webcam; // with the addresses as configured, which only an admin gets
  const [changes, setChanges] = useState(/** @type {Record<string, any>} */ ({}));
  const [reload, setReload] = useState(false);
  const fixed = (/** @type {string} */ name) => (nozzled?.fixed ?? []).includes(name);
  const set = (/** @type {string} */ name) => (/** @type {any} */ value) => setChanges({...changes, [name]: value});
  const cameras = changes.cameras ?? webcam.cameras ?? [];
  const change = (/** @type {number} */ at, /** @type {object} */ what) => set("cameras")(changed(cameras, at, what));
  const drop = (/** @type {number} */ at) => set("cameras")(cameras.filter((/** @type {any} */ _, /** @type {number} */ index) => index !== at));
  const {name = appearance.name ?? "", streamUrl = webcam.streamUrl ?? "", snapshotUrl = webcam.snapshotUrl ?? ""} = changes;
  const save = async () => {
    const {name: given, ...camera} = changes;
    settings.value = await post("api/settings", {...(given !== undefined && {appearance: {name: given}}), ...(Object.keys(camera).length && {webcam: camera})});
    if (Object.keys(camera).length) setReload(true);
    setChanges(now => unsent(now, changes));
  };
  const flag = (/** @type {string} */ key) => html`<label class="check">
    <input type="checkbox" checked=${changes[key] ?? webcam[key]}
    disabled=${fixed(`webcam.${key}`)} onChange=${onChecked(set(key))} /> ${t(`camera_${key}`)}</label>`;
  return html`<section class="card" aria-label=${t("name_and_camera")}><h2>${t("name_and_camera")}</h2>
    <${Field} label=${t("name_own")} value=${name} set=${set("name")} fixed=${fixed("appearance.name")} wide=${true} />
    <${Field} label=${t("camera_stream")} value=${streamUrl} set=${set("streamUrl")} fixed=${fixed("webcam.streamUrl")} wide=${true} />
    <${Field} label=${t("camera_snapshot")} value=${snapshotUrl} set=${set("snapshotUrl")} fixed=${fixed("webcam.snapshotUrl")} wide=${true} />
    <${Field} label=${t("camera_webrtc")} value=${changes.webrtcUrl ?? webcam.webrtcUrl ?? ""} set=${set("webrtcUrl")} fixed=${fixed("webcam.webrtcUrl")} wide=${true} />
    <div class="row">${["flipH", "flipV", "rotate90"].map(flag)}</div>
    ${cameras.map((/** @type {any} */ each, /** @type {number} */ at) => html`<fieldset key=${at} disabled=${fixed("webcam.cameras")}><legend>${t("camera_further", {n: at + 2})}</legend>
      ${CAMERA_FIELDS.map(([key, label]) => html`<${Field} key=${key} label=${t(label)}
        value=${each[key] ?? ""} set=${(/** @type {string} */ text) => change(at, {[key]: text})} wide=${true} />`)}
      <div class="row">${["flipH", "flipV", "rotate90"].map(key => html`<label key=${key} class="check"><input type="checkbox"
        checked=${each[key]} onChange=${onChecked(on => change(at, {[key]: on}))} />
        ${t(`camera_${key}`)}</label>`)}<button type="button" class="small" onClick=${() => drop(at)}>${t("queue_remove")}</button></div></fieldset>`)}
    <div class="row"><button type="button" disabled=${fixed("webcam.cameras")} onClick=${() => set("cameras")([...cameras, {name: ""}])}>${t("camera_new")}</button></div>
    <div class="row"><${Act} label=${t("save")} run=${save} off=${whyNoAdmin() || (Object.keys(changes).length ? "" : t("nothing_changed"))} fail=${cameraFail} />
      ${reload && html`<span>${t("camera_reload")}</span><button type="button" onClick=${() => location.reload()}>${t("reload")}</button>`}</div>
    <${Fail} of=${cameraFail} /></section>`;
}

function PresetSettings() {
  const {profiles} = settings.value.temperature;
  const hasChamber = "chamber" in (printer.value.heaters ?? {}) || profiles.some((/** @type {any} */ each) => each.chamber);
  const [rows, setRows] = useState(/** @type {any[]|null} */ (null));
  const text = (/** @type {any} */ value) => String(value ?? "");
  const shown = rows ?? profiles.map((/** @type {any} */ each) => ({...each, extruder: text(each.extruder), bed: text(each.bed), chamber: text(each.chamber)}));
  const change = (/** @type {number} */ at, /** @type {object} */ what) => setRows(changed(shown, at, what));
  const drop = (/** @type {number} */ at) => setRows(shown.filter((/** @type {any} */ _, /** @type {number} */ index) => index !== at));
  const save = async () => {
    const list = shown.map((/** @type {any} */ each) => ({name: each.name.trim(), extruder: numberOrNone(each.extruder, t("nozzle")),
      bed: numberOrNone(each.bed, t("bed")), chamber: numberOrNone(each.chamber, t("chamber"))}));
    settings.value = await post("api/settings", {temperature: {profiles: list}});
    setRows(now => (now === rows ? null : now));
  };
  return html`<section class="card" aria-label=${t("presets")}><h2>${t("presets")}</h2><p class="dim">${t("presets_what")}</p>
    <ul class="plainlist">${shown.map((/** @type {any} */ each, /** @type {number} */ at) => html`<li key=${at} class="row presetrow">
      <${Field} label=${t("name_preset")} value=${each.name} set=${(/** @type {string} */ name) => change(at, {name})} />
      ${["extruder", "bed", ...(hasChamber ? ["chamber"] : [])].map(key => html`<${Field} key=${key}
        label=${`${t(key === "extruder" ? "nozzle" : key)} °C`} number=${true} value=${each[key]} set=${(/** @type {string} */ value) => change(at, {[key]: value})} />`)}
      <button type="button" class="small" aria-label=${`${t("queue_remove")} ${short(each.name, 40)}`} onClick=${() => drop(at)}>${t("queue_remove")}</button></li>`)}</ul>
    <div class="row"><button type="button" onClick=${() => setRows([...shown, {name: "", extruder: "", bed: "", chamber: ""}])}>${t("preset_new")}</button>
      <${Act} label=${t("save")} run=${save} off=${whyNoAdmin() || (rows ? "" : t("nothing_changed"))} fail=${presetFail} /></div><${Fail} of=${presetFail} /></section>`;
}

/** The numbers of the profile, as [group, key] of OctoPrint's printer profile. */
const NUMBERS = [["volume", "width"], ["volume", "depth"], ["volume", "height"], ["extruder", "count"], ["extruder", "nozzleDiameter"],
  ["maxTemperatures", "hotend"], ["maxTemperatures", "bed"], ["maxTemperatures", "chamber"]];

/** @param {string} group @param {string} key */
function profileLabel(group, key) {
  return t(`profile_${group === "maxTemperatures" ? "max_" : ""}${key}`);
}

function ProfileSettings() {
  const [profile, setProfile] = useState(/** @type {any} */ (null));
  const [changes, setChanges] = useState(/** @type {Record<string, any>} */ ({}));
  const load = () => get("api/printerprofiles/_default").then(setProfile, error => (profileFail.value = error.message));
  useEffect(() => void load(), [sections.value.profile]);
  if (!profile) return null;
  const off = settings.value.nozzled?.profileFixed ? t("profile_fixed") : isActive.value ? t("why_printing") : whyNoAdmin();
  const set = (/** @type {string} */ name) => (/** @type {any} */ value) => setChanges({...changes, [name]: value});
  const save = async () => {
    /** @type {Record<string, any>} */
    const sent = {};
    for (const [name, value] of Object.entries(changes)) {
      const [group, key] = name.split(".");
      const given = NUMBERS.some(each => each.join(".") === name) ? numberOrNone(value, profileLabel(group, key)) : value;
      if (key) sent[group] = {...sent[group], [key]: given};
      else sent[group] = given;
    }
    await patch("api/printerprofiles/_default", {profile: sent});
    setChanges(now => unsent(now, changes));
    await load();
  };
  const field = (/** @type {string[]} */ [group, key]) => {
    const name = `${group}.${key}`;
    const stored = group === "volume" && !profile.sized ? "" : plain(profile[group]?.[key]); // a size that is not set is shown as empty, not as the API's default
    return html`<${Field} key=${name} number=${true} label=${profileLabel(group, key)} value=${changes[name] ?? stored} set=${set(name)} />`;
  };
  const pick = (/** @type {string} */ key, /** @type {string[]} */ choices) => html`<label class="field">
    <span>${t(`profile_${key}`)}</span> <select value=${changes[`volume.${key}`] ?? profile.volume[key]} onChange=${onValue(set(`volume.${key}`))}>
    ${choices.map(each => html`<option key=${each} value=${each}>${t(`profile_${each}`)}</option>`)}</select></label>`;
  return html`<section class="card" aria-label=${t("profile")}><h2>${t("profile")}</h2>
    <${Field} label=${t("name_profile")} value=${changes.name ?? profile.name} set=${set("name")} wide=${true} />
    <div class="row">${NUMBERS.map(field)}${pick("origin", ["lowerleft", "center"])}${pick("formFactor", ["rectangular", "circular"])}</div>
    <div class="row">${["heatedBed", "heatedChamber"].map(key => html`<label key=${key} class="check">
      <input type="checkbox" checked=${changes[key] ?? profile[key]} onChange=${onChecked(set(key))} /> ${t(`profile_${key}`)}</label>`)}</div>
    <div class="row"><${Act} label=${t("save")} run=${save} off=${off || (Object.keys(changes).length ? "" : t("nothing_changed"))} fail=${profileFail} /></div>
    ${off && html`<p class="dim">${off}</p>`}<${Fail} of=${profileFail} /></section>`;
}

export function Options() {
  useEffect(() => void load(), [sections.value.settings?.revision, isAdmin.value]); // an admin gets more: the cameras' own addresses
  if (!settings.value) return html`<${Fail} of=${loadFail} />`;
  return html`<${ProfileSettings} /><${PresetSettings} /><${CameraSettings} />`;
}
