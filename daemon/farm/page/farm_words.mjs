/** The words of the printer's page, and what the farm's needs besides. */

import {t} from "./words.mjs";

export {clock, duration, language, LANGUAGES, number, plain, sentence, short, size, speak, t, tn, typed, why} from "./words.mjs";

/** `215 → 215 °C`, or off, or a dash where nobody knows. @param {import("./kinds.mjs").Heat} heat */
export function degrees({actual, target}) {
  if (typeof actual !== "number") return "–";
  const goal = typeof target !== "number" ? "" : target > 0 ? ` → ${Math.round(target)}` : ` ${t("off")}`;
  return `${Math.round(actual)} °C${goal}`;
}

/** What a job asks of a printer, in few words. @param {import("./kinds.mjs").FarmJob} job @param {(text: unknown, most?: number) => string} short @param {(value: number, digits?: number) => string} number */
export function wishes(job, short, number) {
  return [
    job.material && short(job.material, 40),
    job.colour && short(job.colour, 40),
    job.nozzle_mm > 0 && t("nozzle_of", {mm: number(job.nozzle_mm, 1)}),
    job.group && t("in_group", {name: short(job.group, 40)}),
    job.printers?.length > 0 && t("on_printers", {names: short(job.printers.join(", "), 80)}),
    job.priority !== 0 && t("priority_of", {n: job.priority}),
  ].filter(Boolean).join(" · ");
}
