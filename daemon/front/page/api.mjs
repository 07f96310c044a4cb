/**
 * Requests to nozzled with this browser's API key. The key is in localStorage; in sessionStorage if it must not outlive the
 * tab; or in memory where the browser forbids storage.
 */

import {adminKey, clockOffset, heardAt, me} from "./store.mjs";
import {t} from "./words.mjs";

const KEY = "nozzled.key";
const TIMEOUT = 10000; // ms to wait for an answer
const BODY_TIMEOUT = 60000; // ms to wait for the rest of an answer that has begun
const START_TIMEOUT = 40000; // ms; before a print nozzled waits for the analysis of its file, 20 s unless configured

/** The key, once it has been read from the storage. */
let currentKey = "";

export function key() {
  if (!currentKey) currentKey = read(localStorageOrNone()) || read(sessionStorageOrNone()) || "";
  return currentKey;
}

/** @param {string} value @param {boolean} stay Whether the key outlives the tab. */
export function keepKey(value, stay = true) {
  forgetKey();
  currentKey = value;
  try {
    (stay ? localStorageOrNone() : sessionStorageOrNone())?.setItem(KEY, value);
  } catch {
    // full or forbidden: the key lives as long as this tab
  }
}

/** @param {string} [only] Forget only this key: another tab may have stored another one since. */
export function forgetKey(only) {
  currentKey = "";
  for (const store of [localStorageOrNone(), sessionStorageOrNone()]) if (!only || read(store) === only) store?.removeItem(KEY);
}

function localStorageOrNone() {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}
function sessionStorageOrNone() {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}
/** @param {Storage|null} store */
function read(store) {
  return store?.getItem(KEY) ?? null;
}

/** Store a preference of this browser, like the theme. @param {string} name @param {string} value */
export function keepChoice(name, value) {
  try {
    localStorage.setItem(`nozzled.${name}`, value);
  } catch {
    // storage is forbidden: the choice is lost with the tab
  }
}
/** @param {string} name */
export function choice(name) {
  try {
    return localStorage.getItem(`nozzled.${name}`) ?? "";
  } catch {
    return "";
  }
}

/** A request that was refused, or got no answer (`status` is 0). The message is for the user. */
export class Failure extends Error {
  /** @param {number} status @param {string} message @param {number} wait Seconds until a retry makes sense (Retry-After); 0: not given. */
  constructor(status, message, wait = 0) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
}

/**
 * @typedef {RequestInit & {timeout?: number, withKey?: string|null, late?: boolean}} Options `timeout` in ms; `withKey`: use
 *   this key instead of this browser's, null for none; `late`: nozzled may act on it even after the timeout
 */

/**
 * Send a request with this browser's temporary key of scope admin, if it has one. That key becomes invalid early if nozzled restarts or
 * another tab gives it up; then the request is repeated with this browser's own key.
 * @template Answer @param {(apiKey: string) => Promise<Answer>} run @returns {Promise<Answer>}
 */
async function withBestKey(run) {
  const admin = adminKey.value.until > performance.now() ? adminKey.value.key : "";
  try {
    return await run(admin || key());
  } catch (error) {
    if (!admin || !(error instanceof Failure) || ![403, 429].includes(error.status)) throw error;
    if (adminKey.value.key === admin) adminKey.value = {key: "", until: 0};
    return withBestKey(run);
  }
}

/** @template Answer @param {string} path @param {Options} options @param {(response: Response) => Promise<Answer>} read @returns {Promise<Answer>} */
function request(path, options, read) {
  return options.withKey === undefined ? withBestKey(apiKey => send(path, options, apiKey, read)) : send(path, options, options.withKey, read);
}

/** @param {Response} response */
const asText = response => response.text();

/**
 * @template Answer @param {string} path @param {Options} options @param {string|null} apiKey
 * @param {(response: Response) => Promise<Answer>} read Reads the body: the connection may be lost in the middle of it. @returns {Promise<Answer>}
 */
async function send(path, options, apiKey, read) {
  const headers = new Headers(options.headers);
  if (apiKey) headers.set("X-Api-Key", apiKey);
  const timeout = options.timeout ?? TIMEOUT;
  // a service that hung must not act on a request later, when the user has given it up
  if (options.method && heardAt.value && !options.late) headers.set("Nozzled-Until", (Date.now() / 1000 + clockOffset.value + timeout / 1000).toFixed(3));
  const end = new AbortController();
  let timer = setTimeout(() => end.abort(), timeout);
  try {
    const response = await fetch(path, {...options, headers, signal: end.signal, cache: "no-store", credentials: "omit"});
    if (!response.ok) throw await failure(response);
    clearTimeout(timer);
    timer = setTimeout(() => end.abort(), BODY_TIMEOUT);
    return await read(response);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(0, t(options.method ? "no_answer" : "no_data"));
  } finally {
    clearTimeout(timer);
  }
}

/** @param {Response} response */
async function failure(response) {
  let text = "";
  try {
    text = (await response.json()).error ?? "";
  } catch {
    // no JSON: only the status is known
  }
  const wait = Number(response.headers.get("Retry-After")) || 0;
  return new Failure(response.status, text || t("refused_status", {status: response.status}), wait);
}

