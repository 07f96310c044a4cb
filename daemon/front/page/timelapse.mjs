/** Timelapse in Settings: films, pictures without a film, and when pictures are taken. */

import {get, post, remove} from "./api.mjs";
import {html, onValue, signal, useEffect, useState} from "./html.mjs";
import {unsent} from "./options.mjs";
import {isActive} from "./state.mjs";
import {sections, short} from "./store.mjs";
import {Act, ask, Fail} from "./widgets.mjs";
import {t, tn, typed} from "./words.mjs";

const RELOAD_DELAY = 2000; // ms from a change until the list is loaded again: a recording changes often
const fail = signal("");

/** @param {string} name @param {string} [part] */
const path = (name, part = "") => `api/timelapse/${part}${encodeURIComponent(name)}`;

/** When pictures are taken, and when a film is made. @param {{config: any, off: string, load: () => void}} props */
function Plan({config, off, load}) {
  const [changes, setChanges] = useState(/** @type {Record<string, string>} */ ({}));
  const set = (/** @type {string} */ name) => onValue(value => setChanges({...changes, [name]: value}));
  const now = {interval: 10, fps: 25, postRoll: 0, renderAfterPrint: "always", ...config, ...changes};
  const save = async () => {
    const numbers = Object.fromEntries(["interval", "fps", "postRoll"].map(name => [name, typed(String(now[name]))]));
    await post("api/timelapse", {...config, ...numbers, type: now.type, renderAfterPrint: now.renderAfterPrint, save: true});
    setChanges(now => unsent(now, changes));
    load();
  };
  const pick = (/** @type {string} */ name, /** @type {string[]} */ choices) => html`<label class="field"><span>${t(`films_${name}`)}</span> <select value=${now[name]}
    onChange=${set(name)}>${choices.map(each => html`<option key=${each} value=${each}>${t(`films_${each}`)}</option>`)}</select></label>`;
  const field = (/** @type {string} */ name) => html`<label class="field"><span>${t(`films_${name}`)}</span> <input value=${now[name]} inputmode="numeric" size="5" onInput=${set(name)} /></label>`;
  return html`<div class="row">${pick("type", ["zchange", "timed", "off"])}${now.type === "timed" && field("interval")}${now.type !== "off" && html`${field("fps")}${field("postRoll")}
    ${pick("renderAfterPrint", ["always", "success", "failure", "never"])}`}</div>
    <div class="row"><${Act} label=${t("save")} run=${save} off=${off || (Object.keys(changes).length ? "" : t("nothing_changed"))} fail=${fail} /></div>`;
}

/** @param {{name: string, run: () => Promise<unknown>, off: string}} props */
function Delete({name, run, off}) {
  const sure = () => ask({title: t("films_sure", {name}), body: t("films_sure_what"), yes: t("films_delete"), no: t("films_keep")});
  return html`<${Act} label=${t("films_delete")} name=${`${t("films_delete")} ${name}`} sure=${sure} run=${run} off=${off} fail=${fail} kind="small" />`;
}

/** @param {{film: any, off: string, load: () => void, play: (address: string) => void}} props */
function Film({film, off, load, play}) {
  const show = async () => {
    const {links} = await post("api/links", {paths: [film.url]});
    play(links[film.url].replace(/^\//, ""));
  };
  const name = short(film.name, 60);
  return html`<li class="row"><span class="grow">${name} <span class="dim">${film.date}, ${film.size}</span></span>
    <${Act} label=${t("films_play")} name=${`${t("films_play")} ${name}`} run=${show} fail=${fail} kind="small" reads=${true} />
    <${Delete} name=${name} run=${() => remove(path(film.name)).then(load)} off=${off} /></li>`;
}

/** Pictures without a film. @param {{of: any, off: string, load: () => void}} props */
function Pictures({of, off, load}) {
  const doing = of.recording ? t("films_recording") : of.rendering ? t("films_rendering") : of.failed;
  const name = short(of.name, 60);
  const render = () => post(path(of.name, "unrendered/"), {command: "render"}).then(load);
  return html`<li class="row"><span class="grow">${name} <span class="dim">${tn("films_pictures", of.pictures)}, ${of.size}${doing && ` – ${short(doing, 160)}`}</span></span>
    ${!of.processing && html`<${Act} label=${t("films_render")} name=${`${t("films_render")} ${name}`} run=${render}
      off=${off || (isActive.value ? t("why_printing") : "")} fail=${fail} kind="small" />
    <${Delete} name=${name} run=${() => remove(path(of.name, "unrendered/")).then(load)} off=${off} />`}</li>`;
}

export function Films() {
  const {state, away} = sections.value.companions?.timelapse ?? {};
  const [films, setFilms] = useState(/** @type {any} */ (null));
  const [playing, setPlaying] = useState("");
  const load = () => void get("api/timelapse?unrendered=true").then(setFilms, error => (fail.value = error.message));
  useEffect(() => {
    const timer = setTimeout(load, films ? RELOAD_DELAY : 0);
    return () => clearTimeout(timer);
  }, [state?.revision, away]);
  if (!films) return html`<${Fail} of=${fail} />`;
  const off = away ? t("films_away") : "";
  return html`<section class="card" aria-label=${t("films")}><h2>${t("films")}</h2>
    ${off && html`<p class="warn">${off}</p>`}
    ${state?.trouble && html`<p class="warn">${short(state.trouble, 300)}</p>`}
    <${Plan} config=${films.config} off=${off} load=${load} />
    ${playing && html`<video class="film" controls src=${playing}></video>`}
    ${films.files.length > 0 ? html`<ul class="plainlist">
      ${films.files.map((/** @type {any} */ each) => html`<${Film} key=${each.name} film=${each} off=${off} load=${load} play=${setPlaying} />`)}</ul>`
      : html`<p class="dim">${t("films_none")}</p>`}
    ${films.unrendered?.length > 0 && html`<h3>${t("films_unrendered")}</h3><ul class="plainlist">
      ${films.unrendered.map((/** @type {any} */ each) => html`<${Pictures} key=${each.name} of=${each} off=${off} load=${load} />`)}</ul>`}
    <${Fail} of=${fail} /></section>`;
}
