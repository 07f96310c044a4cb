/** Of this browser: its looks, its language, its key; and, for an admin, the keys of others. */

import {address, choice, get, keepChoice, post, remove} from "./api.mjs";
import {html, signal, useEffect, useState} from "./html.mjs";
import {leave} from "./link.mjs";
import {isAdmin} from "./state.mjs";
import {farm, me} from "./store.mjs";
import {Act, ask, dress, Fail} from "./widgets.mjs";
import {clock, LANGUAGES, language, short, speak, t} from "./farm_words.mjs";

const SCOPES = ["read", "control", "admin"];
const fail = signal("");

function Keys() {
  const [keys, setKeys] = useState(/** @type {any[]} */ ([]));
  const [name, setName] = useState("");
  const [scope, setScope] = useState("control");
  const [made, setMade] = useState("");
  const load = () => get("api/farm/keys").then(said => setKeys(said.keys ?? []), error => (fail.value = error.message));
  useEffect(() => void load(), []);
  const add = async () => {
    if (!name.trim()) throw new Error(t("key_wants_name"));
    const said = await post("api/farm/keys", {name: name.trim(), scope});
    setMade(said.key);
    setName("");
    await load();
  };
  return html`<section class="card"><h2>${t("keys")}</h2><p class="dim">${t("keys_what")}</p>
    <ul class="plainlist">${keys.map(each => html`<li class="past" key=${each.name}><span class="what"><b>${short(each.name, 60)}</b>
      <small>${[t(`scope_${each.scope}`), each.used && t("used", {time: clock(each.used)})].filter(Boolean).join(" · ")}</small></span>
      ${each.name !== me.value.name && html`<${Act} kind="danger" label=${t("revoke")} name=${`${t("revoke")}: ${short(each.name, 60)}`} fail=${fail}
        sure=${() => ask({title: t("revoke_title", {name: short(each.name, 60)}), body: html`<p>${t("revoke_body")}</p>`, yes: t("revoke"), no: t("keep_it")})}
        run=${async () => {
          await remove(`api/farm/keys/${address(each.name)}`);
          await load();
        }} />`}</li>`)}</ul>
    <div class="row"><label>${t("key_name")} <input maxlength="60" value=${name} onInput=${(/** @type {any} */ event) => setName(event.target.value)} /></label>
      <label>${t("scope")} <select value=${scope} onChange=${(/** @type {any} */ event) => setScope(event.target.value)}>
        ${SCOPES.map(each => html`<option key=${each} value=${each}>${t(`scope_${each}`)}</option>`)}</select></label>
      <${Act} label=${t("key_add")} run=${add} fail=${fail} /></div>
    ${made && html`<p>${t("key_made")} <code class="wide">${made}</code></p>`}</section>`;
}

export function Settings() {
  const [theme, setTheme] = useState(choice("theme"));
  const wear = (/** @type {any} */ event) => {
    setTheme(event.target.value);
    keepChoice("theme", event.target.value);
    dress(event.target.value);
  };
  const talk = (/** @type {any} */ event) => {
    keepChoice("language", event.target.value);
    speak(event.target.value);
  };
  return html`<section class="card"><h2>${t("this_browser")}</h2><div class="row">
      <label>${t("theme")} <select value=${theme} onChange=${wear}><option value="">${t("theme_system")}</option><option value="light">${t("theme_light")}</option>
        <option value="dark">${t("theme_dark")}</option></select></label>
      <label>${t("language")} <select value=${language.value} onChange=${talk}>${Object.entries(LANGUAGES).map(([code, name]) => html`<option key=${code}
        value=${code}>${name}</option>`)}</select></label></div>
    <p>${t("key_is", {name: short(me.value.name || "–", 60), scope: t(`scope_${me.value.scope || "control"}`)})}</p>
    <button type="button" onClick=${leave}>${t("sign_out")}</button><p class="dim">nozzled ${short(farm.value.version, 40)}</p></section>
    <${Fail} of=${fail} />${isAdmin.value && html`<${Keys} />`}`;
}
