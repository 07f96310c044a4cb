/**
 * The connection to nozzled: login, then a socket on which nozzled sends a snapshot, changes and a heartbeat. A lost connection is
 * retried until the key is refused. Each call of `connect` begins a new attempt; messages on the socket of an older attempt are ignored.
 */

import {Failure, forgetKey, get, key, login} from "./api.mjs";
import {accessRequests, addConsoleLines, applyChanges, applyPluginMessage, applySnapshot, clockOffset, filesChanged, heardAt, insertHistory,
  keepTicking, me, net, STALE, temperatures, tick} from "./store.mjs";

const MIN_RETRY = 500; // ms before the second try; doubled with each try
const MAX_RETRY = 5000; // ms
const SILENCE_TIMEOUT = 2 * STALE * 1000; // ms without a message after which the socket counts as dead
const FILES_INTERVAL = 2000; // ms between two announcements of changed files
const MAX_GAP = 10; // s without a temperature after which the missing ones are fetched from the server
const HIDDEN_TIMEOUT = 30000; // ms in the background after which the socket is closed

/** @type {WebSocket|null} */
let socket = null;
let tries = 0;
let timer = 0;
let hiddenTimer = 0;
let isRunning = false;
let seq = 0;
let wantsConsole = false;
let attempt = 0;

/** Connect with the stored key, if there is one. */
export function start() {
  tries = 0;
  isRunning = Boolean(key());
  if (!isRunning) {
    setState("nokey");
    return;
  }
  connect();
}

/** Close the connection until `start`. @param {string} state @param {string} reason */
export function stop(state, reason = "") {
  isRunning = false;
  clearTimeout(timer);
  drop();
  setState(state, {reason});
}

export function tryNow() {
  if (!isRunning || net.value.state === "live") return;
  tries = 0;
  connect();
}

/** Have the server send the dialogue with the printer, or not. @param {boolean} wanted */
export function subscribeConsole(wanted) {
  if (wanted === wantsConsole) return;
  wantsConsole = wanted;
  if (socket?.readyState === WebSocket.OPEN) subscribe();
}

function subscribe() {
  const page = wantsConsole ? {console: true} : true;
  socket?.send(JSON.stringify({subscribe: {state: false, events: ["UpdatedFiles", "MetadataAnalysisFinished"], plugins: ["appkeys"], page}}));
}

/** @param {string} state @param {object} more */
function setState(state, more = {}) {
  const same = net.value.state === state;
  net.value = {state, since: same ? net.value.since : performance.now(), retryAt: 0, reason: "", ...more};
}

function drop() {
  attempt += 1;
  const old = socket;
  socket = null;
  if (old) old.onclose = old.onmessage = old.onopen = null;
  old?.close();
}

async function connect() {
  clearTimeout(timer);
  drop();
  const mine = attempt;
  if (!["lost", "nokey"].includes(net.value.state)) setState(heardAt.value ? "lost" : "boot");
  try {
    const who = await login();
    if (mine === attempt) open(who);
  } catch (error) {
    if (mine !== attempt) return;
    if (error instanceof Failure && error.status === 403) endKey(error.message);
    else if (error instanceof Failure && error.status === 429) retry(Math.max(error.wait, 5) * 1000, error.message, heardAt.value ? "lost" : "nokey");
    else retry();
  }
}

/** This browser's key is no longer valid: use the one that another tab has stored since, or ask the user for one. @param {string} [reason] */
function endKey(reason) {
  forgetKey(key()); // repeating a wrong key would lock out this whole address
  if (key()) connect();
  else stop("refused", reason);
}

/** @param {{name: string, session: string}} who */
function open(who) {
  seq = 0;
  const mine = attempt;
  const where = new URL("sockjs/websocket", document.baseURI);
  where.protocol = where.protocol.replace("http", "ws");
  socket = new WebSocket(where);
  const dead = setTimeout(() => mine === attempt && retry(), SILENCE_TIMEOUT);
  socket.onopen = () => {
    subscribe(); // before the login, so that the server sends nothing that the page does not use
    socket?.send(JSON.stringify({auth: `${who.name}:${who.session}`}));
  };
  socket.onmessage = event => {
    clearTimeout(dead);
    if (mine === attempt) handle(JSON.parse(event.data));
  };
  socket.onclose = () => {
    clearTimeout(dead);
    if (mine === attempt) retry();
  };
}

