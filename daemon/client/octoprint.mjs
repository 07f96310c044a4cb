/**
 * OctoPrintClient: the API of this daemon, and of OctoPrint, for browsers and Node 20. Needs nothing else.
 *
 *     import { OctoPrintClient } from "/client/octoprint.mjs";
 *     const printer = new OctoPrintClient("http://printer.local:5000", key);
 *     await printer.job.start();
 *     printer.socket.onMessage("current", ({ data }) => console.log(data.state.text));
 *     await printer.socket.connect();
 *
 * Names and arguments are those of OctoPrint's own client library; what it returns are plain promises. Every method
 * takes `opts` last: `{signal, headers, timeout}`, the timeout in milliseconds. A request that does not succeed rejects
 * with an OctoPrintError. Requests that only read are tried three times, others once.
 */

const TIMEOUT = 30_000; // ms for a request; an upload has no limit but the caller's
const PAUSES = [500, 1000]; // ms before each retry of a request
const TEMPORARY = [502, 503, 504]; // a proxy whose server restarts
const RECONNECT = [1, 1, 2, 3, 5, 8, 13, 20, 40]; // s before each attempt to reconnect; the last one repeats

/** What a request that does not succeed rejects with. */
export class OctoPrintError extends Error {
  /**
   * @param {string} message
   * @param {number | null} status HTTP's; null where there was no answer
   * @param {string} text the server's own words
   * @param {unknown} [cause]
   */
  constructor(message, status, text, cause) {
    super(message, { cause });
    this.name = "OctoPrintError";
    this.status = status;
    this.text = text;
  }
}

/** One server and one key. */
export class OctoPrintClient {
  /**
   * @param {string} [url] the server; in a browser the one that the page comes from
   * @param {string} [key] an API key
   */
  constructor(url = globalThis.location?.origin ?? "http://127.0.0.1:5000", key = "") {
    this.url = url.replace(/\/+$/, "");
    this.key = key;
    this.job = new JobClient(this);
    this.files = new FilesClient(this);
    this.printer = new PrinterClient(this);
    this.connection = new ConnectionClient(this);
    this.control = new ControlClient(this);
    this.browser = new BrowserClient(this);
    this.settings = { get: (opts) => this.get("api/settings", opts) };
    this.socket = new Socket(this);
  }

  /** The server's version. */
  version(opts) {
    return this.get("api/version", opts);
  }

  /** Return the JSON at a path; retries if there is no answer. */
  async get(path, opts = {}) {
    for (const pause of PAUSES) {
      try {
        return await this.request("GET", path, undefined, opts);
      } catch (error) {
        const gone = error.status === null && !opts.signal?.aborted;
        if (!gone && !TEMPORARY.includes(error.status)) throw error;
        await sleep(pause);
      }
    }
    return this.request("GET", path, undefined, opts);
  }

  /** Send JSON. */
  postJson(path, data, opts = {}) {
    const headers = { "Content-Type": "application/json", ...opts.headers };
    return this.request("POST", path, JSON.stringify(data), { ...opts, headers });
  }

  /** Send a form: an object of fields, or FormData. */
  postForm(path, fields, opts) {
    return this.request("POST", path, asForm(fields), { timeout: 0, ...opts });
  }

  /** Give a command. */
  issueCommand(path, command, payload = {}, opts = undefined) {
    return this.postJson(path, { ...payload, command }, opts);
  }

  /** Delete the resource at a path. */
  delete(path, opts) {
    return this.request("DELETE", path, undefined, opts);
  }

  /** Make one request; resolves to the parsed answer, null where it is empty. */
  async request(method, path, body, opts = {}) {
    return parsed(`${method} ${path}`, await this.fetch(method, path, body, opts));
  }

  /** Make one request; resolves to the Response, whatever its status. */
  async fetch(method, path, body, { signal, headers, timeout = TIMEOUT } = {}) {
    const limits = [signal, timeout ? AbortSignal.timeout(timeout) : null].filter(Boolean);
    try {
      return await fetch(`${this.url}/${path}`, {
        method,
        body,
        headers: { ...this.headers(), ...headers },
        signal: anyOf(limits),
        credentials: "omit",
        redirect: "error", // the key is not for whoever we are sent to
      });
    } catch (error) {
      throw unreachable(`${method} ${path}`, error);
    }
  }

  /** The headers that authenticate the client. */
  headers() {
    return this.key ? { "X-Api-Key": this.key } : {};
  }
}

/** What all parts of the client have. */
class Part {
  constructor(base) {
    this.base = base;
  }
}

