/** Devices in Settings: paired browsers and apps, requests for access, and unlocking an admin's rights. */

import {forgetKey, get, key, post, remove, stepDown, stepUp} from "./api.mjs";
import {isAnsweringAccess} from "./frame.mjs";
import {html, onValue, signal, useEffect, useRef, useState} from "./html.mjs";
import {stop} from "./link.mjs";
import {accessRequests, adminKey, isAdmin, me, net, now, short} from "./store.mjs";
import {Act, ask, attempt, Fail} from "./widgets.mjs";
import {clock, duration, t} from "./words.mjs";

const POLL = 5000; // ms; the socket sends requests for access only to those whose own key is an admin's

const fail = signal("");
const stepFail = signal("");

function AccessRequests() {
  const entries = Object.entries(accessRequests.value);
  const decide = (/** @type {string} */ token, /** @type {object} */ what) => async () => {
    await post(`plugin/appkeys/decision/${encodeURIComponent(token)}`, what);
    const {[token]: gone, ...rest} = accessRequests.value;
    void gone;
    accessRequests.value = rest;
  };
  return entries.map(([token, each]) => html`<div key=${token} class="notice warn"><p>
    <b>${short(each.app_id, 60)}</b> ${t("asks", {address: short(each.remote_address ?? "?", 60)})}
      ${each.code && html` ${t("ask_mark")} <b class="code">${short(each.code, 8)}</b>`}</p>
    <div class="row"><${Act} label=${t("deny")} run=${decide(token, {decision: false})} fail=${fail} />
      <${Act} label=${t("allow_read")} run=${decide(token, {decision: true, scope: "read"})} fail=${fail} />
      <${Act} label=${t("allow_control")} run=${decide(token, {decision: true, scope: "control"})} fail=${fail} /></div></div>`);
}

/** The dialog in which an admin decides about requests for access, over any view. */
export function AccessDialog() {
  const later = useRef(/** @type {any} */ (null));
  const isShown = isAdmin.value && Object.keys(accessRequests.value).length > 0;
  useEffect(() => later.current?.focus(), [isShown]); // the requests may arrive after the dialog has opened
  if (!isShown) return null;
  return html`<h2 id="access">${t("access")}</h2><${AccessRequests} /><${Fail} of=${fail} />
    <div class="row"><button type="button" ref=${later} onClick=${() => (isAnsweringAccess.value = false)}>${t("later")}</button></div>`;
}

/** A field to get an admin's rights for a while. */
export function StepUp() {
  const [secret, setSecret] = useState("");
  const [pending, setPending] = useState(false);
  if (me.value.admin) return null;
  if (isAdmin.value) {
    const left = duration((adminKey.value.until - now.value) / 1000);
    return html`<div class="row apart"><p class="dim">${t("stepped_up", {time: left})}</p>
      <${Act} kind="small" label=${t("step_down")} reads run=${stepDown} fail=${stepFail} /></div>`;
  }
  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    if (!secret.trim() || pending) return;
    setPending(true);
    stepFail.value = "";
    if (await attempt(stepFail, () => stepUp(secret.trim()))) setSecret("");
    setPending(false);
  }
  return html`<form onSubmit=${submit} class="stepup"><p class="dim">${t("devices_admin")}</p>
    <div class="row"><label for="stepup">${t("step_secret")}</label> <input id="stepup" type="password" autocomplete="off" value=${secret}
      onInput=${onValue(setSecret)} />
      <button type="submit" aria-busy=${pending}>${t("step_up")}</button></div>
    <${Fail} of=${stepFail} /></form>`;
}

/** Whether a link leads a device to itself, so that no other device can use it. @param {string} link */
function isLocal(link) {
  return URL.canParse(link) && /^(localhost|127\..*|\[::1\])$/.test(new URL(link).hostname);
}

