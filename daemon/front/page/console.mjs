/** The view Console: the dialogue with the printer, and a field to send commands. */

import {choice, gcode, keepChoice} from "./api.mjs";
import {html, onValue, signal, useEffect, useLayoutEffect, useRef, useState} from "./html.mjs";
import {subscribeConsole} from "./link.mjs";
import {isActive, isPrinting, thisPrint, whyNoPrinter} from "./state.mjs";
import {job, lines, short} from "./store.mjs";
import {ask, attempt} from "./widgets.mjs";
import {language, t, tn, why} from "./words.mjs";

/** Tests for the lines that the user can hide; the answers to M105 count as temperatures. */
const FILTERS = {
  temperatures: (/** @type {any} */ {text}) => /^(N\d+ )?M10?5\b|(^|ok )\s*T\d?:\s*-?\d|^\s*B:\s*-?\d/.test(text),
  ok: (/** @type {any} */ {way, text}) => way === "<" && /^ok\b(?!.*T\d?:)/.test(text),
  moves: (/** @type {any} */ {way, text}) => way === ">" && /^(N\d+ )?G[0123]\b/.test(text),
};
const MAX_SENT = 100; // commands that arrow up brings back

const hidden = signal(new Set(choice("console").split(",").filter(Boolean)));
const command = signal("");
const refusal = signal("");
/** The commands that were sent, newest first. @type {string[]} */
const sentCommands = [];
/** Which of them is in the field; -1: none. */
let recalled = -1;

/** @param {string} name */
function toggle(name) {
  const next = new Set(hidden.value);
  if (!next.delete(name)) next.add(name);
  hidden.value = next;
  keepChoice("console", [...next].join(","));
}

/** What commands mean; a press puts one into the field without sending it. @param {{word: string}} props */
function Help({word}) {
  const [rows, setRows] = useState(/** @type {[string, string, string, string][]} */ ([]));
  useEffect(() => {
    import("./gcode_help.mjs").then(module => setRows(module.HELP), () => (refusal.value = t("why_no_link")));
  }, []);
  const column = language.value === "de" ? 3 : 2;
  const search = word.trim().toUpperCase();
  const shown = rows.filter(row => !search || row[0].startsWith(search.split(" ")[0]) || row[column].toUpperCase().includes(search));
  return html`<div class="help" role="region" aria-label=${t("gcode_help")} tabindex="0">${shown.length === 0 && rows.length > 0 && html`<p class="empty">${t("no_help")}</p>`}
    <ul class="plainlist">${shown.map(row => html`<li key=${row[0]}>
      <button type="button" class="small" aria-label=${t("help_take", {command: row[1]})}
      onClick=${() => (command.value = row[1])}>${row[1]}</button> <span>${row[column]}</span></li>`)}</ul></div>`;
}

/** Commands that spoil a print: moves, another tool, heaters or motors off. */
const SPOILS = /^\s*(?:N\d+\s*)?(?:G(?:0|1|2|3|28|29|30|92)(?!\d)|T\d|M(?:18|84)(?!\d)|M(?:104|109|140|190)(?!\d)(?![^;]*[SR]\s*0*[1-9]))/i;

/** Plain moves without Z: in a paused print a user may want to bring the head to the nozzle brush. */
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

/** The lines of the dialogue; they stand still while the user has scrolled up. */
function Dialogue() {
  const box = useRef(/** @type {HTMLElement|null} */ (null));
  const [heldAt, setHeldAt] = useState(0); // the last line that was visible when the user scrolled up; 0: following the end
  const shown = useRef(lines.value); // stays the same while the user has scrolled up
  const active = Object.entries(FILTERS).filter(([name]) => hidden.value.has(name)).map(([, test]) => test);
  const filtered = (/** @type {typeof lines.value} */ all) => all.filter(line => line.way === "gap" || !active.some(test => test(line)));
  if (!heldAt) shown.current = lines.value;
  const rows = filtered(shown.current);
  useLayoutEffect(() => {
    if (!heldAt && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [rows.at(-1)?.id, heldAt]);
  const fresh = heldAt ? filtered(lines.value).filter(({id}) => id > heldAt).length : 0;
  function onScroll() {
    if (!box.current) return;
    const {scrollTop, scrollHeight, clientHeight} = box.current;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 24;
    if (isAtEnd && heldAt) setHeldAt(0);
    else if (!isAtEnd && !heldAt) setHeldAt(rows.at(-1)?.id ?? 1);
  }
  return html`<div class="log" ref=${box} onScroll=${onScroll} tabindex="0" role="log" aria-live="off" aria-label=${t("dialogue")}>
      ${rows.length === 0 && html`<p class="empty">${t("console_empty")}</p>`}
      ${rows.map(line => line.way === "gap"
        ? html`<div key=${line.id} class="gap">${tn("console_gap", Number(line.text))}</div>`
        : html`<div key=${line.id} class=${line.way === ">" ? "sent" : "got"}>${line.way === ">" ? "> " : "  "}${line.text}</div>`)}
    </div>
    <button type="button" class="small held" hidden=${!heldAt} onClick=${() => setHeldAt(0)}>${tn("console_new", fresh)} ↓</button>`;
}

/** The field for commands; a refused command stays in it. */
function CommandForm() {
  const [pending, setPending] = useState(false);
  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    const text = command.value.trim();
    if (!text || pending) return;
    refusal.value = whyNoPrinter.value;
    if (refusal.value) return;
    if (spoils(text) && !(await sureToSend(text))) return;
    setPending(true);
    if (await attempt(refusal, () => gcode({command: text}, {late: /m112/i.test(text)}))) {
      if (sentCommands[0] !== text) sentCommands.unshift(text);
      sentCommands.length = Math.min(sentCommands.length, MAX_SENT);
      recalled = -1;
      command.value = "";
    }
    setPending(false);
  }
  function recall(/** @type {KeyboardEvent} */ event) {
    const step = event.key === "ArrowUp" ? 1 : event.key === "ArrowDown" ? -1 : 0;
    if (!step || !sentCommands.length) return;
    event.preventDefault();
    recalled = Math.max(-1, Math.min(sentCommands.length - 1, recalled + step));
    command.value = recalled < 0 ? "" : sentCommands[recalled];
  }
  return html`<form class="row say" onSubmit=${submit}><p class="fail" role="alert">${why(refusal.value)}</p><label class="hidden" for="command">${t("command")}</label>
      <input id="command" value=${command.value} autocomplete="off" autocapitalize="characters" spellcheck=${false} placeholder="M115" enterkeyhint="send"
        onInput=${onValue(value => (command.value = value))} onKeyDown=${recall} />
      <button type="submit" class="main" aria-busy=${pending}>${t("send")}</button></form>`;
}

export function Console() {
  const [isHelpOpen, setHelpOpen] = useState(false);
  useEffect(() => {
    subscribeConsole(true);
    return () => subscribeConsole(false);
  }, []);
  return html`<section class="card console" aria-label=${t("view_console")}>
    <div class="row tools"><span>${t("hide")}</span>${Object.keys(FILTERS).map(name => html`<label key=${name} class="check"><input type="checkbox"
      checked=${hidden.value.has(name)} onChange=${() => toggle(name)} /> ${t(`filter_${name}`)}</label>`)}
      <button type="button" class="small" aria-expanded=${isHelpOpen} onClick=${() => setHelpOpen(!isHelpOpen)}>${t("gcode_help")}</button></div>
    ${isHelpOpen && html`<${Help} word=${command.value} />`}
    <${Dialogue} /><${CommandForm} /></section>`;
}
