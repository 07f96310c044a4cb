/** Where the page begins: its language and looks, the key, and which view is shown. Nothing imports this module. */

import {choice, key} from "./api.mjs";
import {answering, Frame} from "./frame.mjs";
import {effect, html, render, signal, useEffect, useState} from "./html.mjs";
import {start, stop} from "./link.mjs";
import {Now} from "./now.mjs";
import {codeInAddress, pair} from "./pairing.mjs";
import {Refused} from "./refusal.mjs";
import {isActive, percent, state} from "./state.mjs";
import {asking, isAdmin, job, net, server, short} from "./store.mjs";
import {dialogs, dress, Modal, overlay, Question, quiet} from "./widgets.mjs";
import {more, speak, t} from "./words.mjs";

/** The views besides Now come when they are wanted, or when there is nothing else to do. */
const LATER = {
  files: () => import("./files.mjs").then(module => module.Files),
  move: () => import("./move.mjs").then(module => module.Move),
  console: () => import("./console.mjs").then(module => module.Console),
  history: () => import("./history.mjs").then(module => module.History),
  settings: () => import("./settings.mjs").then(module => module.Settings),
  setup: () => import("./setup.mjs").then(module => module.Setup),
  health: () => import("./health.mjs").then(module => module.Health),
  knock: () => import("./devices.mjs").then(module => module.Knock),
  pair: () => import("./pair.mjs").then(module => module.Pair),
};
const NO_VIEWS = ["knock", "pair"]; // they come by themselves
const IDLE = 3000; // ms after the first picture
const views = signal(/** @type {Record<string, any>} */ ({now: Now}));

/** @param {string} name */
async function bring(name) {
  if (views.value[name] || !(name in LATER)) return;
  const [view] = await Promise.all([LATER[/** @type {keyof typeof LATER} */ (name)](), more()]);
  views.value = {...views.value, [name]: view};
}

/** A view, or a word until it is there. @param {{name: string, rest?: string}} props */
function View({name, rest = ""}) {
  const [lost, setLost] = useState(false);
  useEffect(() => {
    setLost(false);
    bring(name).catch(() => setLost(true));
  }, [name, net.value.state]);
  const Shown = views.value[name];
  return Shown ? html`<${Shown} rest=${rest} />` : html`<p class="empty">${t(lost ? "why_no_link" : "loading")}</p>`;
}

const place = signal(location.hash.slice(1));
addEventListener("hashchange", () => {
  const code = codeInAddress();
  if (code) enter(code);
  place.value = location.hash.slice(1);
});

/** The title says what is going on, for who has the page in a tab behind. */
effect(() => {
  const name = short(job.value.file?.name ?? "", 40).replace(/\.(gcode|gco|g)$/i, "");
  const printer = short(server.value.name || "nozzled", 40); // two printers are told apart by it
  document.title = isActive.value && percent.value !== null
    ? `${Math.floor(percent.value)} % ${name} – ${printer}`
    : `${state.value.word} – ${printer}`;
});

function App() {
  const [over, setOver] = useState(false);
  const {state: link} = net.value;
  const [view, ...rest] = place.value.split("/");
  const name = (view in LATER && !NO_VIEWS.includes(view) ? view : "now");
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
      const files = [...(event.dataTransfer?.files ?? [])]; // they are gone after this event
      const [shown, ...path] = place.value.split("/");
      const into = shown === "files" ? path.map(decode).join("/") : "";
      import("./files.mjs").then(module => module.take(files, into));
      if (shown !== "files") location.hash = "#files";
    };
    addEventListener("dragover", enterDrag);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
  }, []);
  if (link === "nokey" || link === "refused") return html`<${View} name="pair" /><${Question} />`;
  const isAsked = isAdmin.value && Object.keys(asking.value).length > 0;
  return html`<${Frame} view=${name} /><main id="view" inert=${dialogs.value > 0}><${View} key=${name} name=${name} rest=${rest.map(decode).join("/")} /></main>
    <${Question} /><${Refused} />${overlay.value?.()}${isAsked && answering.value && html`<${Modal} name="knock" close=${() => (answering.value = false)}><${View} name="knock" />
      <//>`}${over && html`<div class="drop"><p>${t("drop_now")}</p></div>`}`;
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
const spoken = speak(choice("language") || navigator.language || "en");
if (!code) start(); // the answer is on its way while the first picture is made
await spoken;
const root = /** @type {HTMLElement} */ (document.getElementById("page"));
root.textContent = "";
render(html`<${App} />`, root);
if (code) enter(code);
setTimeout(async () => {
  for (const name of Object.keys(LATER)) {
    await quiet();
    await bring(name).catch(() => {}); // it comes when it is wanted
  }
}, IDLE);