/** The print job. Commands return when they are accepted; the printer may need a while, as the state shows. */
class JobClient extends Part {
  /** Return the print and its progress. */
  get(opts) {
    return this.base.get("api/job", opts);
  }

  /** Print the selected file; `opts.force` prints it despite warnings. */
  start({ force = false, ...opts } = {}) {
    return this.#command("start", force ? { force } : {}, opts);
  }

  /** End the print. */
  cancel(opts) {
    return this.#command("cancel", {}, opts);
  }

  /** Start a paused print again from its beginning. */
  restart(opts) {
    return this.#command("restart", {}, opts);
  }

  /** Pause the print; does nothing if it is paused. */
  pause(opts) {
    return this.#command("pause", { action: "pause" }, opts);
  }

  /** Resume a paused print; does nothing if it runs. */
  resume(opts) {
    return this.#command("pause", { action: "resume" }, opts);
  }

  /** Pause a running print, resume a paused one. */
  togglePause(opts) {
    return this.#command("pause", { action: "toggle" }, opts);
  }

  #command(command, payload, opts) {
    return this.base.issueCommand("api/job", command, payload, opts);
  }
}

/** The files; `location` is "local" or "sdcard", a path like "parts/cube.gcode". */
class FilesClient extends Part {
  /** List files and folders of all places. */
  list(recursively = false, _force = false, opts = undefined) {
    return this.base.get(`api/files${recursively ? "?recursive=true" : ""}`, opts);
  }

  /** List those of one place. */
  listForLocation(location, recursively = false, opts = undefined) {
    return this.base.get(`api/files/${location}${recursively ? "?recursive=true" : ""}`, opts);
  }

  /** Tell about one file or folder. */
  get(location, path, opts) {
    return this.base.get(entry(location, path), opts);
  }

  /** Select a file; with `print`, print it at once; with `opts.force`, despite warnings. */
  select(location, path, print = false, { force = false, ...opts } = {}) {
    return this.#command(location, path, "select", force ? { print, force } : { print }, opts);
  }

  /** Copy it into a folder, or to a new path. */
  copy(location, path, destination, opts) {
    return this.#command(location, path, "copy", { destination }, opts);
  }

  /** Move it into a folder, or to a new path. */
  move(location, path, destination, opts) {
    return this.#command(location, path, "move", { destination }, opts);
  }

  /** Delete a file, or a folder with all that is in it. */
  delete(location, path, opts) {
    return this.base.delete(entry(location, path), opts);
  }

  /** Make a folder, in the folder `path` if there is one. */
  createFolder(location, foldername, path = "", opts = undefined) {
    return this.base.postForm(`api/files/${location}`, { foldername, ...(path ? { path } : {}) }, opts);
  }

  /**
   * Upload a file.
   *
   * @param {string} location
   * @param {Blob} file a File has its name with it
   * @param {object} [data] `filename`, `path`, `select`, `print`, `noOverwrite`, `plate`, `userdata`
   * @param {object} [opts] also `onProgress({loaded, total})`, in browsers
   */
  upload(location, file, { filename = file.name, ...data } = {}, opts = {}) {
    const fields = { ...data };
    if (typeof fields.userdata === "object") fields.userdata = JSON.stringify(fields.userdata);
    const form = asForm(fields); // the fields first: the server can refuse before the bytes have come
    form.append("file", file, filename);
    const path = `api/files/${location}`;
    const watched = opts.onProgress && globalThis.XMLHttpRequest; // fetch does not tell how far it is
    return watched ? sendWatched(this.base, path, form, opts) : this.base.postForm(path, form, opts);
  }

  /** Fetch a file; resolves to the Response, so that large ones can be read in pieces. */
  async download(location, path, opts = {}) {
    const address = `downloads/files/${location}/${escapePath(path)}`;
    const response = await this.base.fetch("GET", address, undefined, { timeout: 0, ...opts });
    return response.ok ? response : parsed(`GET ${address}`, response);
  }

  /** Fetch the picture in a file, of a size like "32x32" or the largest; resolves to the Response. */
  async thumbnail(path, size = "", opts = {}) {
    const address = `downloads/thumbnails/local/${escapePath(path)}${size ? `?size=${size}` : ""}`;
    const response = await this.base.fetch("GET", address, undefined, opts);
    return response.ok ? response : parsed(`GET ${address}`, response);
  }

  #command(location, path, command, payload, opts) {
    return this.base.issueCommand(entry(location, path), command, payload, opts);
  }
}

