/** Buttons that show what is pending, dialogs, the question before something is lost, fields for numbers, icons. */

import {choice} from "./api.mjs";
import {html, onValue, signal, useEffect, useRef, useState} from "./html.mjs";
import {whyReadOnly} from "./state.mjs";
import {plain, t, typed, why} from "./words.mjs";

const ACTION_TIMEOUT = 10000; // ms in which the state has to change after an action
const TAP_DELAY = 500; // ms in which a tap is ignored after a button has changed under the finger
const ROUNDING = 0.6; // by which a printer may round a value
const WAKE_DELAY = 400; // ms in which a tap is ignored after the page has become visible

let visibleSince = -Infinity;
document.addEventListener("visibilitychange", () => (visibleSince = performance.now()));

/** Whether a person looking at the page caused an event. @param {Event} event */
export function isMeant(event) {
  return event.isTrusted && performance.now() - visibleSince > WAKE_DELAY;
}

/**
 * A button for one action. It shows that the action is pending until `done` is true of the state; a failure goes to `fail`, a
 * signal that `Fail` shows.
 * @param {{label: any, busy?: string, run: () => Promise<unknown>, sure?: () => Promise<boolean>, done?: () => boolean,
 *   off?: string, fail: any, kind?: string, name?: string, title?: string, timeout?: number, reads?: boolean}} props `off`:
 *   why the action is not possible now; `sure` asks before; `run` returns false if nothing was sent; `timeout`: ms that the state may take to follow; `reads`: the
 *   action changes nothing, so a browser that may only watch can do it
 */
export function Act({label, busy, run, sure, done, off: reason, fail, kind = "", name, title, timeout = ACTION_TIMEOUT, reads = false}) {
  const off = reason || (reads ? "" : whyReadOnly.value);
  const [pending, setPending] = useState(false);
  const timer = useRef(0);
  const sent = useRef(false);
  const isDone = pending && sent.current && (!done || done());
  useEffect(() => {
    if (!isDone) return;
    clearTimeout(timer.current);
    setPending(false);
  }, [isDone]);
  const isMounted = useRef(true);
  useEffect(() => () => {
    isMounted.current = false;
    clearTimeout(timer.current);
  }, []);

  const shown = useRef({label, since: -Infinity});
  if (typeof label === "string" && shown.current.label !== label) shown.current = {label, since: performance.now()};

  async function press(/** @type {Event} */ event) {
    if (!isMeant(event) || pending || performance.now() - shown.current.since < TAP_DELAY) return; // the tap was meant for the previous button
    if (off) {
      fail.value = off;
      return;
    }
    fail.value = "";
    if (sure && !(await sure())) return;
    sent.current = false;
    setPending(true);
    try {
      const isSent = (await run()) !== false;
      if (!isSent || !done || done() || !isMounted.current) return setPending(false); // the state of a button that is gone is not watched
      sent.current = true;
      timer.current = setTimeout(() => {
        setPending(false);
        fail.value = t("no_change_yet", {n: timeout / 1000});
      }, timeout);
    } catch (error) {
      setPending(false);
      fail.value = /** @type {Error} */ (error).message;
    }
  }
  return html`<button type="button" class=${kind} onClick=${press} aria-busy=${pending} aria-disabled=${Boolean(off)}
    aria-label=${name} title=${off || title}>${pending && busy ? busy : label}</button>`;
}

/** Wait until the browser is idle, for a second at most. @returns {Promise<unknown>} */
export function untilIdle() {
  return new Promise(resolve => ("requestIdleCallback" in window ? requestIdleCallback(resolve, {timeout: 1000}) : setTimeout(resolve, 200)));
}

/**
 * Run something, and leave its error in a signal for `Fail`; the signal is cleared if it succeeds.
 * @param {{value: string}} fail @param {() => Promise<unknown>} run @returns {Promise<boolean>} Whether it succeeded.
 */
