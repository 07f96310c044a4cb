/**
 * OctoPrintClient: the API of this daemon, and of OctoPrint, for browsers and Node 20. Needs nothing else.
 *
 *     import { OctoPrintClient } from "/client/octoprint.mjs";
 *     const printer = new OctoPrintClient("http://printer.local:5000", key);
 *     await printer.job.start();
 *     printer.socket.onMessage("current", ({ data }) => console.log(data.state.text));
 *     await printer.socket.connect();
 *
 * Names and arguments are those of OctoPrint's own client library; methods return plain promises. Every method
 * takes `opts` last: `{signal, headers, timeout}`, the timeout in milliseconds. A request that does not succeed rejects
 * with an OctoPrintError. Requests that only read are tried three times; downloads, thumbnails and all others, once.
 */

const TIMEOUT = 30_000; // ms for a request; an upload has no limit but the caller's
const PAUSES = [500, 1000]; // ms before each retry of a request
const TEMPORARY = [502, 503, 504]; // a proxy whose server restarts
const RECONNECT = [1, 1, 2, 3, 5, 8, 13, 20, 40]; // s before each attempt to reconnect; the last one repeats

/** The error with which a failed request rejects. */
export class OctoPrintError extends Error {
  /**
   * @param {string} message
   * @param {number | null} status HTTP's; null if there was no answer
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
   * @param {string} [url] the server; in a browser, by default the one that serves the page
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

  /** Send a command. */
  issueCommand(path, command, payload = {}, opts = undefined) {
    return this.postJson(path, { ...payload, command }, opts);
  }

  /** Delete the resource at a path. */
  delete(path, opts) {
    return this.request("DELETE", path, undefined, opts);
  }

  /** Make one request; resolves to the parsed answer, or null if it is empty. */
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
        redirect: "error", // the key must not reach another server
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

/** The base class of the parts of the client. */
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

  /** Print the selected file; `opts.force` prints it even if the checks refuse it. */
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
  /** List files and folders of all storages. */
  list(recursively = false, _force = false, opts = undefined) {
    return this.base.get(`api/files${recursively ? "?recursive=true" : ""}`, opts);
  }

  /** List the files of one storage: "local" or "sdcard". */
  listForLocation(location, recursively = false, opts = undefined) {
    return this.base.get(`api/files/${location}${recursively ? "?recursive=true" : ""}`, opts);
  }

  /** Get one file or folder. */
  get(location, path, opts) {
    return this.base.get(entry(location, path), opts);
  }

  /** Select a file; with `print`, print it at once; with `opts.force`, even if the checks refuse it. */
  select(location, path, print = false, { force = false, ...opts } = {}) {
    return this.#command(location, path, "select", force ? { print, force } : { print }, opts);
  }

  /** Copy a file or folder into a folder, or to a new path. */
  copy(location, path, destination, opts) {
    return this.#command(location, path, "copy", { destination }, opts);
  }

  /** Move a file or folder into a folder, or to a new path. */
  move(location, path, destination, opts) {
    return this.#command(location, path, "move", { destination }, opts);
  }

  /** Delete a file, or a folder with its contents. */
  delete(location, path, opts) {
    return this.base.delete(entry(location, path), opts);
  }

  /** Create a folder, in the folder `path` if there is one. */
  createFolder(location, foldername, path = "", opts = undefined) {
    return this.base.postForm(`api/files/${location}`, { foldername, ...(path ? { path } : {}) }, opts);
  }

  /**
   * Upload a file.
   *
   * @param {string} location
   * @param {Blob} file a File brings its own name
   * @param {object} [data] `filename`, `path`, `select`, `print`, `noOverwrite`, `plate`, `userdata`
   * @param {object} [opts] also `onProgress({loaded, total})`, in browsers
   */
  upload(location, file, { filename = file.name, ...data } = {}, opts = {}) {
    const fields = { ...data };
    if (typeof fields.userdata === "object") fields.userdata = JSON.stringify(fields.userdata);
    const form = asForm(fields); // fields first: the server can refuse before the file arrives
    form.append("file", file, filename);
    const path = `api/files/${location}`;
    const reports = opts.onProgress && globalThis.XMLHttpRequest; // fetch does not report upload progress
    return reports ? sendWithProgress(this.base, path, form, opts) : this.base.postForm(path, form, opts);
  }

  /** Fetch a file; resolves to the Response, which can be read as a stream. */
  async download(location, path, opts = {}) {
    const address = `downloads/files/${location}/${escapePath(path)}`;
    const response = await this.base.fetch("GET", address, undefined, { timeout: 0, ...opts });
    return response.ok ? response : parsed(`GET ${address}`, response);
  }

  /** Fetch the thumbnail in a file, of a size like "32x32", or the largest one; resolves to the Response. */
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
  /** Get temperatures, SD card and state; `flags` are `{history, limit, exclude: ["sd"]}`. */
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

