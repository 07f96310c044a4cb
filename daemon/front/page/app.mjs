/** Where the page begins: its language and looks, the key, and which view is shown. Nothing imports this module. */

import {choice, key} from "./api.mjs";
import {Console} from "./console.mjs";
import {Files, Refused, take} from "./files.mjs";
import {Frame} from "./frame.mjs";
import {History} from "./history.mjs";
import {effect, html, render, signal, useEffect, useState} from "./html.mjs";
import {start, stop} from "./link.mjs";
import {Move} from "./move.mjs";
import {Now} from "./now.mjs";
import {codeInAddress, Pair, pair} from "./pair.mjs";
import {dress, Knock, listen, Settings} from "./settings.mjs";
import {isActive, percent, state} from "./state.mjs";
import {job, net, short} from "./store.mjs";
import {dialogs, Question} from "./widgets.mjs";
import {speak, t} from "./words.mjs";

const VIEWS = {now: Now, files: Files, move: Move, console: Console, history: History, settings: Settings};

const place = signal(location.hash.slice(1));
addEventListener("hashchange", () => {
  const code = codeInAddress();
  if (code) enter(code);
  place.value = location.hash.slice(1);
});

/** The title says what is going on, for who has the page in a tab behind. */
effect(() => {
  const name = short(job.value.file?.name ?? "", 40).replace(/\.(gcode|gco|g)$/i, "");
  document.title = isActive.value && percent.value !== null
    ? `${Math.floor(percent.value)} % ${name} – nozzled`
    : `${state.value.word} – nozzled`;
});

function App() {
  const [over, setOver] = useState(false);
  const {state: link, reason} = net.value;
  const [view, ...rest] = place.value.split("/");
  const name = /** @type {keyof VIEWS} */ (view in VIEWS ? view : "now");
  useEffect(() => {
    const has = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
    const enterDrag = (/** @type {DragEvent} */ event) => {
      if (!has(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (/** @type {DragEvent} */ event) => event.relatedTarget === null && setOver(false);
    const drop = (/** @type {DragEvent} */ event) => {
      if (!has(event)) return;
      event.preventDefault();
      setOver(false);
      take(event.dataTransfer?.files ?? []);
      if (!location.hash.startsWith("#files")) location.hash = "#files";
    };
    addEventListener("dragover", enterDrag);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
  }, []);
  if (link === "nokey" || link === "refused") return html`<${Pair} reason=${reason} isRevoked=${link === "refused"} /><${Question} />`;
  const View = VIEWS[name];
  return html`<${Frame} view=${name} /><main id="view" inert=${dialogs.value > 0}><${Knock} /><${View} rest=${rest.map(decode).join("/")} /></main>
    <${Question} /><${Refused} />${over && html`<div class="drop"><p>${t("drop_now")}</p></div>`}`;
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Exchange a code; one that is no good leaves an old key in place. @param {string} code */
async function enter(code) {
  try {
    await pair(code);
  } catch (error) {
    if (!key()) return stop("nokey", /** @type {Error} */ (error).message);
  }
  start();
}

dress(choice("theme"));
const code = codeInAddress();
await speak(choice("language") || navigator.language || "en");
listen();
const root = /** @type {HTMLElement} */ (document.getElementById("page"));
root.textContent = "";
render(html`<${App} />`, root);
if (code) enter(code);
else start();
