/** Where the page begins: language and looks, the key, and which view is shown. Nothing imports this module. */

import {choice} from "./api.mjs";
import {Enter} from "./enter.mjs";
import {History} from "./history.mjs";
import {effect, html, render, signal} from "./html.mjs";
import {Jobs} from "./jobs.mjs";
import {again, start} from "./link.mjs";
import {Printers} from "./printers.mjs";
import {Settings} from "./settings.mjs";
import {Sign} from "./sign.mjs";
import {age, census, farm, GRACE, ids, isStale, jobs, keepTicking, me, net, now, orphans} from "./store.mjs";
import {Submit} from "./submit.mjs";
import {dialogs, dress, Question} from "./widgets.mjs";
import {number, short, speak, t, tn, why} from "./farm_words.mjs";

const VIEWS = {printers: Printers, jobs: Jobs, submit: Submit, history: History, settings: Settings};
const SIGNS = {printers: "now", jobs: "list", submit: "add", history: "history", settings: "settings"};

const place = signal(location.hash.slice(1));
addEventListener("hashchange", () => (place.value = location.hash.slice(1)));
for (const kind of ["dragover", "drop"]) addEventListener(kind, event => event.preventDefault()); // a file beside the form opens nothing

effect(() => {
  const open = orphans.value.length + census.value.trouble + census.value.bed;
  document.title = `${open ? `(${open}) ` : ""}${short(farm.value.name, 40) || t("farm")} – nozzled`;
});

/** One line that is always there, so that nothing moves when the connection is lost. */
function Freshness() {
  const {state, since, retryAt, reason} = net.value;
  const gone = (now.value - since) / 1000;
  if (state === "live" && !isStale.value) {
    return html`<p class="fresh"><span>${t("fresh")}${me.value.scope === "read" ? ` · ${t("may_look")}` : ""}</span></p>`;
  }
  if (state === "boot" || (state === "lost" && gone < GRACE && !isStale.value)) return html`<p class="fresh"><span>${t("connecting")}</span></p>`;
  const wait = Math.ceil((retryAt - now.value) / 1000);
  return html`<p class="fresh bad" id="banner"><span>${[t(state === "live" ? "fresh_silent" : "fresh_no_link"), age.value === null ? "" : t("fresh_old", {n: number(age.value)}),
    state === "live" ? "" : wait > 0 ? t("fresh_next", {n: wait}) : t("connecting"), reason && short(why(reason))].filter(Boolean).join(" · ")}</span>
    <button type="button" class="small again" aria-label=${t("try_now")} title=${t("try_now")} onClick=${again}><span>${t("try_now")}</span></button></p>`;
}

/** What a person wants to know first. */
function Figures() {
  const {printing, paused, ready, bed, trouble, away} = census.value;
  const parts = [[printing + paused, "sum_printing"], [ready, "sum_ready"], [bed, "sum_bed"], [trouble, "sum_trouble"], [away, "sum_away"]];
  return html`<p class=${`sums ${isStale.value ? "old" : ""}`}>${ids.value.length > 0 && parts.filter(([count]) => count).map(([count, name]) => html`<span key=${name}>${tn(
    /** @type {string} */ (name), /** @type {number} */ (count))}</span>`)}</p>`;
}

function App() {
  const {state} = net.value;
  if (state === "nokey" || state === "refused") return html`<${Enter} /><${Question} />`;
  const name = place.value in VIEWS ? place.value : "printers";
  const View = VIEWS[/** @type {keyof typeof VIEWS} */ (name)];
  const counts = {printers: ids.value.length, jobs: jobs.value.length};
  return html`<header><div class="top"><h1>${short(farm.value.name, 60) || t("farm")}</h1><${Figures} /></div><div class="news"><${Freshness} /></div>
      ${farm.value.trouble && html`<p class="notice warn" role="status">${t("nats_away")} ${short(why(farm.value.trouble), 300)}</p>`}</header>
    <nav aria-label=${t("views")} inert=${dialogs.value > 0}>${Object.keys(VIEWS).map(each => html`<a key=${each} href=${`#${each}`} aria-current=${each === name ? "page" : null}>
      <${Sign} name=${SIGNS[/** @type {keyof typeof SIGNS} */ (each)]} /><span>${t(`view_${each}`)}${each in counts && counts[/** @type {keyof typeof counts} */ (each)] > 0 ? html` <b>${number(counts[/** @type {keyof typeof counts} */ (each)])}</b>` : ""}</span></a>`)}</nav>
    <main id="view" inert=${dialogs.value > 0}><${View} key=${name} /></main><${Question} />`;
}

dress(choice("theme"));
start(); // the answer is on its way while the first picture is made
keepTicking();
await speak(choice("language") || navigator.language || "en");
const root = /** @type {HTMLElement} */ (document.getElementById("page"));
root.textContent = "";
render(html`<${App} />`, root);
