/** The connection to nozzled: login, socket, snapshot, changes, heartbeat; again and again until a key is refused. */

import {Failure, forgetKey, get, key, login} from "./api.mjs";
import {addPoints, asking, clockOffset, filesChanged, heard, keepTicking, me, net, setHistory, STALE, takeAll, takeChanges, takeNotice, takeTalk, temperatures, tick}
  from "./store.mjs";

const FIRST = 500; // ms before the second try; doubled each time, up to
const MOST = 5000;
const SILENT = 2 * STALE * 1000; // ms without a word after which the socket is taken for dead
const LOOK = 2000; // ms between two looks at the files
const HIDDEN = 30000; // ms in the background after which it is closed

/** @type {WebSocket|null} */
let socket = null;
let tries = 0;
let timer = 0;
let hiddenTimer = 0;
let running = false;
let seq = 0;
let wantsConsole = false;
let attempt = 0;
/** Begin, or begin anew after a key has been given. */
export function start() {
  tries = 0;
  running = Boolean(key());
  if (!running) {
    say("nokey");
    return;
  }
  connect();
}

/** End for good, until `start`. @param {string} state @param {string} reason */
export function stop(state, reason = "") {
  running = false;
  clearTimeout(timer);
  drop();
  say(state, {reason});
}

export function tryNow() {
  if (!running || net.value.state === "live") return;
  tries = 0;
  connect();
}

/** Hear the dialogue with the printer, or not; the socket is told. @param {boolean} wanted */
export function hearConsole(wanted) {
  if (wanted === wantsConsole) return;
  wantsConsole = wanted;
  if (socket?.readyState === WebSocket.OPEN) subscribe();
}

function subscribe() {
  const page = wantsConsole ? {console: true} : true;
  socket?.send(JSON.stringify({subscribe: {state: false, events: ["UpdatedFiles", "MetadataAnalysisFinished"], plugins: ["appkeys"], page}}));
}

/** @param {string} state @param {object} more */
function say(state, more = {}) {
  const same = net.value.state === state;
  net.value = {state, since: same ? net.value.since : performance.now(), retryAt: 0, reason: "", ...more};
}

function drop() {
  attempt += 1; // what an older attempt hears later counts for nothing
  const old = socket;
  socket = null;
  if (old) old.onclose = old.onmessage = old.onopen = null;
  old?.close();
}

async function connect() {
  clearTimeout(timer);
  drop();
  const mine = attempt;
  if (!["lost", "nokey"].includes(net.value.state)) say(heard.value ? "lost" : "boot");
  try {
    const who = await login();
    if (mine === attempt) open(who);
  } catch (error) {
    if (mine !== attempt) return;
    if (error instanceof Failure && error.status === 403) {
      forgetKey(); // a wrong key that is sent again and again locks everybody out who comes from here
      stop("refused", error.message);
    } else if (error instanceof Failure && error.status === 429) again(Math.max(error.wait, 5) * 1000, error.message, heard.value ? "lost" : "nokey");
    else again();
  }
}

/** @param {{name: string, session: string}} who */
function open(who) {
  seq = 0;
  const mine = attempt;
  const where = new URL("sockjs/websocket", document.baseURI);
  where.protocol = where.protocol.replace("http", "ws");
  socket = new WebSocket(where);
  const dead = setTimeout(() => mine === attempt && again(), SILENT);
  socket.onopen = () => {
    subscribe(); // first, so that nothing is sent that is for others
    socket?.send(JSON.stringify({auth: `${who.name}:${who.session}`}));
  };
  socket.onmessage = event => {
    clearTimeout(dead);
    if (mine === attempt) take(JSON.parse(event.data));
  };
  socket.onclose = () => {
    clearTimeout(dead);
    if (mine === attempt) again();
  };
}

/** Try again after a while. @param {number} [least] ms @param {string} [reason] @param {string} [shown] */
function again(least = 0, reason = "", shown = heard.value ? "lost" : "boot") {
  drop();
  if (!running) return;
  const wait = Math.max(least, Math.min(MOST, FIRST * 2 ** tries) * (0.7 + 0.6 * Math.random()));
  tries += 1;
  say(shown, {retryAt: performance.now() + wait, reason});
  clearTimeout(timer);
  timer = setTimeout(connect, wait);
}

let looking = 0;
/** Files are others than they were, or more is known of them: said at once, then at most every two seconds. */
function look() {
  if (looking) {
    looking = 2;
    return;
  }
  looking = 1;
  filesChanged.value += 1;
  setTimeout(() => {
    const again = looking === 2;
    looking = 0;
    if (again) look();
  }, LOOK);
}

/** @param {any} message */
function take(message) {
  if (message.page) takePage(message.page);
  else if (message.plugin) takeNotice(message.plugin);
  else if (["UpdatedFiles", "MetadataAnalysisFinished"].includes(message.event?.type)) look();
  else if (message.reauthRequired) {
    if (message.reauthRequired.reason === "removed") stop("refused");
    else again();
  }
}

/** @param {any} page */
function takePage(page) {
  if ("all" in page) {
    takeAll(page.all);
    if (typeof page.all.server?.time === "number") clockOffset.value = page.all.server.time - Date.now() / 1000;
    tries = 0;
    say("live");
    fetchHistory();
    fetchAsking();
  } else if (typeof page.seq === "number" && page.seq !== seq + 1 && seq) {
    seq = 0;
    subscribe(); // something is missing: a new snapshot is sent
    return;
  }
  if (typeof page.seq === "number") seq = page.seq;
  if (page.set) takeChanges(page.set);
  if (typeof page.beat === "number") clockOffset.value = page.beat - Date.now() / 1000;
  if (page.console) takeTalk(page.console);
  heard.value = performance.now();
  tick();
}

/** Who has asked to be let in before this page was opened; who has asked meanwhile stays. */
async function fetchAsking() {
  if (!me.value.admin) return;
  const before = asking.value;
  try {
    const {pending} = await get("api/plugin/appkeys");
    asking.value = asking.value === before ? (pending ?? {}) : {...pending, ...asking.value};
  } catch {
    // it is told when somebody asks again
  }
}

/** The half hour before this page was opened. */
async function fetchHistory() {
  const [first, last] = [temperatures.value[0], temperatures.value.at(-1)];
  const hole = last && Date.now() / 1000 - last[0] > 10;
  if (first && temperatures.value.length > 5 && !hole) return;
  try {
    const rows = (await get("api/printer/temperatures")).history ?? []; // also of a printer that is gone
    const points = rows.map((/** @type {any} */ {time, ...heaters}) => [
      time - clockOffset.value,
      Object.fromEntries(Object.entries(heaters).map(([name, each]) => [name, [each?.actual ?? null, each?.target ?? null]])),
    ]);
    if (hole) addPoints(points);
    else setHistory(points);
  } catch {
    // the line begins with what comes from now on
  }
}

function onReturn() {
  keepTicking();
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(() => {
      clearTimeout(timer);
      drop();
      if (running) say("lost");
    }, HIDDEN);
    return;
  }
  if (!running) return;
  if (net.value.state !== "live") tryNow();
  else if (performance.now() - heard.value > SILENT / 2) connect();
}

addEventListener("online", onReturn);
addEventListener("pageshow", event => event.persisted && onReturn()); // the first time `start` is on its way
document.addEventListener("visibilitychange", onReturn);
setInterval(() => {
  if (running && net.value.state === "live" && performance.now() - heard.value > SILENT) again();
}, 1000);
keepTicking();
