/** The connection to the farm's server: one stream of events, opened anew for ever; closed while nobody looks. */

import {Failure, forgetKey, get, key} from "./api.mjs";
import {eventReader} from "./kinds.mjs";
import {farm, heard, keepTicking, me, net, STALE, take} from "./store.mjs";

const LEAST = 500; // ms between two tries
const MOST = 5000;
const HIDDEN = 30000; // ms in a tab that nobody sees after which the stream is closed

let end = new AbortController();
let tries = 0;
let timer = 0;
let hiding = 0;
let isOn = false;

/** @param {string} state @param {Partial<typeof net.value>} [more] */
function is(state, more = {}) {
  const since = net.value.state === state ? net.value.since : performance.now();
  net.value = {state, since, retryAt: 0, reason: "", ...more};
}

/** Begin, with the key that is kept. */
export function start() {
  isOn = true;
  tries = 0;
  again();
}

/** @param {string} state Why nothing is asked any more: nokey, refused. @param {string} [reason] */
export function stop(state, reason = "") {
  isOn = false;
  end.abort();
  clearTimeout(timer);
  is(state, {reason});
}

/** Forget the key, and ask for another one. */
export function leave() {
  forgetKey();
  stop("nokey");
}

/** Ask at once. */
export function again() {
  end.abort();
  clearTimeout(timer);
  end = new AbortController();
  if (!key()) return stop("nokey");
  run(end.signal).catch(error => {
    if (!end.signal.aborted) lost(error);
  });
}

/** @param {unknown} error */
function lost(error) {
  if (!isOn) return;
  if (error instanceof Failure && (error.status === 401 || error.status === 403)) return stop("refused", error.message);
  const wait = Math.max(Math.min(MOST, LEAST * 2 ** tries) * (0.5 + Math.random() / 2), 1000 * (error instanceof Failure ? error.wait : 0));
  tries += 1;
  is("lost", {retryAt: performance.now() + wait, reason: error instanceof Failure && error.status ? error.message : ""});
  timer = setTimeout(again, wait);
}

/** @param {AbortSignal} signal */
async function run(signal) {
  const said = await get("api/farm");
  if (signal.aborted) return;
  me.value = {name: said.who ?? "", scope: said.scope ?? "control"};
  farm.value = {name: said.name ?? "", version: said.version ?? "", trouble: said.nats?.trouble ?? ""};
  // it is aborted by hand when nothing comes: a stream has no end to wait for
  const response = await fetch("api/farm/events", {headers: {"X-Api-Key": key()}, signal, cache: "no-store", credentials: "omit"});
  if (!response.ok || !response.body) throw new Failure(response.status, "", Number(response.headers.get("Retry-After")) || 0);
  let isFirst = true;
  const read = eventReader((event, data) => {
    if (event !== "farm") return;
    take(JSON.parse(data), isFirst);
    isFirst = false;
    tries = 0;
    if (net.value.state !== "live") is("live");
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const watch = setTimeout(() => reader.cancel(), STALE * 2000);
    const {value, done} = await reader.read().finally(() => clearTimeout(watch));
    if (done) throw new Failure(0, "");
    heard.value = performance.now();
    read(value);
  }
}

document.addEventListener("visibilitychange", () => {
  keepTicking();
  clearTimeout(hiding);
  if (!isOn) return;
  if (document.hidden) hiding = setTimeout(() => {
    end.abort();
    clearTimeout(timer);
    is("lost");
  }, HIDDEN);
  else if (net.value.state === "lost") again();
});
addEventListener("online", () => isOn && net.value.state === "lost" && again());
addEventListener("pageshow", event => isOn && event.persisted && again());
