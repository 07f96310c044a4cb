/** The page's entry: language and theme, the pairing code of the address, and the view. No module imports this one. */

import {choice, key} from "./api.mjs";
import {Frame, isAnsweringAccess} from "./frame.mjs";
import {Guard} from "./guard.mjs";
import {effect, html, render, signal, useEffect, useState} from "./html.mjs";
import {start, stop} from "./link.mjs";
import {Now} from "./now.mjs";
import {codeInAddress, pair} from "./pairing.mjs";
import {Refused} from "./refusal.mjs";
import {isActive, percent, state} from "./state.mjs";
import {accessRequests, isAdmin, job, net, server, short} from "./store.mjs";
import {applyTheme, dialogs, Modal, overlay, Question, untilIdle} from "./widgets.mjs";
import {loadMoreTexts, setLanguage, t} from "./words.mjs";

/** Views that are loaded when they are opened, or when the browser is idle. */
const LATER = {
  files: () => import("./files.mjs").then(module => module.Files),
  move: () => import("./move.mjs").then(module => module.Move),
  console: () => import("./console.mjs").then(module => module.Console),
  history: () => import("./history.mjs").then(module => module.History),
  settings: () => import("./settings.mjs").then(module => module.Settings),
  setup: () => import("./setup.mjs").then(module => module.Setup),
  health: () => import("./health.mjs").then(module => module.Health),
  access: () => import("./devices.mjs").then(module => module.AccessDialog),
  pair: () => import("./pair.mjs").then(module => module.Pair),
};
const NOT_IN_ADDRESS = ["access", "pair"]; // shown by the page's state, not by the address
const PRELOAD_DELAY = 3000; // ms after the first paint
const views = signal(/** @type {Record<string, any>} */ ({now: Now}));

/** @param {string} name */
async function load(name) {
  if (views.value[name] || !(name in LATER)) return;
  const [view] = await Promise.all([LATER[/** @type {keyof typeof LATER} */ (name)](), loadMoreTexts()]);
  views.value = {...views.value, [name]: view};
}

/** A view, or a placeholder until it is loaded. @param {{name: string, rest?: string}} props `rest`: of the address, behind the name. */
function View({name, rest = ""}) {
  const [hasFailed, setFailed] = useState(false);
  useEffect(() => {
    setFailed(false);
    load(name).catch(() => setFailed(true));
  }, [name, net.value.state]);
  const Loaded = views.value[name];
  return Loaded ? html`<${Guard}><${Loaded} rest=${rest} /><//>` : html`<p class="empty">${t(hasFailed ? "why_no_link" : "loading")}</p>`;
}

/** The view and its rest, as the address has them: `files/parts`. */
const route = signal(location.hash.slice(1));
addEventListener("hashchange", () => {
  const code = codeInAddress();
  if (code) enter(code);
  route.value = location.hash.slice(1);
});

/** The title shows the state, for a tab in the background. */
effect(() => {
  const name = short(job.value.file?.name ?? "", 40).replace(/\.(gcode|gco|g)$/i, "");
  const printer = short(server.value.name || "nozzled", 40); // tells the tabs of two printers apart
  document.title = isActive.value && percent.value !== null
    ? `${Math.floor(percent.value)} % ${name} – ${printer}`
    : `${state.value.word} – ${printer}`;
});

function App() {
  const [isDragging, setDragging] = useState(false);
  const {state: link} = net.value;
  const [view, ...rest] = route.value.split("/");
  const name = (view in LATER && !NOT_IN_ADDRESS.includes(view) ? view : "now");
  useEffect(() => {
    const hasFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
    const enterDrag = (/** @type {DragEvent} */ event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setDragging(true);
    };
    const leave = (/** @type {DragEvent} */ event) => event.relatedTarget === null && setDragging(false);
    const drop = (/** @type {DragEvent} */ event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setDragging(false);
      const files = [...(event.dataTransfer?.files ?? [])]; // the browser clears them after this event
      const [shown, ...path] = route.value.split("/");
      const into = shown === "files" ? path.map(decode).join("/") : "";
      import("./files.mjs").then(module => module.addUploads(files, into));
      if (shown !== "files") location.hash = "#files";
    };
    addEventListener("dragover", enterDrag);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
  }, []);
  if (link === "nokey" || link === "refused") return html`<${View} name="pair" /><${Question} />`;
  const hasRequests = isAdmin.value && Object.keys(accessRequests.value).length > 0;
  return html`<${Frame} view=${name} /><main id="view" inert=${dialogs.value > 0}><${View} key=${name} name=${name} rest=${rest.map(decode).join("/")} /></main>
    <${Question} /><${Refused} />${overlay.value?.()}${hasRequests && isAnsweringAccess.value && html`<${Modal} name="access" close=${() => (isAnsweringAccess.value = false)}>
      <${View} name="access" /><//>`}${isDragging && html`<div class="drop"><p>${t("drop_now")}</p></div>`}`;
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Exchange a pairing code for a key; if the code is not valid, the old key stays. @param {string} code */
async function enter(code) {
  try {
    await pair(code);
  } catch (error) {
    if (!key()) return stop("nokey", /** @type {Error} */ (error).message);
  }
  start();
}

applyTheme(choice("theme"));
const code = codeInAddress();
const textsLoaded = setLanguage(choice("language") || navigator.language || "en");
if (!code) start(); // the login runs while the page is painted for the first time
await textsLoaded.catch(() => {}); // the page is in English until the texts can be loaded
const root = /** @type {HTMLElement} */ (document.getElementById("page"));
root.textContent = "";
render(html`<${App} />`, root);
if (code) enter(code);
setTimeout(async () => {
  for (const name of Object.keys(LATER)) {
    await untilIdle();
    await load(name).catch(() => {}); // tried again when it is opened
  }
}, PRELOAD_DELAY);
