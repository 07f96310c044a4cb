/** The view Printers: a card for each with its state, why it is not ready, and its buttons. */

import {address, picture, post} from "./api.mjs";
import {FarmIcon} from "./farm_icon.mjs";
import {clock, degrees, duration, number, plain, sentence, short, t, tn} from "./farm_words.mjs";
import {html, onValue, signal, useComputed, useEffect, useRef, useState} from "./html.mjs";
import {isBusy, kindOf, KINDS, LOOKS, matches, printName} from "./kinds.mjs";
import {Orphans} from "./orphans.mjs";
import {census, everyPrinter, ids, isStale, jobs, printer} from "./store.mjs";
import {Act, ask, Fail} from "./widgets.mjs";

const PICTURE_INTERVAL = 15000; // ms
const MAX_REQUESTS = 3; // for pictures, at a time
const NEAR = "400px"; // around the visible part of the page: a card in there is drawn in full

const kind = signal("");
const search = signal("");

/** What to call when an element comes near the visible part of the page, or leaves it. */
const watchers = /** @type {WeakMap<Element, (isNear: boolean) => void>} */ (new WeakMap());
const watch = new IntersectionObserver(entries => {
  for (const each of entries) watchers.get(each.target)?.(each.isIntersecting);
}, {rootMargin: NEAR});

let requests = 0;
const waiting = /** @type {(() => void)[]} */ ([]);

/** Fetch a picture when it is its turn; empty: there is none. @param {string} id @param {() => boolean} isWanted */
async function fetchPicture(id, isWanted) {
  if (requests >= MAX_REQUESTS) await new Promise(resolve => waiting.push(() => resolve(null)));
  if (!isWanted()) {
    waiting.shift()?.();
    return "";
  }
  requests += 1;
  try {
    return await picture(`api/farm/printers/${address(id)}/picture`);
  } catch {
    return "";
  } finally {
    requests -= 1;
    waiting.shift()?.();
  }
}

/** The camera's picture, renewed while the card is shown and the page is visible. @param {{id: string}} props */
function Camera({id}) {
  const [source, setSource] = useState("");
  const last = useRef("");
  useEffect(() => {
    let isMounted = true;
    const load = async () => {
      if (document.hidden) return;
      const fresh = await fetchPicture(id, () => isMounted && !document.hidden);
      if (!isMounted) return fresh && URL.revokeObjectURL(fresh);
      if (!fresh) return;
      if (last.current) URL.revokeObjectURL(last.current);
      last.current = fresh;
      setSource(fresh);
    };
    load();
    const timer = setInterval(load, PICTURE_INTERVAL);
    return () => {
      isMounted = false;
      clearInterval(timer);
      if (last.current) URL.revokeObjectURL(last.current);
    };
  }, [id]);
  return html`<div class="shot">${source && html`<img src=${source} alt=${t("picture_of", {name: short(id, 40)})} />`}</div>`;
}

/** @param {{id: string, fail: any}} props */
function Buttons({id, fail}) {
  const data = /** @type {any} */ (printer(id));
  if (!data) return null;
  const what = kindOf(data);
  const file = short(printName(data, jobs.value) || t("a_print"), 60);
  const tell = (/** @type {string} */ verb) => () => post(`api/farm/printers/${address(id)}/${verb}`, {}, {timeout: 15000});
  const heldCopy = data.holds;
  const sure = () => ask({
    title: t("cancel_title", {name: file}),
    body: html`<p>${t("cancel_body", {printer: short(id, 40), percent: data.progress === null || data.progress === undefined ? "–" : Math.floor(data.progress)})}</p>`,
    yes: t("cancel_yes"),
    no: t("cancel_no"),
    holds: () => isBusy(/** @type {any} */ (printer(id) ?? {})) && printer(id)?.holds === heldCopy,
  });
  const off = data.away ? t("why_away") : "";
  const named = (/** @type {string} */ label) => `${label}: ${short(id, 40)}`;
  return html`<div class="row">
    ${what === "bed" && html`<${Act} kind="main" label=${t("bed_is_clear")} name=${named(t("bed_is_clear"))} run=${tell("bed_clear")}
      done=${() => printer(id)?.bed_clear} fail=${fail} />`}
    ${what === "printing" && html`<${Act} label=${t("pause")} busy=${t("pausing")} name=${named(t("pause"))} run=${tell("pause")} fail=${fail} />`}
    ${what === "paused" && html`<${Act} kind="main" label=${t("resume")} name=${named(t("resume"))} run=${tell("resume")} fail=${fail} />`}
    ${!isBusy(data) && html`<${Act} label=${t(data.on_hold ? "release" : "hold")} name=${named(t(data.on_hold ? "release" : "hold"))} off=${off}
      run=${tell(data.on_hold ? "release" : "hold")} fail=${fail} />`}
    ${isBusy(data) && html`<span class="gap"></span><${Act} kind="danger" label=${t("cancel")} name=${named(t("cancel"))} sure=${sure} run=${tell("cancel")} fail=${fail} />`}
  </div>`;
}

/** @param {string} name */
function heaterLabel(name) {
  const label = t(`heater_${name}`);
  return short(label.startsWith("heater_") ? name : label, 20);
}