/** Heaters and axes. */
class PrinterClient extends Part {
  /** Tell temperatures, SD card and state; `flags` are `{history, limit, exclude: ["sd"]}`. */
  getFullState(flags = {}, opts = undefined) {
    return this.base.get(`api/printer${query(flags)}`, opts);
  }

  getToolState(flags = {}, opts = undefined) {
    return this.base.get(`api/printer/tool${query(flags)}`, opts);
  }

  getBedState(flags = {}, opts = undefined) {
    return this.base.get(`api/printer/bed${query(flags)}`, opts);
  }

  getChamberState(flags = {}, opts = undefined) {
    return this.base.get(`api/printer/chamber${query(flags)}`, opts);
  }

  /** Set targets in °C: `{tool0: 210}`; 0 is off. */
  setToolTargetTemperatures(targets, opts) {
    return this.#command("tool", "target", { targets }, opts);
  }

  setBedTargetTemperature(target, opts) {
    return this.#command("bed", "target", { target }, opts);
  }

  setChamberTargetTemperature(target, opts) {
    return this.#command("chamber", "target", { target }, opts);
  }

  /** Change to a tool, like "tool1". */
  selectTool(tool, opts) {
    return this.#command("tool", "select", { tool }, opts);
  }

  /** Extrude filament, in mm; a negative amount retracts it. */
  extrude(amount, opts) {
    return this.#command("tool", "extrude", { amount }, opts);
  }

  /** Set the flow of filament, in percent. */
  setFlowrate(factor, opts) {
    return this.#command("tool", "flowrate", { factor }, opts);
  }

  /** Set the speed of all moves, in percent. */
  setFeedrate(factor, opts) {
    return this.#command("printhead", "feedrate", { factor }, opts);
  }

  /** Move the head by `{x, y, z}` mm, or to there with `absolute`; `speed` in mm/min. */
  jog(params, opts) {
    return this.#command("printhead", "jog", params, opts);
  }

  /** Move axes like ["x", "y"] to their origin. */
  home(axes, opts) {
    return this.#command("printhead", "home", { axes }, opts);
  }

  #command(part, command, payload, opts) {
    return this.base.issueCommand(`api/printer/${part}`, command, payload, opts);
  }
}

/** The line to the printer. */
class ConnectionClient extends Part {
  /** Tell what is connected and what could be. */
  getSettings(opts) {
    return this.base.get("api/connection", opts);
  }

  /** Begin to connect: `{port, baudrate}`, or to the preferred printer. */
  connect(data = {}, opts = undefined) {
    return this.base.issueCommand("api/connection", "connect", data, opts);
  }

  /** Close the line; ends a print. */
  disconnect(opts) {
    return this.base.issueCommand("api/connection", "disconnect", {}, opts);
  }
}

/** G-code. */
class ControlClient extends Part {
  /** Send a command, or several. */
  sendGcode(commands, opts) {
    return this.base.postJson("api/printer/command", { commands: [commands].flat() }, opts);
  }
}

/** Who we are. */
class BrowserClient extends Part {
  /** Log in by the key; resolves to the user, with the session that the socket wants. */
  passiveLogin(opts) {
    return this.base.postJson("api/login", { passive: true }, opts);
  }
}

/**
 * What the server tells by itself. Over a WebSocket; where there is none, as in Node 20, over a streamed answer, as
 * SockJS does. A lost line is opened again; `connected` and `history` come after each connection.
 */
class Socket {
  #base;
  #handlers = new Map();
  #wanted = null; // what `connect` was asked for; null after `disconnect`
  #line = null;
  #failures = 0;

  constructor(base) {
    this.#base = base;
  }

  /**
   * Call `handler({event, data})` for each message of a kind: connected, history, current, event, plugin, …, for all
   * with "*". Besides come `close` and `reconnecting` of the client's own.
   */
  onMessage(kind, handler) {
    this.#handlers.set(kind, [...(this.#handlers.get(kind) ?? []), handler]);
    return this;
  }