  /** Move the head by `{x, y, z}` mm, or with `absolute` to that position; `speed` in mm/min. */
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

/** The connection to the printer. */
class ConnectionClient extends Part {
  /** Get the current connection, and the ports and baudrates to choose from. */
  getSettings(opts) {
    return this.base.get("api/connection", opts);
  }

  /** Start connecting to `{port, baudrate}`, or to the preferred printer. */
  connect(data = {}, opts = undefined) {
    return this.base.issueCommand("api/connection", "connect", data, opts);
  }

  /** Close the connection; this ends a print. */
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

/** The user of the key. */
class BrowserClient extends Part {
  /** Log in with the key; resolves to the user, with the session that authenticates the socket. */
  passiveLogin(opts) {
    return this.base.postJson("api/login", { passive: true }, opts);
  }
}

/**
 * The server's push messages: over a WebSocket or, where that is missing (Node 20), over a streamed answer, as SockJS
 * does it. A lost connection is opened again; each connection begins with `connected` and `history`.
 */
class Socket {
  #base;
  #handlers = new Map();
  #session = null; // of the last `connect`; null after `disconnect`
  #connection = null;
  #failures = 0;

  constructor(base) {
    this.#base = base;
  }

  /**
   * Call `handler({event, data})` for each message of a kind: connected, history, current, event, plugin, …, or "*" for
   * all of them. The client adds messages of its own: `close` and `reconnecting`.
   */
  onMessage(kind, handler) {
    this.#handlers.set(kind, [...(this.#handlers.get(kind) ?? []), handler]);
    return this;
  }