/** A card's contents but for its heading. @param {{id: string, fail: any}} props */
function Contents({id, fail}) {
  const data = /** @type {any} */ (printer(id));
  if (!data) return null;
  const share = typeof data.progress === "number" ? Math.min(100, Math.max(0, data.progress)) : null;
  const loaded = (data.tools ?? []).map((/** @type {any} */ each) => [each.material, each.colour, each.nozzle_mm && `${plain(each.nozzle_mm)} mm`].filter(Boolean).join(" "));
  const name = printName(data, jobs.value);
  const heat = Object.entries(data.heaters ?? {});
  return html`
    ${data.camera && !data.away && html`<${Camera} id=${id} />`}
    ${name && isBusy(data) && html`<div><p class="file-name">${short(name, 80)}</p>
      <progress max="100" value=${share ?? 0} aria-label=${t("progress_of", {name: short(name, 60)})}></progress>
      <p><b>${share === null ? "–" : `${Math.floor(share)} %`}</b> ${typeof data.remaining_s === "number" && html`<span>${t("time_left", {time: duration(data.remaining_s),
        clock: clock(Date.now() / 1000 + data.remaining_s)})}</span>`}</p></div>`}
    ${data.away ? html`<p class="dim">${data.heard ? t("away_since", {time: clock(data.heard)}) : t("away_always")}</p>`
      : data.reason && kindOf(data) !== "printing" && html`<p class=${LOOKS[kindOf(data)].tone}>${short(sentence(data.reason), 300)}</p>`}
    ${data.cancelling && html`<p class="warn">${t("is_cancelling")}</p>`}
    ${heat.length > 0 && !data.away && html`<dl class="heaters">${heat.map(([name, each]) => html`<div key=${name}><dt>${heaterLabel(name)}</dt>
      <dd>${degrees(/** @type {any} */ (each))}</dd></div>`)}</dl>`}
    <p class="dim">${[data.group && t("in_group", {name: short(data.group, 40)}), ...loaded.map((/** @type {string} */ each) => short(each, 60))].filter(Boolean).join(" · ")}</p>
    <${Buttons} id=${id} fail=${fail} /><${Fail} of=${fail} />
    ${data.url && /^https?:\/\//.test(data.url) && html`<a href=${data.url} target="_blank" rel="noreferrer noopener" aria-label=${t("own_page_of", {name: short(id, 40)})}>${t("own_page")}</a>`}`;
}

/** A card: its name and state always, its contents while it is near the visible part of the page. @param {{id: string}} props */
function Card({id}) {
  const [isNear, setNear] = useState(false);
  const box = useRef(/** @type {HTMLElement|null} */ (null));
  const height = useRef(0);
  const fail = useRef(signal("")).current;
  useEffect(() => {
    const element = /** @type {HTMLElement} */ (box.current);
    watchers.set(element, near => {
      if (!near && element.offsetHeight) height.current = element.offsetHeight;
      setNear(near);
    });
    watch.observe(element);
    return () => watch.unobserve(element);
  }, []);
  const data = printer(id);
  if (!data) return html`<li class="card printer" ref=${box}></li>`;
  const what = kindOf(data);
  const {icon, tone} = LOOKS[what];
  return html`<li class=${`card printer ${data.away || isStale.value ? "old" : ""}`} ref=${box} style=${isNear || !height.current ? undefined : {minHeight: `${height.current}px`}}>
    <div class="row apart"><h2>${id}${data.name && data.name !== id && html` <small>${short(data.name, 40)}</small>`}</h2>
      <span class=${`state ${tone}`}><${FarmIcon} name=${icon} /> ${t(`kind_${what}`)}</span></div>
    ${isNear && html`<${Contents} id=${id} fail=${fail} />`}</li>`;
}

/** @param {{name: string, count: number}} props */
function Kind({name, count}) {
  return html`<button type="button" class="chip" aria-pressed=${kind.value === name} onClick=${() => (kind.value = kind.value === name ? "" : name)}>
    ${name ? html`<span class=${LOOKS[name].tone}><${FarmIcon} name=${LOOKS[name].icon} /></span>` : ""}${t(name ? `kind_${name}` : "kind_all")} <b>${number(count)}</b></button>`;
}

/** The list that was shown last. It is reused while it has the same printers, so that it is not drawn again. */
let shownLast = /** @type {string[]} */ ([]);

export function Printers() {
  const shown = useComputed(() => {
    const found = everyPrinter().filter(each => (!kind.value || kindOf(each) === kind.value) && matches(each, search.value)).map(each => each.id);
    if (found.length === shownLast.length && found.every((each, at) => each === shownLast[at])) return shownLast;
    shownLast = found;
    return found;
  });
  const all = ids.value.length;
  return html`<h2 class="hidden">${t("view_printers")}</h2><${Orphans} />
    ${all > 0 && html`<div class="row kinds" role="group" aria-label=${t("kinds")}><${Kind} name="" count=${all} />
      ${KINDS.filter(each => census.value[each] > 0 || kind.value === each).map(each => html`<${Kind} key=${each} name=${each} count=${census.value[each]} />`)}
      <label class="find">${t("find")} <input type="search" value=${search.value} onInput=${onValue(value => (search.value = value))} /></label></div>`}
    ${all === 0 && html`<section class="card"><h2>${t("no_printers")}</h2><p>${t("no_printers_what")}</p><p><code>nozzled farm enrol mk3-1</code></p></section>`}
    ${all > 0 && shown.value.length === 0 && html`<p class="empty">${t("none_found")}</p>`}
    <p class="hidden" role="status">${all > 0 && tn("printers_shown", shown.value.length)}</p>
    <ul class="cards">${shown.value.map(id => html`<${Card} key=${id} id=${id} />`)}</ul>`;
}
