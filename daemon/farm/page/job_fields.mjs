/** The form fields of a job: copies, requirements, priority, due time, notes. */

import {t} from "./farm_words.mjs";
import {html, onValue} from "./html.mjs";
import {everyPrinter} from "./store.mjs";

const MAX_LENGTH = {material: 64, colour: 64, group: 64, notes: 4000}; // characters, as in daemon/farm/list/user_actions.py

/** Values of the printers, as suggestions. @param {(each: import("./kinds.mjs").FarmPrinter) => (string|undefined)[]} valuesOf */
function suggestions(valuesOf) {
  return [...new Set(everyPrinter().flatMap(valuesOf).filter(Boolean))].sort().slice(0, 50);
}

/** @param {{form: Record<string, string>, set: (form: any) => void}} props */
export function JobFields({form, set}) {
  const put = (/** @type {string} */ name) => onValue(value => set({...form, [name]: value}));
  const text = (/** @type {keyof typeof MAX_LENGTH} */ name, /** @type {string} */ list = "") => html`<label class="field"><span>${t(`field_${name}`)}</span>
    <input maxlength=${MAX_LENGTH[name]} value=${form[name]} list=${list || undefined} onInput=${put(name)} /></label>`;
  const figure = (/** @type {string} */ name, /** @type {string} */ mode) => html`<label class="field"><span>${t(`field_${name}`)}</span>
    <input inputmode=${mode} size="5" autocomplete="off" value=${form[name]} onInput=${put(name)} /></label>`;
  return html`<div class="job-fields">${figure("copies", "numeric")}${text("material", "materials")}${text("colour", "colours")}${figure("nozzle_mm", "decimal")}
    ${text("group", "groups")}${figure("priority", "text")}
    <label class="field"><span>${t("field_due")}</span><input type="datetime-local" value=${form.due} onInput=${put("due")} /></label>
    <label class="field grows"><span>${t("field_notes")}</span><input maxlength=${MAX_LENGTH.notes} value=${form.notes} onInput=${put("notes")} /></label>
    <datalist id="materials">${suggestions(each => (each.tools ?? []).map(tool => tool.material)).map(each => html`<option key=${each} value=${each} />`)}</datalist>
    <datalist id="colours">${suggestions(each => (each.tools ?? []).map(tool => tool.colour)).map(each => html`<option key=${each} value=${each} />`)}</datalist>
    <datalist id="groups">${suggestions(each => [each.group]).map(each => html`<option key=${each} value=${each} />`)}</datalist></div>`;
}
