/**
 * What the farm's API sends, as types, and pure functions on it: kinds of printers, counts of copies, forms. No browser, no signals.
 *
 * @typedef {{actual: number|null, target: number|null}} Heat
 * @typedef {{id: string, away: boolean, heard: number|null, ready: boolean, reason: string, state: string, name: string, url: string,
 *   group: string, on_hold: boolean, bed_clear: boolean, cancelling: boolean, orphan: boolean, file: string, progress: number|null,
 *   remaining_s: number|null, heaters: Record<string, Heat>, tools: {material?: string, colour?: string, nozzle_mm?: number}[],
 *   camera: boolean, holds: string, job: string}} FarmPrinter
 * @typedef {{id: string, number: number, name: string, state: string, copies: number, material: string, colour: string,
 *   nozzle_mm: number, group: string, printers: string[], priority: number, due: number|null, notes: string, held: boolean,
 *   held_by: string, seconds: number, site: string, revision: number, counts: Record<string, number>}} FarmJob
 * @typedef {{id: string, job: string, number: number, state: string, printer: string, attempt: number, reason: string,
 *   since: number, begun: number|null, ended: number|null, seconds: number, cancelling: boolean, orphan: boolean, job_name: string}} FarmCopy
 */

/** The kinds of printers; those that need a user come first. */
export const KINDS = /** @type {const} */ (["trouble", "bed", "paused", "printing", "ready", "held", "away"]);

/** The icon and the colour of each kind. @type {Record<string, {icon: string, tone: string}>} */
export const LOOKS = {
  trouble: {icon: "fault", tone: "bad"},
  bed: {icon: "bed", tone: "warn"},
  paused: {icon: "paused", tone: "warn"},
  printing: {icon: "printing", tone: "good"},
  ready: {icon: "ready", tone: "good"},
  held: {icon: "paused", tone: "dim"},
  away: {icon: "offline", tone: "dim"},
};

/** @param {FarmPrinter} printer @returns {typeof KINDS[number]} */
export function kindOf(printer) {
  const {state = ""} = printer;
  if (printer.away) return "away";
  if (/^Paus/.test(state)) return "paused";
  if (/^(Printing|Starting|Resuming|Finishing|Cancelling)/.test(state)) return "printing";
  if (printer.on_hold) return "held";
  if (printer.ready) return "ready";
  if (/^Operational/.test(state)) return printer.bed_clear ? "trouble" : "bed";
  return "trouble";
}

/** Whether a printer has a print that can be cancelled. @param {FarmPrinter} printer */
export function isBusy(printer) {
  return ["printing", "paused"].includes(kindOf(printer));
}

/** The name of a printer's print: that of its job, or else of its file, without the digest. @param {FarmPrinter} printer @param {FarmJob[]} jobs */
export function printName(printer, jobs) {
  const job = printer.job && jobs.find(each => each.id === printer.job);
  return job ? job.name : (printer.file ?? "").replace(/^[0-9a-f]{12}-(?=.)/, "");
}

/** How many copies of a job are in which state. @param {FarmJob} job @param {FarmCopy[]} [orphans] */
export function countsOf(job, orphans = []) {
  const {waiting = 0, offered = 0, claimed = 0, printing = 0, done = 0, failed = 0, cancelled = 0} = job.counts ?? {};
  const all = waiting + offered + claimed + printing + done + failed + cancelled;
  const unknown = orphans.filter(each => each.job === job.id).length;
  return {waiting: waiting + offered, printing: Math.max(0, claimed + printing - unknown), unknown, done, failed, cancelled, all: all || job.copies || 1};
}

/** Whether a text occurs in a printer's name, group, file, materials or colours. @param {FarmPrinter} printer @param {string} text */
export function matches(printer, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return true;
  const tools = (printer.tools ?? []).flatMap(tool => [tool.material, tool.colour]);
  return [printer.id, printer.name, printer.group, printer.file, ...tools].some(each => (each ?? "").toLowerCase().includes(wanted));
}

/** The least and the largest value of each number of a job (daemon/farm/list/user_actions.py). @type {[string, number, number][]} */
const BOUNDS = [["copies", 1, 1000], ["priority", -1000, 1000]];
const MAX_NOZZLE = 10; // mm

/**
 * The fields of a form as the API takes them; empty ones are left out, so that the server decides. `wrong` names an invalid field.
 * @param {Record<string, string>} form @param {(text: string) => number} typed @returns {{fields: Record<string, unknown>, wrong: string}}
 */
export function fieldsOf(form, typed) {
  const fields = /** @type {Record<string, unknown>} */ ({});
  for (const name of ["material", "colour", "group", "notes"]) {
    if (form[name]?.trim()) fields[name] = form[name].trim();
  }
  for (const [name, least, most] of BOUNDS) {
    if (!form[name]?.trim()) continue;
    const value = typed(form[name]);
    if (!Number.isInteger(value) || value < least || value > most) return {fields, wrong: name};
    fields[name] = value;
  }
  if (form.nozzle_mm?.trim()) {
    const value = typed(form.nozzle_mm);
    if (!(value > 0 && value <= MAX_NOZZLE)) return {fields, wrong: "nozzle_mm"};
    fields.nozzle_mm = value;
  }
  if (form.due) {
    const at = new Date(form.due).getTime() / 1000;
    if (Number.isNaN(at)) return {fields, wrong: "due"};
    fields.due = at;
  }
  return {fields, wrong: ""};
}

/** A time for <input type=datetime-local>. @param {number|null} seconds Unix time */
export function localTime(seconds) {
  if (!seconds) return "";
  const at = new Date(seconds * 1000);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

/**
 * Where a job goes that a user drags to the index `before`: the id of the job before which it is put; null: after all others
 * of its priority and due date; undefined: it stays.
 * @param {{id: string}[]} jobs @param {string} id @param {number} before
 */
export function moveTarget(jobs, id, before) {
  const from = jobs.findIndex(each => each.id === id);
  if (from < 0 || before === from || before === from + 1) return undefined;
  return jobs[before]?.id ?? null;
}

/**
 * A reader of server-sent events from a text that comes in pieces.
 * @param {(event: string, data: string) => void} handle
 * @returns {(piece: string) => void}
 */
export function eventReader(handle) {
  let rest = "";
  return piece => {
    rest += piece;
    const blocks = rest.split(/\r?\n\r?\n/);
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      let event = "message";
      const data = [];
      for (const line of block.split(/\r?\n/)) {
        if (line.startsWith("event:")) event = line.slice(6).trim();
        else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
      }
      if (data.length) handle(event, data.join("\n"));
    }
  };
}