export async function attempt(fail, run) {
  try {
    await run();
    fail.value = "";
    return true;
  } catch (error) {
    fail.value = /** @type {Error} */ (error).message;
    return false;
  }
}

/** One of nozzled's messages in the user's language, with the commands between its back quotes as code. @param {{text: unknown}} props */
export function Message({text}) {
  return why(text).split("`").map((part, index) => (index % 2 ? html`<code>${part}</code>` : part));
}

/** The message of a failed action, until the next try. @param {{of: any}} props */
export function Fail({of}) {
  return html`<p class="fail" role="alert"><${Message} text=${of.value} /></p>`;
}

/** @typedef {{title: string, body: any, yes: string, no: string, kind?: string, holds?: () => boolean}} Asked */

/** @type {import("./vendor/signals-core.mjs").Signal<Asked & {answer: (yes: boolean) => void}|null>} */
const question = signal(null);
let before = Promise.resolve(false);

/**
 * Ask before something is lost: the title names the thing, the body the loss; the buttons are verbs. Once `holds` is false, the
 * question no longer applies and the answer is no. A question waits until the one before it is answered.
 * @param {Asked} what
 * @returns {Promise<boolean>}
 */
export function ask(what) {
  before = before.then(() => new Promise(resolve => {
    question.value = {
      kind: "danger",
      ...what,
      answer: yes => {
        question.value = null;
        resolve(yes && (what.holds?.() ?? true));
      },
    };
  }));
  return before;
}

/** A dialog that a view has opened, as a function that renders it: it is not part of the view, which is inert meanwhile. */
export const overlay = signal(/** @type {(() => any)|null} */ (null));

/** How many dialogs are open: meanwhile everything but the frame with its Stop is inert. */
export const dialogs = signal(0);

/**
 * A dialog over the view; Escape closes it. It is not modal for the browser, as that would make Stop inert, too.
 * @param {{close: () => void, name: string, children?: any}} props
 */