/** @param {string} path @param {object} [options] @returns {Promise<any>} */
export async function get(path, options = {}) {
  return JSON.parse(await request(path, options, asText));
}

/** @param {string} path @param {object} body @param {object} [options] @returns {Promise<any>} The answer; null where it is empty. */
export async function post(path, body, options = {}) {
  const text = await request(path, {
    method: "POST",
    ...options,
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify(body),
  }, asText);
  return text ? JSON.parse(text) : null;
}

/** Start a print. @param {string} path @param {object} body @returns {Promise<any>} */
export function postStart(path, body) {
  return post(path, body, {timeout: START_TIMEOUT});
}

/** @param {string} path @param {object} body @returns {Promise<any>} */
export function patch(path, body) {
  return post(path, body, {method: "PATCH"});
}

/** @param {string} path */
export async function remove(path) {
  await request(path, {method: "DELETE"}, asText);
}

/** Get an admin's rights for a while. @param {string} secret A key, or a pairing code, of scope admin. */
export async function stepUp(secret) {
  const isCode = /^[0-9A-Za-z]{4}[\s-]*[0-9A-Za-z]{4}[\s-]*[0-9A-Za-z]{4}$/.test(secret);
  const answer = await post("api/stepup", {[isCode ? "code" : "key"]: secret});
  adminKey.value = {key: answer.key, until: performance.now() + answer.expires * 1000};
}

export async function stepDown() {
  if (adminKey.value.until > performance.now()) await remove("api/stepup");
  adminKey.value = {key: "", until: 0};
}

/** Fetch a picture that needs the key, as an address for <img>; release it with URL.revokeObjectURL. @param {string} path */
export async function picture(path) {
  return URL.createObjectURL(await request(path, {}, response => response.blob()));
}

/**
 * Let the browser download a file by a signed address, so that a file of any size goes straight to the disk.
 * @param {string} path @param {string} name
 */
export async function download(path, name) {
  const {links} = await post("api/links", {paths: [path]});
  const link = document.createElement("a");
  link.href = links[path].replace(/^\//, "");
  link.download = name;
  link.click();
}

/** Fetch part of a file as text: `0-65535`, or `-65536` for the last bytes. @param {string} path @param {string} bytes */
export async function slice(path, bytes) {
  return request(path, {headers: {Range: `bytes=${bytes}`}}, asText);
}

/** @param {string} name @param {string} parent */
export async function newFolder(name, parent) {
  const form = new FormData();
  form.append("foldername", name);
  if (parent) form.append("path", parent);
  await request("api/files/local", {method: "POST", body: form}, asText);
}

/** A path as part of a URL: each name in it may hold any character. @param {string} path */
export function address(path) {
  return path.split("/").map(encodeURIComponent).join("/");
}

/** @param {Record<string, unknown>} command @param {Options} [options] @returns {Promise<any>} */
export function gcode(command, options) {
  return post("api/printer/command", command, options);
}

/**
 * Upload a file into a folder.
 * @param {File} file @param {string} folder @param {boolean} overwrite @param {(share: number) => void} onProgress
 * @param {(stop: () => void) => void} onStart
 * @returns {Promise<any>}
 */
export function upload(file, folder, overwrite, onProgress, onStart) {
  const form = new FormData();
  if (folder) form.append("path", folder);
  if (!overwrite) form.append("noOverwrite", "true");
  form.append("size", String(file.size));
  form.append("file", file, file.name);
  return sendForm("api/files/local", form, {}, onProgress, onStart);
}

/**
 * Send a form with a file. `onProgress` is called with the share that has been sent, 0 to 1; `onStart` with a function that
 * stops the upload. XMLHttpRequest, as fetch does not report the progress of an upload.
 * @param {string} path @param {FormData} form @param {Record<string, string>} headers
 * @param {(share: number) => void} onProgress @param {(stop: () => void) => void} onStart
 * @returns {Promise<any>}
 */
export function sendForm(path, form, headers, onProgress, onStart) {
  return withBestKey(apiKey => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries({"X-Api-Key": apiKey, ...headers})) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.onprogress = event => onProgress(event.total ? event.loaded / event.total : 0);
    request.onload = () =>
      request.status < 300
        ? resolve(request.response)
        : reject(new Failure(request.status, request.response?.error || t("refused_status", {status: request.status})));
    request.onerror = () => reject(new Failure(0, t("upload_lost")));
    request.onabort = () => reject(new Failure(-1, t("upload_stopped")));
    onStart(() => request.abort());
    request.send(form);
  }));
}

/** Ask whose key this is, and open a session for the socket. @param {string} [withKey] */
export async function login(withKey) {
  // without a deadline: a clock may have been set since the page last knew the server's time
  const answer = await post("api/login", {passive: true}, {timeout: 5000, late: true, withKey: withKey ?? key()});
  if (!answer?.name || !answer.session) throw new Failure(403, t("key_unknown"));
  const permissions = /** @type {string[]} */ (answer.permissions ?? []);
  me.value = {name: answer.name, admin: Boolean(answer.admin), control: permissions.includes("PRINT")};
  return answer;
}