  /** Remove a handler of this kind; without `handler`, remove all of them. */
  removeMessage(kind, handler) {
    const remaining = (this.#handlers.get(kind) ?? []).filter((each) => handler && each !== handler);
    this.#handlers.set(kind, remaining);
    return this;
  }

  /**
   * Connect; resolves when the first connection is open, and rejects if it fails.
   *
   * @param {object} [opts] `throttle`: minimum interval of `current` messages, in half seconds; `subscribe`: the
   *   messages to receive, in OctoPrint's form; `transport`: "websocket" or "xhr_streaming" instead of the best one
   */
  async connect({ throttle, subscribe, transport } = {}) {
    this.disconnect();
    const best = globalThis.WebSocket ? "websocket" : "xhr_streaming";
    const Connection = (transport ?? best) === "websocket" ? WebSocketConnection : StreamConnection;
    const session = { Connection, greeting: { throttle, subscribe } };
    this.#session = session;
    this.#failures = 0;
    this.#stayOpen(session, await this.#open(session));
  }

  /** Close the connection; it is not opened again. */
  disconnect() {
    this.#session = null;
    this.#connection?.close();
    this.#connection = null;
  }

  /** Send a message of a kind. */
  async sendMessage(kind, payload) {
    await this.#connection?.send(JSON.stringify({ [kind]: payload }));
  }

  /** Connect, log in, and subscribe. */
  async #open(session) {
    const connection = new session.Connection(this.#base);
    try {
      const user = await this.#base.browser.passiveLogin();
      await connection.open((message) => this.#session === session && this.#receive(message));
      if (this.#session !== session) throw unreachable("the socket", new Error("it was closed meanwhile"));
      this.#connection = connection;
      await this.sendMessage("auth", `${user.name}:${user.session}`);
      for (const [kind, payload] of Object.entries(session.greeting)) {
        if (payload !== undefined) await this.sendMessage(kind, payload);
      }
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** Open the connection again whenever it is lost, until the next `connect` or `disconnect`. */
  async #stayOpen(session, connection) {
    while (connection) {
      await connection.closed;
      if (this.#session !== session) return;
      this.#emit("close", {});
      connection = await this.#reopen(session);
    }
  }

  async #reopen(session) {
    while (this.#session === session) {
      const seconds = RECONNECT[Math.min(this.#failures++, RECONNECT.length - 1)];
      this.#emit("reconnecting", { trial: this.#failures, seconds });
      await sleep(seconds * 1000);
      if (this.#session === session) {
        const connection = await this.#open(session).catch(() => null);
        if (connection) return connection;
      }
    }
    return null;
  }

  #receive(message) {
    this.#failures = 0;
    for (const [event, data] of Object.entries(message)) {
      if (event === "reauthRequired" && data?.reason !== "stale") this.#authenticateAgain();
      this.#emit(event, data);
    }
  }

  async #authenticateAgain() {
    try {
      const user = await this.#base.browser.passiveLogin();
      await this.sendMessage("auth", `${user.name}:${user.session}`);
    } catch {
      this.#connection?.close(); // the next connection begins with a log-in
    }
  }

  /** Call the handlers; one that throws stops neither the others nor the connection. */
  #emit(event, data) {
    for (const handler of [event, "*"].flatMap((kind) => this.#handlers.get(kind) ?? [])) {
      queueMicrotask(() => handler({ event, data }));
    }
  }
}

/** A connection over a WebSocket; `closed` resolves when it has ended, for any reason. */
class WebSocketConnection {
  #base;
  #socket = null;

  constructor(base) {
    this.#base = base;
    this.closed = new Promise((resolve) => (this.end = resolve));
  }

  /** Resolves when it is open; `onMessage` is called with each message. */
  open(onMessage) {
    const socket = new WebSocket(`${this.#base.url.replace(/^http/, "ws")}/sockjs/websocket`);
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#receive(data, onMessage);
    return new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onclose = () => {
        reject(unreachable("the socket", null)); // has no effect after `onopen`
        this.end();
      };
    });
  }

  #receive(text, onMessage) {
    try {
      onMessage(JSON.parse(text));
    } catch {
      this.close(); // this is not OctoPrint
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

/** A connection over a streamed answer. SockJS frames: `o` open, `h` heartbeat, `a[…]` messages, `c[…]` close. */
class StreamConnection {
  #base;
  #address = `sockjs/${digits(3)}/${digits(12)}`;
  #ending = new AbortController();
  #reader = null;

  constructor(base) {
    this.#base = base;
    this.closed = new Promise((resolve) => (this.end = resolve));
  }

  open(onMessage) {
    return new Promise((resolve, reject) => {
      this.#receive(resolve, onMessage)
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
    this.#reader?.cancel().catch(() => {}); // Node drops the signal of a long answer (undici has only a weak reference)
  }

  /** Read frames until the session ends; when the server ends an answer, the next request continues the session. */
  async #receive(onOpen, onMessage) {
    for (let frames = 0, framesBefore = -1; frames > framesBefore; ) {
      framesBefore = frames; // an answer without a frame ends the loop: the request must not be repeated for ever
      const opts = { signal: this.#ending.signal, timeout: 0 };
      const response = await this.#base.fetch("POST", `${this.#address}/xhr_streaming`, undefined, opts);
      if (!response.ok) return parsed("POST xhr_streaming", response);
      this.#reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for await (const frame of lines(this.#reader)) {
        if (frame[0] === "c" || (frame[0] === "o" && frames > 0)) return; // another `o`: the session is lost
        if (frame[0] === "o") onOpen();
        else if (frame[0] === "a") JSON.parse(frame.slice(1)).forEach((each) => onMessage(asObject(each)));
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
    const { error } = JSON.parse(text);
    if (error !== undefined) return String(error);
  } catch {
    // not OctoPrint's JSON
  }
  const html = response.headers.get("content-type")?.includes("html");
  return (!html && text.trim().slice(0, 300)) || response.statusText;
}

function unreachable(request, cause) {
  const words = cause?.cause?.message ?? cause?.message ?? "the connection was lost";
  return new OctoPrintError(`${request}: no answer: ${words}`, null, words, cause);
}

/** Upload with progress, which only XMLHttpRequest reports. */
function sendWithProgress(base, path, form, { onProgress, signal, headers, timeout = 0 }) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(unreachable(`POST ${path}`, signal.reason)); // there will be no event for the listener below
      return;
    }
    const request = new XMLHttpRequest();
    request.open("POST", `${base.url}/${path}`);
    request.timeout = timeout;
    for (const [name, value] of Object.entries({ ...base.headers(), ...headers })) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onProgress({ loaded, total });
    request.onload = () => resolve(parsed(`POST ${path}`, asResponse(request)));
    request.onerror = () => reject(unreachable(`POST ${path}`, null));
    request.ontimeout = () => reject(unreachable(`POST ${path}`, new Error(`timeout after ${timeout} ms`)));
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
function asObject(message) {
  return typeof message === "string" ? JSON.parse(message) : message;
}

function query({ history, limit, exclude } = {}) {
  const parameters = new URLSearchParams();
  if (history) parameters.set("history", "true");
  if (history && limit !== undefined) parameters.set("limit", String(limit));
  if (exclude?.length) parameters.set("exclude", exclude.join(","));
  return parameters.size ? `?${parameters}` : "";
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

/** Combine signals into one; browsers from before 2024 have no AbortSignal.any. */
function anyOf(signals) {
  if (signals.length < 2) return signals[0];
  const either = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) either.abort(signal.reason);
    signal.addEventListener("abort", () => either.abort(signal.reason), { once: true });
  }
  return either.signal;
}

/** Yield the lines of a text that arrives in pieces, without line ends. */
async function* lines(reader) {
  try {
    for (let rest = "", step = await reader.read(); !step.done; step = await reader.read()) {
      const complete = (rest + step.value).split("\n");
      rest = complete.pop();
      yield* complete;
    }
  } finally {
    reader.cancel().catch(() => {}); // closes the connection if the caller stops reading
  }
}
