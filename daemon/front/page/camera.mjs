/** The picture of a camera, where one is configured: the live one, or a single one again and again. Nothing is loaded while nobody looks. */

import {get} from "./api.mjs";
import {html, useEffect, useState} from "./html.mjs";
import {sections, short} from "./store.mjs";
import {t} from "./words.mjs";

const AGAIN = 5000; // ms between two single pictures, and two tries

/** @param {string} address With something in it that no cache knows. */
function anew(address) {
  return `${address}${address.includes("?") ? "&" : "?"}_=${Date.now()}`;
}

export function Camera() {
  const [webcam, setWebcam] = useState(/** @type {any} */ (null));
  const [tick, setTick] = useState(0);
  const [failed, setFailed] = useState(false);
  const [seen, setSeen] = useState(!document.hidden);
  useEffect(() => {
    get("api/settings").then(said => setWebcam(said.webcam), () => setFailed(true));
  }, [sections.value.settings?.revision]);
  useEffect(() => {
    const look = () => setSeen(!document.hidden);
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, []);
  const [blocked, setBlocked] = useState(false); // this page was loaded when there was another camera, or none
  useEffect(() => {
    const note = (/** @type {SecurityPolicyViolationEvent} */ event) => event.effectiveDirective === "img-src" && setBlocked(true);
    document.addEventListener("securitypolicyviolation", note);
    return () => document.removeEventListener("securitypolicyviolation", note);
  }, []);
  const {streamUrl, snapshotUrl, flipH, flipV, rotate90} = webcam ?? {};
  const single = !streamUrl && snapshotUrl;
  useEffect(() => {
    if (!seen || blocked || !(single || failed)) return;
    const timer = setInterval(() => setTick(Date.now()), AGAIN);
    return () => clearInterval(timer);
  }, [seen, single, failed, blocked]);
  const address = streamUrl || snapshotUrl;
  if (!webcam?.webcamEnabled || !address) return null;
  const turned = [flipH && "flip-h", flipV && "flip-v", rotate90 && "turned"].filter(Boolean).join(" ");
  return html`<section class="card camera" aria-label=${t("camera")}><h2>${t("camera")}</h2>
    <div class="frame">${seen && html`<img key=${single ? "single" : tick} class=${turned} src=${single || tick ? anew(address) : address}
      alt=${t("camera_alt")} referrerpolicy="no-referrer"
      onError=${() => setFailed(true)} onLoad=${() => setFailed(false)} />`}</div>
    ${blocked ? html`<div class="row"><span>${t("camera_reload")}</span><button type="button" onClick=${() => location.reload()}>${t("reload")}</button>
      </div>` : failed && html`<p class="warn" role="status">${t("camera_failed", {address: short(address.split("?")[0], 120)})}</p>`}</section>`;
}