/** @param {{code: any}} props A pairing code, to be typed, clicked or scanned. */
function Code({code}) {
  const {size, path} = code.qr ?? {};
  return html`<div class="notice newcode"><p>${t("code_hint", {time: duration(code.expires ?? 600)})}</p>
    ${isLocal(code.link) && html`<p class="warn">${t("only_here")}</p>`}
    ${size && !isLocal(code.link) && html`<svg class="qr" viewBox=${`0 0 ${size} ${size}`} role="img" aria-label=${t("qr")}>
      <rect width=${size} height=${size} /><path d=${path} /></svg>`}
    <p class="code">${short(code.code, 40)}</p>
    <input readonly class="wide" aria-label=${t("link")} value=${short(code.link, 300)} onFocus=${(/** @type {any} */ event) => event.target.select()} /></div>`;
}

async function signOut() {
  forgetKey(key());
  adminKey.value = {key: "", until: 0};
  stop("nokey");
}

export function Devices() {
  const [known, setKnown] = useState(/** @type {any[]|null} */ (null));
  const keys = known ?? [];
  const [code, setCode] = useState(/** @type {any} */ (null));
  const [scope, setScope] = useState("control");
  const admin = isAdmin.value;
  const load = () => get("api/keys").then(answer => setKnown(answer.keys), error => (fail.value = error.message));
  const isLive = net.value.state === "live";
  useEffect(() => {
    if (isLive) load();
  }, [admin, isLive]);
  useEffect(() => {
    if (!admin) return setCode(null);
    if (me.value.admin) return;
    const loadRequests = () => !document.hidden && net.value.state === "live" && get("api/plugin/appkeys").then(answer => (accessRequests.value = answer.pending ?? {}), () => {});
    loadRequests();
    const timer = setInterval(loadRequests, POLL);
    return () => clearInterval(timer);
  }, [admin]);
  const sureToRevoke = (/** @type {any} */ each) => () => ask({title: t(each.own ? "leave_title" : "revoke_title", {name: short(each.name, 60)}),
    body: t(each.own ? "leave_body" : "revoke_body"),
    yes: t(each.own ? "leave" : "revoke"), no: t("keep_it")});
  const sureToForget = () => ask({title: t("leave_title", {name: ""}), body: t("leave_unlisted_body"), yes: t("leave"), no: t("keep_it")});
  const revoke = (/** @type {any} */ each) => async () => {
    await remove(`api/keys/${encodeURIComponent(each.name)}`);
    await (each.own ? signOut() : load());
  };
  const pair = async () => setCode(await post("api/pair/codes", {scope}));
  return html`<section class="card" aria-label=${t("devices")}><h2>${t("devices")}</h2>
    ${known?.length === 0 && html`<p class="empty">${t("no_devices")}</p>`}
    ${me.value.name && known && !keys.some(each => each.own) && html`<div class="row">
      <${Act} label=${t("leave_unlisted")} reads sure=${sureToForget} run=${signOut} fail=${fail} /><span class="dim">${t("leave_unlisted_what")}</span></div>`}
    <ul class="plainlist">${keys.map(each => html`<li key=${each.name} class="past"><span class="what">
      <b>${short(each.name, 60)}</b>${each.own && html` <em>${t("this_browser")}</em>`}
      <small>${[t(`scope_${each.scope}`), each.made && t("made", {clock: clock(each.made)}), each.used && t("used", {clock: clock(each.used)})].filter(Boolean).join(" · ")}</small></span>
      ${(admin || each.own) && html`<${Act} label=${t(each.own ? "leave" : "revoke")}
        name=${`${t(each.own ? "leave" : "revoke")} ${short(each.name, 60)}`} sure=${sureToRevoke(each)} reads run=${revoke(each)} fail=${fail} />`}</li>`)}</ul>
    <${StepUp} />
    ${admin && html`<div class="row"><label>${t("new_device")} <select value=${scope} onChange=${onValue(setScope)}>
        ${["read", "control", "admin"].map(each => html`<option key=${each} value=${each}>${t(`scope_${each}`)}</option>`)}</select></label>
        <${Act} label=${t("make_code")} run=${pair} fail=${fail} /></div>
      ${code && html`<${Code} code=${code} />`}`}
    <${Fail} of=${fail} /></section>`;
}
