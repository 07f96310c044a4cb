/** The page's entry: language and theme, the key, and which view is shown. No module imports this one. */

import {choice} from "./api.mjs";
import {Enter} from "./enter.mjs";
import {FarmIcon} from "./farm_icon.mjs";
import {number, setLanguage, short, t, tn, why} from "./farm_words.mjs";
import {History} from "./history.mjs";
import {effect, html, render, signal} from "./html.mjs";
import {Jobs} from "./jobs.mjs";
import {connect, start} from "./link.mjs";
import {Printers} from "./printers.mjs";
import {Settings} from "./settings.mjs";
import {age, census, farm, GRACE, ids, isStale, jobs, keepTicking, me, net, now, orphans} from "./store.mjs";
import {Submit} from "./submit.mjs";
import {applyTheme, dialogs, Question} from "./widgets.mjs";

const VIEWS = {printers: Printers, jobs: Jobs, submit: Submit, history: History, settings: Settings};
const ICONS = {printers: "now", jobs: "list", submit: "add", history: "history", settings: "settings"};

/** The view's name, as the address has it. */
const route = signal(location.hash.slice(1));
addEventListener("hashchange", () => (route.value = location.hash.slice(1)));
for (const kind of ["dragover", "drop"]) addEventListener(kind, event => event.preventDefault()); // a file that is dropped beside the form must not replace the page

effect(() => {
  const waiting = orphans.value.length + census.value.trouble + census.value.bed;
  document.title = `${waiting ? `(${waiting}) ` : ""}${short(farm.value.name, 40) || t("farm")} – nozzled`;
});

/** How fresh the data is. The line is always there, so that nothing moves when the connection is lost. */
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
    <button type="button" class="small again" aria-label=${t("try_now")} title=${t("try_now")} onClick=${connect}><span>${t("try_now")}</span></button></p>`;
}

/** How many printers print, are ready, and need a user. */
function Figures() {
  const {printing, paused, ready, bed, trouble, away} = census.value;
  const parts = [[printing + paused, "sum_printing"], [ready, "sum_ready"], [bed, "sum_bed"], [trouble, "sum_trouble"], [away, "sum_away"]];
  return html`<p class=${`sums ${isStale.value ? "old" : ""}`}>${ids.value.length > 0 && parts.filter(([count]) => count).map(([count, name]) => html`<span key=${name}>${tn(
    /** @type {string} */ (name), /** @type {number} */ (count))}</span>`)}</p>`;
}

function App() {
  const {state} = net.value;
  if (state === "nokey" || state === "refused") return html`<${Enter} /><${Question} />`;
  const name = route.value in VIEWS ? route.value : "printers";
  const View = VIEWS[/** @type {keyof typeof VIEWS} */ (name)];
  const counts = /** @type {Record<string, number>} */ ({printers: ids.value.length, jobs: jobs.value.length});
  return html`<header><div class="top"><h1>${short(farm.value.name, 60) || t("farm")}</h1><${Figures} /></div><div class="news"><${Freshness} /></div>
      ${farm.value.trouble && html`<p class="notice warn" role="status">${t("nats_away")} ${short(why(farm.value.trouble), 300)}</p>`}</header>
    <nav aria-label=${t("views")} inert=${dialogs.value > 0}>${Object.keys(VIEWS).map(each => html`<a key=${each} href=${`#${each}`} aria-current=${each === name ? "page" : null}>
      <${FarmIcon} name=${ICONS[/** @type {keyof typeof ICONS} */ (each)]} /><span>${t(`view_${each}`)}${counts[each] > 0 && html` <b>${number(counts[each])}</b>`}</span></a>`)}</nav>
    <main id="view" inert=${dialogs.value > 0}><${View} key=${name} /></main><${Question} />`;
}

applyTheme(choice("theme"));
start(); // the first request runs while the page is painted for the first time
keepTicking();
await setLanguage(choice("language") || navigator.language || "en").catch(() => {}); // then it is in English
const root = /** @type {HTMLElement} */ (document.getElementById("page"));
root.textContent = "";
render(html`<${App} />`, root);
