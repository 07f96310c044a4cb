/** The view History: the last prints and how they ended. */

import {get} from "./api.mjs";
import {html, signal, useEffect} from "./html.mjs";
import {job, short} from "./store.mjs";
import {clock, duration, t} from "./words.mjs";

const jobs = signal(/** @type {any[]|null} */ (null));
const fail = signal("");

const TONES = {completed: "good", failed: "bad", interrupted: "bad", cancelled: "warn"};
const SIGNS = {completed: "✓", failed: "✕", interrupted: "✕", cancelled: "–"};

async function load() {
  try {
    jobs.value = (await get("api/history?limit=50")).jobs;
    fail.value = "";
  } catch (error) {
    fail.value = /** @type {Error} */ (error).message;
  }
}

export function History() {
  useEffect(() => void load(), [job.value.state, job.value.active]);
  return html`<section class="card" aria-label=${t("view_history")}><h2>${t("view_history")}</h2>
    <p class="fail" role="alert">${fail.value}</p>
    ${jobs.value === null && !fail.value && html`<p class="empty">${t("loading")}</p>`}
    ${jobs.value?.length === 0 && html`<p class="empty">${t("no_history")}</p>`}
    <ul class="plainlist">${(jobs.value ?? []).map(each => {
      const key = /** @type {keyof typeof TONES} */ (String(each.state).toLowerCase());
      const word = t(`ended_${key}`);
      return html`<li key=${each.id} class="past"><b class=${`sign ${TONES[key] ?? ""}`} aria-hidden="true">${SIGNS[key] ?? "…"}</b>
        <span class="what"><b>${short(each.name ?? each.path, 120)}</b>
          <small>${[word.startsWith("ended_") ? short(each.state, 40) : word, each.started && clock(each.started),
            typeof each.printTime === "number" && duration(each.printTime)].filter(Boolean).join(" · ")}</small>
          ${each.reason && html`<small class="dim">${short(each.reason, 300)}</small>`}</span></li>`;
    })}</ul></section>`;
}
