/** The fields of a job: how many, of what, where, when. */

import {html} from "./html.mjs";
import {everyPrinter} from "./store.mjs";
import {t} from "./farm_words.mjs";

const LONGEST = {material: 60, colour: 60, group: 60, notes: 1000}; // characters

/** What the printers have, to choose from. @param {(each: import("./kinds.mjs").FarmPrinter) => (string|undefined)[]} of */
function known(of) {
  return [...new Set(everyPrinter().flatMap(of).filter(Boolean))].sort().slice(0, 50);
}

/** @param {{form: Record<string, string>, set: (form: any) => void}} props */
export function Wishes({form, set}) {
  const put = (/** @type {string} */ name) => (/** @type {any} */ event) => set({...form, [name]: event.target.value});
  const text = (/** @type {keyof typeof LONGEST} */ name, /** @type {string} */ list = "") => html`<label class="field"><span>${t(`field_${name}`)}</span>
    <input maxlength=${LONGEST[name]} value=${form[name]} list=${list || undefined} onInput=${put(name)} /></label>`;
  const figure = (/** @type {string} */ name, /** @type {string} */ mode) => html`<label class="field"><span>${t(`field_${name}`)}</span>
    <input inputmode=${mode} size="5" autocomplete="off" value=${form[name]} onInput=${put(name)} /></label>`;
  return html`<div class="wishes">${figure("copies", "numeric")}${text("material", "materials")}${text("colour", "colours")}${figure("nozzle_mm", "decimal")}
    ${text("group", "groups")}${figure("priority", "text")}
    <label class="field"><span>${t("field_due")}</span><input type="datetime-local" value=${form.due} onInput=${put("due")} /></label>
    <label class="field grows"><span>${t("field_notes")}</span><input maxlength=${LONGEST.notes} value=${form.notes} onInput=${put("notes")} /></label>
    <datalist id="materials">${known(each => (each.tools ?? []).map(tool => tool.material)).map(each => html`<option key=${each} value=${each} />`)}</datalist>
    <datalist id="colours">${known(each => (each.tools ?? []).map(tool => tool.colour)).map(each => html`<option key=${each} value=${each} />`)}</datalist>
    <datalist id="groups">${known(each => [each.group]).map(each => html`<option key=${each} value=${each} />`)}</datalist></div>`;
}