export function Modal({close, name, children}) {
  const box = useRef(/** @type {HTMLDialogElement|null} */ (null));
  useEffect(() => {
    const before = /** @type {HTMLElement|null} */ (document.activeElement);
    dialogs.value += 1;
    box.current?.show();
    return () => {
      dialogs.value -= 1;
      setTimeout(() => before?.isConnected && before.focus());
    };
  }, []);
  useEffect(() => {
    const leave = (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && close();
    addEventListener("keydown", leave);
    addEventListener("hashchange", close); // Back is no answer
    return () => {
      removeEventListener("keydown", leave);
      removeEventListener("hashchange", close);
    };
  });
  return html`<div class="shade"></div><dialog ref=${box} aria-labelledby=${name}>${children}</dialog>`;
}

/** The current question. The safe button comes first, has the focus, and is what Escape means. */
export function Question() {
  const asked = question.value;
  const isOver = asked !== null && asked.holds?.() === false;
  useEffect(() => {
    if (isOver) asked.answer(false);
  }, [isOver, asked]);
  const [read, setRead] = useState(/** @type {Asked|null} */ (null));
  useEffect(() => {
    const timer = setTimeout(() => setRead(asked), TAP_DELAY); // ignores a tap that was meant for what was here before
    return () => clearTimeout(timer);
  }, [asked]);
  if (!asked || isOver) return null;
  return html`<${Modal} key=${asked} name="asked" close=${() => asked.answer(false)}>
    <h2 id="asked">${asked.title}</h2>
    <div>${asked.body}</div>
    <div class="row apart">
      <button type="button" autofocus onClick=${() => asked.answer(false)}>${asked.no}</button>
      <button type="button" class=${asked.kind} disabled=${read !== asked} onClick=${(/** @type {Event} */ event) => isMeant(event) && asked.answer(true)}>${asked.yes}</button>
    </div>
  <//>`;
}

/**
 * A field for a number with a button. The printer's reports do not overwrite what is being typed, nor what was sent until the
 * printer reports it.
 * @param {{label: string, unit: string, value: number|null, least: number, most: number, send: (value: number) =>
 *   Promise<unknown>, fail: any, off?: string, id: string, verb?: string}} props `send` returns false if nothing was sent
 */
export function NumberField({label, unit, value, least, most, send, fail, off, id, verb}) {
  const [text, setText] = useState(/** @type {string|null} */ (null));
  const [pending, setPending] = useState(false);
  const [sent, setSent] = useState(/** @type {number|null} */ (null));
  const isReached = sent !== null && value !== null && Math.abs(value - sent) <= ROUNDING;
  useEffect(() => {
    if (sent === null) return;
    const end = (/** @type {string} */ failure) => {
      fail.value = failure;
      setSent(null);
      setText(null);
      setPending(false);
    };
    if (isReached) return end("");
    const timer = setTimeout(() => end(t("no_change_yet", {n: ACTION_TIMEOUT / 1000})), ACTION_TIMEOUT);
    return () => clearTimeout(timer);
  }, [sent, isReached]);
  const shown = text ?? (value === null ? "" : plain(Math.round(value * 10) / 10));
  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    fail.value = off ?? "";
    if (off || pending) return;
    const wanted = typed(shown);
    if (Number.isNaN(wanted) || wanted < least || wanted > most) {
      fail.value = t("number_range", {label, least, most, unit});
      return;
    }
    fail.value = "";
    setPending(true);
    try {
      if ((await send(wanted)) !== false) return setSent(wanted);
      setText(null);
    } catch (error) {
      fail.value = /** @type {Error} */ (error).message;
    }
    setPending(false);
  }
  return html`<form class="number" onSubmit=${submit}>
    <label for=${id} class="hidden">${label}</label>
    <input id=${id} inputmode="decimal" autocomplete="off" size="5" value=${shown} disabled=${Boolean(off)} readonly=${pending}
      onInput=${onValue(setText)}
      onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && setText(null)}
      onBlur=${() => text?.trim() === "" && setText(null)} />
    <span class="unit">${unit}</span>
    <button type="submit" aria-busy=${pending} aria-disabled=${Boolean(off)}
      aria-label=${`${verb ?? t("set")} ${label}`}>${verb ?? t("set")}${pending ? "…" : ""}</button>
  </form>`;
}

const PATHS = {
  ready: "M5 13l4 4L19 7",
  printing: "M8 5l11 7-11 7z",
  paused: "M8 5v14M16 5v14",
  fault: "M12 4l9 16H3zM12 10v4M12 17v.5",
  offline: "M5 5l14 14M19 5L5 19",
  busy: "M12 4v4M12 16v4M4 12h4M16 12h4M6.5 6.5l2.5 2.5M15 15l2.5 2.5M17.5 6.5L15 9M9 15l-2.5 2.5",
  now: "M4 5h16v11H4zM9 20h6M12 16v4",
  files: "M4 6h6l2 2h8v11H4z",
  move: "M12 3v18M3 12h18M12 3l-3 3M12 3l3 3M12 21l-3-3M12 21l3-3M3 12l3-3M3 12l3 3M21 12l-3-3M21 12l-3 3",
  console: "M4 5h16v14H4zM7 10l3 2.500-3 2.500M12 15h5",
  history: "M12 8v5l3 2M12 4a8 8 0 1 1-8 8M4 7v5h5",
  settings: "M4 7h9M17 7h3M4 12h3M11 12h9M4 17h9M17 17h3M15 5v4M9 10v4M15 15v4",
};

/** @param {{name: string}} props */
export function Icon({name}) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[/** @type {keyof typeof PATHS} */ (name)]} /></svg>`;
}

const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => applyTheme(choice("theme")));

/** Set the theme: light, dark, or anything else for the system's. @param {string} theme */
export function applyTheme(theme) {
  document.documentElement.dataset.theme = theme === "light" || theme === "dark" ? theme : dark.matches ? "dark" : "light";
}
