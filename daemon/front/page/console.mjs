/** The view Console: what is said over the line, and what a person says. */

import {choice, gcode, keepChoice} from "./api.mjs";
import {html, signal, useEffect, useLayoutEffect, useRef, useState} from "./html.mjs";
import {hearConsole} from "./link.mjs";
import {isActive, isPrinting, thisPrint, whyNoPrinter} from "./state.mjs";
import {job, lines, short} from "./store.mjs";
import {ask} from "./widgets.mjs";
import {language, t, tn, why} from "./words.mjs";

/** What may be left out, and by what it is known; the answers to a question for temperatures belong to it. */
const FILTERS = {
  temperatures: (/** @type {any} */ {text}) => /^(N\d+ )?M10?5\b|(^|ok )\s*T\d?:\s*-?\d|^\s*B:\s*-?\d/.test(text),
  ok: (/** @type {any} */ {way, text}) => way === "<" && /^ok\b(?!.*T\d?:)/.test(text),
  moves: (/** @type {any} */ {way, text}) => way === ">" && /^(N\d+ )?G[0123]\b/.test(text),
};
const KEPT = 100; // commands that can be had again

const hidden = signal(new Set(choice("console").split(",").filter(Boolean)));
const command = signal("");
const refusal = signal("");
/** @type {string[]} */
const said = [];
let looking = -1;

/** @param {string} name */
function toggle(name) {
  const next = new Set(hidden.value);
  if (!next.delete(name)) next.add(name);
  hidden.value = next;
  keepChoice("console", [...next].join(","));
}

/** What commands mean; a press puts one into the field, and sends nothing. @param {{word: string}} props */
function Help({word}) {
  const [rows, setRows] = useState(/** @type {[string, string, string, string][]} */ ([]));
  useEffect(() => {
    import("./gcode_help.mjs").then(module => setRows(module.HELP), () => (refusal.value = t("why_no_link")));
  }, []);
  const place = language.value === "de" ? 3 : 2;
  const looked = word.trim().toUpperCase();
  const shown = rows.filter(row => !looked || row[0].startsWith(looked.split(" ")[0]) || row[place].toUpperCase().includes(looked));
  return html`<div class="help" role="region" aria-label=${t("gcode_help")} tabindex="0">${shown.length === 0 && rows.length > 0 && html`<p class="empty">${t("no_help")}</p>`}
    <ul class="plainlist">${shown.map(row => html`<li key=${row[0]}>
      <button type="button" class="small" aria-label=${t("help_take", {command: row[1]})}
      onClick=${() => (command.value = row[1])}>${row[1]}</button> <span>${row[place]}</span></li>`)}</ul></div>`;
}

/** Commands that move the head, change the tool, or let a heater or the motors go: in a print they spoil it. */
const SPOILS = /^\s*(?:N\d+\s*)?(?:G(?:0|1|2|3|28|29|30|92)(?!\d)|T\d|M(?:18|84)(?!\d)|M(?:104|109|140|190)(?!\d)(?![^;]*[SR]\s*0*[1-9]))/i;

/** Plain moves: who has paused a print may want to bring the head to the nozzle brush. */
const MOVES = /^\s*(?:N\d+\s*)?G[0123](?!\d)(?!.*Z)/i;

/** @param {string} text */
function spoils(text) {
  return isActive.value && SPOILS.test(text) && (isPrinting.value || !MOVES.test(text));
}

/** @param {string} text */
function sureToSend(text) {
  const name = short(job.value.file?.name ?? t("this_print"), 80);
  return ask({title: t("send_title", {command: short(text, 40)}), body: t(isPrinting.value ? "send_body" : "send_paused", {name}),
    yes: t("send_yes"), no: t("send_no"), holds: thisPrint()});
}