  /** Undo `onMessage`; without a handler for all of this kind. */
  removeMessage(kind, handler) {
    const kept = (this.#handlers.get(kind) ?? []).filter((each) => handler && each !== handler);
    this.#handlers.set(kind, kept);
    return this;
  }

  /**
   * Connect; resolves when the line is open for the first time, rejects if it cannot be.
   *
   * @param {object} [opts] `throttle`: one `current` every so many half seconds; `subscribe`: which messages are
   *   wanted, in OctoPrint's form; `transport`: "websocket" or "xhr_streaming" instead of the best there is
   */
  async connect({ throttle, subscribe, transport } = {}) {
    this.disconnect();
    const best = globalThis.WebSocket ? "websocket" : "xhr_streaming";
    const Line = (transport ?? best) === "websocket" ? WebSocketLine : StreamLine;
    const wanted = { Line, greeting: { throttle, subscribe } };
    this.#wanted = wanted;
    this.#failures = 0;
    this.#keep(wanted, await this.#open(wanted));
  }

  /** Close the line and leave it closed. */
  disconnect() {
    this.#wanted = null;
    this.#line?.close();
    this.#line = null;
  }

  /** Send a message of a kind. */
  async sendMessage(kind, payload) {
    await this.#line?.send(JSON.stringify({ [kind]: payload }));
  }

  /** Open a line, say who we are and what we want. */
  async #open(wanted) {
    const line = new wanted.Line(this.#base);
    try {
      const user = await this.#base.browser.passiveLogin();
      await line.open((told) => this.#wanted === wanted && this.#heard(told));
      if (this.#wanted !== wanted) throw unreachable("the socket", new Error("it was closed meanwhile"));
      this.#line = line;
      await this.sendMessage("auth", `${user.name}:${user.session}`);
      for (const [kind, payload] of Object.entries(wanted.greeting)) {
        if (payload !== undefined) await this.sendMessage(kind, payload);
      }
      return line;
    } catch (error) {
      line.close();
      throw error;
    }
  }

  /** Open the line again whenever it is lost, until somebody wants another one or none. */
  async #keep(wanted, line) {
    while (line) {
      await line.closed;
      if (this.#wanted !== wanted) return;
      this.#tell("close", {});
      line = await this.#reopen(wanted);
    }
  }

  async #reopen(wanted) {
    while (this.#wanted === wanted) {
      const seconds = RECONNECT[Math.min(this.#failures++, RECONNECT.length - 1)];
      this.#tell("reconnecting", { trial: this.#failures, seconds });
      await sleep(seconds * 1000);
      if (this.#wanted === wanted) {
        const line = await this.#open(wanted).catch(() => null);
        if (line) return line;
      }
    }
    return null;
  }

  #heard(message) {
    this.#failures = 0;
    for (const [event, data] of Object.entries(message)) {
      if (event === "reauthRequired" && data?.reason !== "stale") this.#proveAgain();
      this.#tell(event, data);
    }
  }

  async #proveAgain() {
    try {
      const user = await this.#base.browser.passiveLogin();
      await this.sendMessage("auth", `${user.name}:${user.session}`);
    } catch {
      this.#line?.close(); // the next line begins with a log-in
    }
  }

  /** Call the handlers; what one of them throws stops neither the others nor the line. */
  #tell(event, data) {
    for (const handler of [event, "*"].flatMap((kind) => this.#handlers.get(kind) ?? [])) {
      queueMicrotask(() => handler({ event, data }));
    }
  }
}

/** Messages over a WebSocket. `closed` resolves when the line has ended, for whatever reason. */
class WebSocketLine {
  #base;
  #socket = null;

  constructor(base) {
    this.#base = base;
    this.closed = new Promise((resolve) => (this.end = resolve));
  }

  /** Resolves when it is open; `heard` is called with each message. */
  open(heard) {
    const socket = new WebSocket(`${this.#base.url.replace(/^http/, "ws")}/sockjs/websocket`);
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#heard(data, heard);
    return new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onclose = () => {
        reject(unreachable("the socket", null)); // to no effect once it was open
        this.end();
      };
    });
  }

  #heard(text, heard) {
    try {
      heard(JSON.parse(text));
    } catch {
      this.close(); // whatever this is, it is no OctoPrint
    }
  }

  async send(text) {
    if (this.#socket?.readyState === 1) this.#socket.send(text);
  }

  close() {
    this.#socket?.close();
    this.end();
  }
}

/** Messages over an answer that never ends, by the rules of SockJS: `o` open, `h` heartbeat, `a[…]`, `c[…]` close. */
class StreamLine {
  #base;
  #address = `sockjs/${digits(3)}/${digits(12)}`;
  #ending = new AbortController();
  #reader = null;

  constructor(base) {
    this.#base = base;
    this.closed = new Promise((resolve) => (this.end = resolve));
  }

  open(heard) {
    return new Promise((resolve, reject) => {
      this.#receive(resolve, heard)
        .catch(reject)
        .finally(() => {
          reject(unreachable("the socket", null));
          this.end();
        });
    });
  }

