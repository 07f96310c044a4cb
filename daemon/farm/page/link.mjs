/** The connection to the farm's server: a stream of events, reopened whenever it ends, closed while the page is hidden. */

import {Failure, forgetKey, get, key} from "./api.mjs";
import {eventReader} from "./kinds.mjs";
import {applyEvent, farm, heardAt, keepTicking, me, net, STALE} from "./store.mjs";

const MIN_RETRY = 500; // ms before the second try; doubled with each try
const MAX_RETRY = 5000; // ms
const HIDDEN = 30000; // ms in the background after which the stream is closed

let end = new AbortController();
let tries = 0;
let timer = 0;
let hiddenTimer = 0;
let isRunning = false;

/** @param {string} state @param {Partial<typeof net.value>} [more] */
function setState(state, more = {}) {
  const since = net.value.state === state ? net.value.since : performance.now();
  net.value = {state, since, retryAt: 0, reason: "", ...more};
}

/** Connect with the stored key. */
export function start() {
  isRunning = true;
  tries = 0;
  connect();
}

/** Close the connection until `start`. @param {string} state nokey or refused @param {string} [reason] */
export function stop(state, reason = "") {
  isRunning = false;
  end.abort();
  clearTimeout(timer);
  setState(state, {reason});
}

/** Forget the key, and ask for another one. */
export function leave() {
  forgetKey(key());
  stop("nokey");
}

/** Connect now. */
export function connect() {
  end.abort();
  clearTimeout(timer);
  const mine = new AbortController();
  end = mine;
  if (!key()) return stop("nokey");
  run(mine.signal).catch(error => {
    if (!mine.signal.aborted) retry(error); // an aborted connection was replaced by a newer one, or ended on purpose
  });
}

/** @param {unknown} error */
function retry(error) {
  if (!isRunning) return;
  if (error instanceof Failure && (error.status === 401 || error.status === 403)) return stop("refused", error.message);
  const wait = Math.max(Math.min(MAX_RETRY, MIN_RETRY * 2 ** tries) * (0.5 + Math.random() / 2), 1000 * (error instanceof Failure ? error.wait : 0));
  tries += 1;
  setState("lost", {retryAt: performance.now() + wait, reason: error instanceof Failure && error.status ? error.message : ""});
  timer = setTimeout(connect, wait);
}

/**
 * Wait for an answer of the server, which may hang; the next connection aborts a request that took too long.
 * @template Answer @param {Promise<Answer>} answer @returns {Promise<Answer>}
 */
function inTime(answer) {
  let watch = 0;
  const silence = /** @type {Promise<never>} */ (new Promise((_, reject) => {
    watch = setTimeout(() => reject(new Failure(0, "")), STALE * 2000);
  }));
  return Promise.race([answer, silence]).finally(() => clearTimeout(watch));
}

/** @param {AbortSignal} signal */
async function run(signal) {
  const answer = await get("api/farm");
  if (signal.aborted) return;
  me.value = {name: answer.who ?? "", scope: answer.scope ?? "control"};
  farm.value = {name: answer.name ?? "", version: answer.version ?? "", trouble: answer.nats?.trouble ?? ""};
  // not by `get`, whose timeout is for a whole answer
  const response = await inTime(fetch("api/farm/events", {headers: {"X-Api-Key": key()}, signal, cache: "no-store", credentials: "omit"}));
  if (!response.ok || !response.body) throw new Failure(response.status, "", Number(response.headers.get("Retry-After")) || 0);
  let isFirst = true;
  const read = eventReader((event, data) => {
    if (event !== "farm") return;
    applyEvent(JSON.parse(data), isFirst);
    isFirst = false;
    tries = 0;
    if (net.value.state !== "live") setState("live");
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const {value, done} = await inTime(reader.read());
    if (done) throw new Failure(0, "");
    heardAt.value = performance.now();
    read(value);
  }
}

document.addEventListener("visibilitychange", () => {
  keepTicking();
  clearTimeout(hiddenTimer);
  if (!isRunning) return;
  if (document.hidden) hiddenTimer = setTimeout(() => {
    end.abort();
    clearTimeout(timer);
    setState("lost");
  }, HIDDEN);
  else if (net.value.state === "lost") connect();
});
addEventListener("online", () => isRunning && net.value.state === "lost" && connect());
addEventListener("pageshow", event => isRunning && event.persisted && connect());