/** Try again after a while. @param {number} [minWait] ms @param {string} [reason] @param {string} [state] */
function retry(minWait = 0, reason = "", state = heardAt.value ? "lost" : "boot") {
  drop();
  if (!isRunning) return;
  const wait = Math.max(minWait, Math.min(MAX_RETRY, MIN_RETRY * 2 ** tries) * (0.7 + 0.6 * Math.random()));
  tries += 1;
  setState(state, {retryAt: performance.now() + wait, reason});
  clearTimeout(timer);
  timer = setTimeout(connect, wait);
}

let isPausing = false;
let isPending = false;
/** Announce that files have changed: at once, then at most every two seconds. */
function announceFiles() {
  if (isPausing) {
    isPending = true;
    return;
  }
  isPausing = true;
  isPending = false;
  filesChanged.value += 1;
  setTimeout(() => {
    isPausing = false;
    if (isPending) announceFiles();
  }, FILES_INTERVAL);
}

/** @param {any} message */
function handle(message) {
  if (message.page) handlePage(message.page);
  else if (message.plugin) applyPluginMessage(message.plugin);
  else if (["UpdatedFiles", "MetadataAnalysisFinished"].includes(message.event?.type)) announceFiles();
  else if (message.reauthRequired) {
    if (message.reauthRequired.reason === "removed") endKey();
    else retry();
  }
}

/** @param {any} page */
function handlePage(page) {
  if ("all" in page) {
    const lastPoint = temperatures.value.at(-1)?.[0] ?? -Infinity; // the snapshot adds one
    applySnapshot(page.all);
    if (typeof page.all.server?.time === "number") clockOffset.value = page.all.server.time - Date.now() / 1000;
    tries = 0;
    setState("live");
    fetchTemperatures(lastPoint);
    fetchAccessRequests();
  } else if (typeof page.seq === "number" && page.seq !== seq + 1 && seq) {
    seq = 0;
    subscribe(); // a message is missing: the server answers with a new snapshot
    return;
  }
  if (typeof page.seq === "number") seq = page.seq;
  if (page.set) applyChanges(page.set);
  if (typeof page.beat === "number") clockOffset.value = page.beat - Date.now() / 1000;
  if (page.console) addConsoleLines(page.console);
  heardAt.value = performance.now();
  tick();
}

/** Fetch the open requests for access; those that the socket has sent meanwhile stay. */
async function fetchAccessRequests() {
  if (!me.value.admin) return;
  const before = accessRequests.value;
  try {
    const {pending} = await get("api/plugin/appkeys");
    accessRequests.value = accessRequests.value === before ? (pending ?? {}) : {...pending, ...accessRequests.value};
  } catch {
    // the socket sends the next request
  }
}

/**
 * Fetch the temperatures of the half hour before this page was opened, or those since its connection was lost.
 * @param {number} lastPoint When the last point before this connection came, in seconds by our clock.
 */
async function fetchTemperatures(lastPoint) {
  if (temperatures.value.length > 5 && Date.now() / 1000 - lastPoint < MAX_GAP) return;
  try {
    const rows = (await get("api/printer/temperatures")).history ?? []; // there are some even if the printer is gone
    const points = rows.map((/** @type {any} */ {time, ...heaters}) => [
      time - clockOffset.value,
      Object.fromEntries(Object.entries(heaters).map(([name, each]) => [name, [each?.actual ?? null, each?.target ?? null]])),
    ]);
    insertHistory(points, temperatures.value.length > 5 ? lastPoint : -Infinity);
  } catch {
    // the chart starts now
  }
}

function onVisibility() {
  keepTicking();
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(() => {
      clearTimeout(timer);
      drop();
      if (isRunning) setState("lost");
    }, HIDDEN_TIMEOUT);
    return;
  }
  if (!isRunning) return;
  if (net.value.state !== "live") tryNow();
  else if (performance.now() - heardAt.value > SILENCE_TIMEOUT / 2) connect();
}

addEventListener("online", onVisibility);
addEventListener("pageshow", event => event.persisted && onVisibility()); // not on the first load: then `start` connects
document.addEventListener("visibilitychange", onVisibility);
setInterval(() => {
  if (isRunning && net.value.state === "live" && performance.now() - heardAt.value > SILENCE_TIMEOUT) retry();
}, 1000);
keepTicking();