export function Console() {
  const [helps, setHelps] = useState(false);
  const box = useRef(/** @type {HTMLElement|null} */ (null));
  const [held, setHeld] = useState(0); // the last line that was seen when it was scrolled up; 0: at the end
  const kept = useRef(lines.value); // what is shown meanwhile, however much comes
  const [pending, setPending] = useState(false);
  useEffect(() => {
    hearConsole(true);
    return () => hearConsole(false);
  }, []);
  const active = Object.entries(FILTERS).filter(([name]) => hidden.value.has(name)).map(([, test]) => test);
  const filtered = (/** @type {typeof lines.value} */ all) => all.filter(line => line.way === "gap" || !active.some(test => test(line)));
  if (!held) kept.current = lines.value;
  const rows = filtered(kept.current);
  useLayoutEffect(() => {
    if (!held && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [rows.at(-1)?.id, held]);
  const fresh = held ? filtered(lines.value).filter(({id}) => id > held).length : 0;
  function scrolled() {
    if (!box.current) return;
    const {scrollTop, scrollHeight, clientHeight} = box.current;
    const atEnd = scrollHeight - scrollTop - clientHeight < 24;
    if (atEnd && held) setHeld(0);
    else if (!atEnd && !held) setHeld(rows.at(-1)?.id ?? 1);
  }
  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    const text = command.value.trim();
    if (!text || pending) return;
    refusal.value = whyNoPrinter.value;
    if (refusal.value) return;
    if (spoils(text) && !(await sureToSend(text))) return;
    setPending(true);
    try {
      await gcode({command: text}, {late: /m112/i.test(text)});
      if (said[0] !== text) said.unshift(text);
      said.length = Math.min(said.length, KEPT);
      looking = -1;
      command.value = "";
    } catch (error) {
      refusal.value = /** @type {Error} */ (error).message; // the command stays in the field
    }
    setPending(false);
  }
  function keys(/** @type {KeyboardEvent} */ event) {
    const way = event.key === "ArrowUp" ? 1 : event.key === "ArrowDown" ? -1 : 0;
    if (!way || !said.length) return;
    event.preventDefault();
    looking = Math.max(-1, Math.min(said.length - 1, looking + way));
    command.value = looking < 0 ? "" : said[looking];
  }
  return html`<section class="card console" aria-label=${t("view_console")}>
    <div class="row tools"><span>${t("hide")}</span>${Object.keys(FILTERS).map(name => html`<label key=${name} class="check"><input type="checkbox"
      checked=${hidden.value.has(name)} onChange=${() => toggle(name)} /> ${t(`filter_${name}`)}</label>`)}
      <button type="button" class="small" aria-expanded=${helps} onClick=${() => setHelps(!helps)}>${t("gcode_help")}</button></div>
    ${helps && html`<${Help} word=${command.value} />`}
    <div class="log" ref=${box} onScroll=${scrolled} tabindex="0" role="log" aria-live="off" aria-label=${t("dialogue")}>
      ${rows.length === 0 && html`<p class="empty">${t("console_empty")}</p>`}
      ${rows.map(line => line.way === "gap"
        ? html`<div key=${line.id} class="gap">${t("console_gap", {n: line.text})}</div>`
        : html`<div key=${line.id} class=${line.way === ">" ? "sent" : "got"}>${line.way === ">" ? "> " : "  "}${line.text}</div>`)}
    </div>
    <button type="button" class="small held" hidden=${!held} onClick=${() => setHeld(0)}>${tn("console_new", fresh)} ↓</button>
    <form class="row say" onSubmit=${submit}><p class="fail" role="alert">${why(refusal.value)}</p><label class="hidden" for="command">${t("command")}</label>
      <input id="command" value=${command.value} autocomplete="off" autocapitalize="characters" spellcheck=${false} placeholder="M115" enterkeyhint="send"
        onInput=${(/** @type {any} */ event) => (command.value = event.target.value)} onKeyDown=${keys} />
      <button type="submit" class="main" aria-busy=${pending}>${t("send")}</button></form>
  </section>`;
}
