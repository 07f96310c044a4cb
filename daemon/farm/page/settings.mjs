/** The view Settings: this browser's theme, language and key, and for an admin all keys. */

import {address, get, post, remove} from "./api.mjs";
import {short, t} from "./farm_words.mjs";
import {html, onValue, signal, useEffect, useState} from "./html.mjs";
import {leave} from "./link.mjs";
import {Looks} from "./looks.mjs";
import {isAdmin} from "./state.mjs";
import {farm, me} from "./store.mjs";
import {Act, ask, Fail} from "./widgets.mjs";

const SCOPES = ["read", "control", "admin"];
const fail = signal("");

function Keys() {
  const [keys, setKeys] = useState(/** @type {any[]} */ ([]));
  const [name, setName] = useState("");
  const [scope, setScope] = useState("control");
  const [newKey, setNewKey] = useState("");
  const load = () => get("api/farm/keys").then(answer => setKeys(answer.keys ?? []), error => (fail.value = error.message));
  useEffect(() => void load(), []);
  const add = async () => {
    if (!name.trim()) throw new Error(t("key_wants_name"));
    const answer = await post("api/farm/keys", {name: name.trim(), scope});
    setNewKey(answer.key);
    setName("");
    await load();
  };
  return html`<section class="card"><h2>${t("keys")}</h2><p class="dim">${t("keys_what")}</p>
    <ul class="plainlist">${keys.map(each => html`<li class="past" key=${each.name}><span class="what"><b>${short(each.name, 60)}</b>
      <small>${t(`scope_${each.scope}`)}</small></span>
      ${each.name !== me.value.name && html`<${Act} kind="danger" label=${t("revoke")} name=${`${t("revoke")}: ${short(each.name, 60)}`} fail=${fail}
        sure=${() => ask({title: t("revoke_title", {name: short(each.name, 60)}), body: html`<p>${t("revoke_body")}</p>`, yes: t("revoke"), no: t("keep_it")})}
        run=${async () => {
          await remove(`api/farm/keys/${address(each.name)}`);
          await load();
        }} />`}</li>`)}</ul>
    <div class="row"><label>${t("key_name")} <input maxlength="60" value=${name} onInput=${onValue(setName)} /></label>
      <label>${t("scope")} <select value=${scope} onChange=${onValue(setScope)}>
        ${SCOPES.map(each => html`<option key=${each} value=${each}>${t(`scope_${each}`)}</option>`)}</select></label>
      <${Act} label=${t("key_add")} run=${add} fail=${fail} /></div>
    ${newKey && html`<p>${t("key_made")} <code class="wide">${newKey}</code></p>`}</section>`;
}

export function Settings() {
  return html`<section class="card"><h2>${t("this_browser")}</h2><${Looks} />
    <p>${t("key_is", {name: short(me.value.name || "–", 60), scope: t(`scope_${me.value.scope || "control"}`)})}</p>
    <button type="button" onClick=${leave}>${t("sign_out")}</button><p class="dim">nozzled ${short(farm.value.version, 40)}</p></section>
    <${Fail} of=${fail} />${isAdmin.value && html`<${Keys} />`}`;
}
