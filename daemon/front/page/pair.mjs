/** The view for a browser without a key: it can enter a pairing code, ask for access, or enter a key. */

import {Failure, get, keepKey, login, post} from "./api.mjs";
import {html, onChecked, onValue, signal, useEffect, useRef, useState} from "./html.mjs";
import {start} from "./link.mjs";
import {ownName, pair} from "./pairing.mjs";
import {net, short} from "./store.mjs";
import {attempt, Fail, Message} from "./widgets.mjs";
import {t} from "./words.mjs";

const POLL_INTERVAL = 2000; // ms; the server drops a request that is not polled for 15 s

const fail = signal("");

export function Pair() {
  const {state: link, reason} = net.value;
  const isRevoked = link === "refused";
  const [name, setName] = useState(ownName());
  const [code, setCode] = useState("");
  const [key, setKey] = useState("");
  const [stay, setStay] = useState(true);
  const [busy, setBusy] = useState("");
  const [request, setRequest] = useState("");
  const [mark, setMark] = useState("");
  const timer = useRef(0);
  const isMounted = useRef(true);
  useEffect(() => () => {
    isMounted.current = false;
    clearTimeout(timer.current);
  }, []);

  /** @param {string} what @param {() => Promise<unknown>} run */
  const submit = (what, run) => async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (busy) return;
    fail.value = "";
    setBusy(what);
    await attempt(fail, run);
    setBusy("");
  };
  const byCode = submit("code", async () => {
    await pair(code, name.trim() || ownName());
    start();
  });
  const byKey = submit("key", async () => {
    await login(key.trim());
    keepKey(key.trim(), stay);
    start();
  });
  const byAsking = submit("ask", async () => {
    const {app_token, code: given} = await post("plugin/appkeys/request", {app: name.trim() || ownName()}, {withKey: null});
    setRequest(app_token);
    setMark(short(given ?? "", 8));
    poll(app_token);
  });
  /** @param {string} token */
  async function poll(token) {
    try {
      const answer = await get(`plugin/appkeys/request/${encodeURIComponent(token)}`, {withKey: null});
      if (!isMounted.current) return; // this browser has got a key in another way
      if (answer.api_key) {
        keepKey(answer.api_key, stay);
        start();
        return;
      }
    } catch (error) {
      if (!isMounted.current) return;
      if (error instanceof Failure && error.status === 404) {
        setRequest("");
        fail.value = t("ask_denied");
        return;
      }
    }
    timer.current = setTimeout(() => poll(token), POLL_INTERVAL);
  }
  return html`<main class="pair"><h1>${t(isRevoked ? "revoked" : "welcome")}</h1>
    <p>${t(isRevoked ? "revoked_what" : "welcome_what")}</p>${reason && html`<p class="fail" role="alert"><${Message} text=${short(reason)} /></p>`}
    <${Fail} of=${fail} />
    <form class="card" onSubmit=${byCode}><h2>${t("by_code")}</h2><p class="dim">${t("by_code_what")} <code>nozzled pair</code></p>
      <div class="row"><label for="code" class="hidden">${t("code")}</label>
        <input id="code" class="code" value=${code} autocomplete="off" autocapitalize="characters" spellcheck=${false}
        placeholder="7KQ2-M9XD-4TFC" size="16" onInput=${onValue(setCode)} />
        <button type="submit" class="main" aria-busy=${busy === "code"}>${t("pair")}</button></div>
      <label>${t("device_name")} <input value=${name} maxlength="60" onInput=${onValue(setName)} /></label></form>
    <form class="card" onSubmit=${byAsking}><h2>${t("by_asking")}</h2>
      <p class="dim">${request ? t("ask_waiting", {name}) : t("by_asking_what")}${request && mark && html` ${t("ask_shows")} <b class="code">${mark}</b>`}</p>
      <button type="submit" aria-busy=${busy === "ask" || Boolean(request)} disabled=${Boolean(request)}>${t(request ? "ask_pending" : "ask")}</button></form>
    <form class="card" onSubmit=${byKey}><h2>${t("by_key")}</h2><p class="dim">${t("by_key_what")} <code>nozzled key</code></p>
      <div class="row"><label for="key" class="hidden">${t("key")}</label>
        <input id="key" type="password" autocomplete="current-password" value=${key} onInput=${onValue(setKey)} />
        <button type="submit" aria-busy=${busy === "key"}>${t("use_key")}</button></div>
      <label class="check"><input type="checkbox" checked=${stay} onChange=${onChecked(setStay)} /> ${t("stay")}</label></form>
  </main>`;
}
