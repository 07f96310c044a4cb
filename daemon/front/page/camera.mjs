/** A camera's picture: the live stream, or single pictures one after the other. Nothing is loaded while the page is hidden. */

import {choice, get, keepChoice, post} from "./api.mjs";
import {html, useEffect, useRef, useState} from "./html.mjs";
import {net, sections, short} from "./store.mjs";
import {t} from "./words.mjs";

const INTERVAL = 5000; // ms between two single pictures, and between two tries
const OWN = "/webcam/"; // the path of pictures that come through nozzled

/** The address with a part that no cache knows. @param {string} address */
function uncached(address) {
  return `${address}${address.includes("?") ? "&" : "?"}_=${Date.now()}`;
}

/**
 * The camera's address, or nozzled's own where browsers refuse the camera's: a page loaded by https cannot load pictures by http.
 * @param {string|undefined} configured @param {string|undefined} own
 */
function usable(configured, own) {
  return configured && own && location.protocol === "https:" && configured.startsWith("http:") ? own : configured;
}

/** An address that <img> can open: one that needs the key is signed for a while. @param {string} address */
async function signed(address) {
  if (!address.startsWith(OWN)) return address;
  const {links} = await post("api/links", {paths: [address]});
  return links[address].replace(/^\//, "");
}

/** Links to the pages of the camera's own software. @param {{of: any}} props */
function Elsewhere({of}) {
  const pages = [["WebRTC", of.webrtc], ["HLS", of.hls]].filter(([, url]) => /^https?:\/\//.test(url ?? ""));
  return pages.length > 0 && html`<span class="row">${pages.map(([name, url]) => html`<a key=${name} href=${url} target="_blank" rel="noopener noreferrer">${name}</a>`)}</span>`;
}

export function Camera() {
  const [webcam, setWebcam] = useState(/** @type {any} */ (null));
  const [chosen, setChosen] = useState(choice("camera"));
  const [tick, setTick] = useState(0);
  const [failed, setFailed] = useState(false);
  const [isVisible, setVisible] = useState(!document.hidden);
  const [source, setSource] = useState("");
  const isLive = net.value.state === "live";
  useEffect(() => {
    if (isLive) get("api/settings").then(answer => setWebcam(answer.webcam), () => setFailed(true));
  }, [sections.value.settings?.revision, isLive]);
  const wasLost = useRef(false);
  useEffect(() => {
    if (isLive && wasLost.current) setTick(Date.now()); // a stream ends with the connection, which causes no error event: its last picture stays
    wasLost.current = !isLive;
  }, [isLive]);
  useEffect(() => {
    const update = () => setVisible(!document.hidden);
    document.addEventListener("visibilitychange", update);
    return () => document.removeEventListener("visibilitychange", update);
  }, []);
  const [blocked, setBlocked] = useState(false); // the page's Content-Security-Policy is from before this camera was configured
  useEffect(() => {
    const note = (/** @type {SecurityPolicyViolationEvent} */ event) => event.effectiveDirective === "img-src" && setBlocked(true);
    document.addEventListener("securitypolicyviolation", note);
    return () => document.removeEventListener("securitypolicyviolation", note);
  }, []);
  const cameras = webcam?.webcams ?? [];
  const camera = cameras.find((/** @type {any} */ each) => each.name === chosen) ?? cameras[0];
  const {compat = {}, extras = {}, flipH, flipV, rotate90} = camera ?? {};
  const stream = usable(compat.stream, extras.proxied?.stream);
  const address = stream || usable(compat.snapshot, extras.proxied?.snapshot);
  const single = !stream && Boolean(address);
  useEffect(() => setSource(""), [address]);
  useEffect(() => {
    if (!isVisible || !address) return;
    let isCurrent = true;
    signed(single || tick ? uncached(address) : address).then(found => isCurrent && setSource(found), () => isCurrent && setFailed(true));
    return () => {
      isCurrent = false;
    };
  }, [address, tick, isVisible]);
  useEffect(() => {
    if (!isVisible || blocked || !(single || failed)) return;
    const timer = setInterval(() => setTick(Date.now()), INTERVAL);
    return () => clearInterval(timer);
  }, [isVisible, single, failed, blocked]);
  const picture = useRef(/** @type {HTMLImageElement|null} */ (null));
  useEffect(() => {
    if (!isVisible || !source) return;
    const timer = setInterval(() => {
      const {complete, naturalWidth} = picture.current ?? {};
      if (complete && !naturalWidth) setFailed(true); // a stream that breaks off after its first picture causes no event
    }, INTERVAL);
    return () => clearInterval(timer);
  }, [isVisible, source]);
  if (!camera || !(address || extras.webrtc || extras.hls)) return null;
  const turned = [flipH && "flip-h", flipV && "flip-v", rotate90 && "turned"].filter(Boolean).join(" ");
  const choose = (/** @type {any} */ event) => {
    keepChoice("camera", event.target.value);
    setChosen(event.target.value);
  };
  return html`<section class="card camera" aria-label=${t("camera")}><h2>${t("camera")}</h2>
    ${(cameras.length > 1 || extras.webrtc || extras.hls) && html`<div class="row">${cameras.length > 1 && html`<select aria-label=${t("camera")} value=${camera.name} onChange=${choose}>
      ${cameras.map((/** @type {any} */ each) => html`<option key=${each.name} value=${each.name}>${short(each.displayName, 40)}</option>`)}</select>`}<${Elsewhere} of=${extras} /></div>`}
    ${address && html`<div class="frame">${isVisible && source && html`<img key=${single ? "single" : source} ref=${picture} class=${turned} src=${source}
      alt=${t("camera_alt")} referrerpolicy="no-referrer"
      onError=${() => setFailed(true)} onLoad=${() => setFailed(false)} />`}</div>`}
    ${blocked ? html`<div class="row"><span>${t("camera_reload")}</span><button type="button" onClick=${() => location.reload()}>${t("reload")}</button>
      </div>` : failed && html`<p class="warn" role="status">${t("camera_failed", {address: short((address ?? "").split("?")[0], 120)})}</p>`}</section>`;
}
