/** The functions for texts of a printer's page, and two that only the farm's page needs. */

import {plain, short, t} from "./words.mjs";

export {clock, duration, language, LANGUAGES, number, plain, sentence, short, size, setLanguage, t, tn, typed, why} from "./words.mjs";

/** `210 °C → 215`, `210 °C off`, or a dash for an unknown temperature. @param {import("./kinds.mjs").Heat} heat */
export function degrees({actual, target}) {
  if (typeof actual !== "number") return "–";
  const goal = typeof target !== "number" ? "" : target > 0 ? ` → ${Math.round(target)}` : ` ${t("off")}`;
  return `${Math.round(actual)} °C${goal}`;
}

/** What a job requires of a printer, and its priority: `PLA · 0.4 mm nozzle`. @param {import("./kinds.mjs").FarmJob} job */
export function requirements(job) {
  return [
    job.material && short(job.material, 40),
    job.colour && short(job.colour, 40),
    job.nozzle_mm > 0 && t("nozzle_of", {mm: plain(job.nozzle_mm)}),
    job.group && t("in_group", {name: short(job.group, 40)}),
    job.printers?.length > 0 && t("on_printers", {names: short(job.printers.join(", "), 80)}),
    job.priority !== 0 && t("priority_of", {n: job.priority}),
  ].filter(Boolean).join(" · ");
}