  async send(text) {
    const opts = { signal: this.#ending.signal, headers: { "Content-Type": "text/plain" } };
    await this.#base.request("POST", `${this.#address}/xhr_send`, JSON.stringify([text]), opts);
  }

  close() {
    this.#ending.abort();
    this.#reader?.cancel().catch(() => {}); // Node forgets the signal of an answer that lasts (undici's weak reference)
  }

  /** Read frames until the session ends; the server ends an answer now and then, and another one goes on. */
  async #receive(opened, heard) {
    for (let frames = 0, before = -1; frames > before; ) {
      before = frames; // an answer without any frame would be followed by the next at once, for ever
      const opts = { signal: this.#ending.signal, timeout: 0 };
      const response = await this.#base.fetch("POST", `${this.#address}/xhr_streaming`, undefined, opts);
      if (!response.ok) return parsed("POST xhr_streaming", response);
      this.#reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for await (const frame of lines(this.#reader)) {
        if (frame[0] === "c" || (frame[0] === "o" && frames > 0)) return; // a second `o`: the session was forgotten
        if (frame[0] === "o") opened();
        else if (frame[0] === "a") JSON.parse(frame.slice(1)).forEach((told) => heard(asObject(told)));
        if ("oa".includes(frame[0])) frames++;
      }
    }
  }
}

// -- what they share ----------------------------------------------------------------------------------------------

async function parsed(request, response) {
  const text = await response.text().catch((error) => {
    throw unreachable(request, error);
  });
  if (!response.ok) {
    const words = reason(text, response);
    throw new OctoPrintError(`${request}: ${response.status} ${words}`, response.status, words);
  }
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new OctoPrintError(`${request}: the answer is not JSON: is this OctoPrint's API?`, response.status, "", error);
  }
}

function reason(text, response) {
  try {
    return String(JSON.parse(text).error);
  } catch {
    const html = response.headers.get("content-type")?.includes("html");
    return (!html && text.trim().slice(0, 300)) || response.statusText;
  }
}

function unreachable(request, cause) {
  const words = cause?.cause?.message ?? cause?.message ?? "the connection was lost";
  return new OctoPrintError(`${request}: no answer: ${words}`, null, words, cause);
}

/** Upload with progress: XMLHttpRequest alone tells it. */
function sendWatched(base, path, form, { onProgress, signal, headers }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${base.url}/${path}`);
    for (const [name, value] of Object.entries({ ...base.headers(), ...headers })) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onProgress({ loaded, total });
    request.onload = () => resolve(parsed(`POST ${path}`, asResponse(request)));
    request.onerror = () => reject(unreachable(`POST ${path}`, null));
    request.onabort = () => reject(unreachable(`POST ${path}`, signal?.reason));
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

function asResponse(request) {
  const headers = { "content-type": request.getResponseHeader("content-type") ?? "" };
  return new Response(request.responseText, { status: request.status, statusText: request.statusText, headers });
}

function asForm(fields) {
  if (fields instanceof FormData) return fields;
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) form.append(name, String(value));
  return form;
}

/** SockJS frames hold strings; OctoPrint puts its objects into them as they are. */
function asObject(told) {
  return typeof told === "string" ? JSON.parse(told) : told;
}

function query({ history, limit, exclude } = {}) {
  const asked = new URLSearchParams();
  if (history) asked.set("history", "true");
  if (history && limit !== undefined) asked.set("limit", String(limit));
  if (exclude?.length) asked.set("exclude", exclude.join(","));
  return asked.size ? `?${asked}` : "";
}

function escapePath(path) {
  return path.split("/").map(encodeURIComponent).join("/");
}

function entry(location, path) {
  return `api/files/${location}/${escapePath(path)}`;
}

function digits(count) {
  return Array.from({ length: count }, () => Math.floor(Math.random() * 10)).join("");
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** One signal for several; AbortSignal.any is missing where browsers are older than 2024. */
function anyOf(signals) {
  if (signals.length < 2) return signals[0];
  const either = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) either.abort(signal.reason);
    signal.addEventListener("abort", () => either.abort(signal.reason), { once: true });
  }
  return either.signal;
}

/** Yield the lines of a text that comes in pieces, without their ends. */
async function* lines(reader) {
  try {
    for (let held = "", step = await reader.read(); !step.done; step = await reader.read()) {
      const found = (held + step.value).split("\n");
      held = found.pop();
      yield* found;
    }
  } finally {
    reader.cancel().catch(() => {}); // lets go of the connection where nobody reads on
  }
}
