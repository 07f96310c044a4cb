/**
 * What a printer is doing, and what a job is about, in kinds that have words and a sign. Pure: no browser, no signals.
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

/** In the order in which a person looks: what wants somebody first. */
export const KINDS = /** @type {const} */ (["trouble", "bed", "paused", "printing", "ready", "held", "away"]);

/** The sign and the colour of each kind. @type {Record<string, {icon: string, tone: string}>} */
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

/** @param {FarmPrinter} printer Whether something goes on there that can be cancelled. */
export function isBusy(printer) {
  return ["printing", "paused"].includes(kindOf(printer));
}

/** What a printer prints, as people call it: the job's name where it is one of the farm's. @param {FarmPrinter} printer @param {FarmJob[]} jobs */
export function printed(printer, jobs) {
  const job = printer.job && jobs.find(each => each.id === printer.job);
  return job ? job.name : (printer.file ?? "").replace(/^[0-9a-f]{12}-(?=.)/, "");
}

/** How many copies of a job are where; what there is none of is 0. @param {FarmJob} job @param {FarmCopy[]} [orphans] */
export function countsOf(job, orphans = []) {
  const {waiting = 0, offered = 0, claimed = 0, printing = 0, done = 0, failed = 0, cancelled = 0} = job.counts ?? {};
  const all = waiting + offered + claimed + printing + done + failed + cancelled;
  const unknown = orphans.filter(each => each.job === job.id).length;
  return {waiting: waiting + offered, printing: Math.max(0, claimed + printing - unknown), unknown, done, failed, cancelled, all: all || job.copies || 1};
}

/** Whether text is in what a printer is called, is loaded with, or prints. @param {FarmPrinter} printer @param {string} text */
export function matches(printer, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return true;
  const tools = (printer.tools ?? []).flatMap(tool => [tool.material, tool.colour]);
  return [printer.id, printer.name, printer.group, printer.file, ...tools].some(each => (each ?? "").toLowerCase().includes(wanted));
}

/**
 * What a form says, as the API takes it: what is empty is left to the file.
 * @param {Record<string, string>} form @param {(text: string) => number} typed @returns {{fields: Record<string, unknown>, wrong: string}}
 */
export function fieldsOf(form, typed) {
  const fields = /** @type {Record<string, unknown>} */ ({});
  for (const name of ["material", "colour", "group", "notes"]) {
    if (form[name]?.trim()) fields[name] = form[name].trim();
  }
  for (const [name, least, most] of /** @type {[string, number, number][]} */ ([["copies", 1, 10000], ["priority", -100, 100]])) {
    if (!form[name]?.trim()) continue;
    const value = typed(form[name]);
    if (!Number.isInteger(value) || value < least || value > most) return {fields, wrong: name};
    fields[name] = value;
  }
  if (form.nozzle_mm?.trim()) {
    const value = typed(form.nozzle_mm);
    if (!(value > 0 && value <= 5)) return {fields, wrong: "nozzle_mm"};
    fields.nozzle_mm = value;
  }
  if (form.due) {
    const at = new Date(form.due).getTime() / 1000;
    if (Number.isNaN(at)) return {fields, wrong: "due"};
    fields.due = at;
  }
  return {fields, wrong: ""};
}

/** A moment as <input type=datetime-local> has it. @param {number|null} seconds */
export function localTime(seconds) {
  if (!seconds) return "";
  const at = new Date(seconds * 1000);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

/** Behind which job one comes that is moved: the id of what it is put before, null at the end. @param {{id: string}[]} jobs @param {string} id @param {number} before */
export function movedBefore(jobs, id, before) {
  const from = jobs.findIndex(each => each.id === id);
  if (from < 0 || before === from || before === from + 1) return undefined; // it stays where it is
  return jobs[before]?.id ?? null;
}

/**
 * Takes server-sent events out of a text that comes in pieces.
 * @param {(event: string, data: string) => void} hear
 * @returns {(piece: string) => void}
 */
export function eventReader(hear) {
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
      if (data.length) hear(event, data.join("\n"));
    }
  };
}
