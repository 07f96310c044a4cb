/** The view for a browser that has no key, or one that is no longer valid. */

import {get, keepKey} from "./api.mjs";
import {short, t} from "./farm_words.mjs";
import {html, onChecked, onValue, signal, useState} from "./html.mjs";
import {start} from "./link.mjs";
import {net} from "./store.mjs";
import {attempt, Fail, Message} from "./widgets.mjs";

const fail = signal("");

export function Enter() {
  const {state, reason} = net.value;
  const [key, setKey] = useState("");
  const [stay, setStay] = useState(true);
  const [isBusy, setBusy] = useState(false);
  async function enter(/** @type {Event} */ event) {
    event.preventDefault();
    if (isBusy) return;
    fail.value = key.trim() ? "" : t("no_key");
    if (fail.value) return;
    setBusy(true);
    const isValid = await attempt(fail, () => get("api/farm", {withKey: key.trim()}));
    setBusy(false);
    if (!isValid) return;
    keepKey(key.trim(), stay);
    start();
  }
  return html`<main class="pair"><h1>${t(state === "refused" ? "refused" : "welcome")}</h1><p>${t("welcome_what")}</p>
    ${reason && html`<p class="fail" role="alert"><${Message} text=${short(reason)} /></p>`}<${Fail} of=${fail} />
    <form class="card" onSubmit=${enter}><label class="field"><span>${t("key")}</span>
      <input type="password" autocomplete="current-password" autofocus value=${key} onInput=${onValue(setKey)} /></label>
      <label class="check"><input type="checkbox" checked=${stay} onChange=${onChecked(setStay)} /> ${t("stay")}</label>
      <button type="submit" class="main" aria-busy=${isBusy}>${t("use_key")}</button>
      <p class="dim">${t("where_key")} <code>nozzled farm key add NAME</code></p></form></main>`;
}
