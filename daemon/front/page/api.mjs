/** Requests to nozzled. The key is in localStorage; where that is forbidden, it lives as long as the tab. */

import {clockOffset, heard, me, raised} from "./store.mjs";
import {t} from "./words.mjs";

const KEY = "nozzled.key";
const PATIENCE = 10000; // ms for an answer

let kept = "";

export function key() {
  if (!kept) kept = read(localStorageOrNone()) || read(sessionStorageOrNone()) || "";
  return kept;
}

/** @param {string} value @param {boolean} stay Keep it when the browser is closed. */
export function keepKey(value, stay = true) {
  forgetKey();
  kept = value;
  try {
    (stay ? localStorageOrNone() : sessionStorageOrNone())?.setItem(KEY, value);
  } catch {
    // full or forbidden: the key lives as long as this tab
  }
}

export function forgetKey() {
  kept = "";
  for (const store of [localStorageOrNone(), sessionStorageOrNone()]) store?.removeItem(KEY);
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

/** Keeps a small choice of this browser, like the theme. @param {string} name @param {string} value */
export function keepChoice(name, value) {
  try {
    localStorage.setItem(`nozzled.${name}`, value);
  } catch {
    // forbidden: asked for again next time
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

/** A request that was refused, or that nobody has answered: `status` is 0 then. The message is meant for people. */
export class Failure extends Error {
  /** @param {number} status @param {string} message @param {number} wait seconds, where the server names them */
  constructor(status, message, wait = 0) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
}

/** @typedef {RequestInit & {patience?: number, withKey?: string|null, late?: boolean}} Options `late`: it is to be done also when nobody waits for it any more */

/** @param {string} path @param {Options} [options] */
async function answer(path, options = {}) {
  const headers = new Headers(options.headers);
  const used = options.withKey === undefined ? (raised.value.until > performance.now() && raised.value.key) || key() : options.withKey;
  if (used) headers.set("X-Api-Key", used);
  const patience = options.patience ?? PATIENCE;
  // a service that hung does not do later what somebody has given up by then
  if (options.method && heard.value && !options.late) headers.set("Nozzled-Until", (Date.now() / 1000 + clockOffset.value + patience / 1000).toFixed(3));
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(), patience);
  try {
    const response = await fetch(path, {...options, headers, signal: end.signal, cache: "no-store", credentials: "omit"});
    if (!response.ok) throw await failure(response);
    return response;
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(0, t("no_answer"));
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
    // no JSON: the status has to do
  }
  const wait = Number(response.headers.get("Retry-After")) || 0;
  return new Failure(response.status, text || t("refused_status", {status: response.status}), wait);
}

/** @param {string} path @param {object} [options] @returns {Promise<any>} */
export async function get(path, options = {}) {
  return (await answer(path, options)).json();
}

/** @param {string} path @param {object} body @param {object} [options] @returns {Promise<any>} null where there is nothing */
export async function post(path, body, options = {}) {
  const response = await answer(path, {
    method: "POST",
    ...options,
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify(body),
  });
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** Change a part of it. @param {string} path @param {object} body @returns {Promise<any>} */
export function patch(path, body) {
  return post(path, body, {method: "PATCH"});
}

/** @param {string} path */
export async function remove(path) {
  await answer(path, {method: "DELETE"});
}

/** Do what an admin may for a while, for a key or a code of scope admin. @param {string} secret */
export async function stepUp(secret) {
  const isCode = /^[0-9A-Za-z]{4}[\s-]*[0-9A-Za-z]{4}[\s-]*[0-9A-Za-z]{4}$/.test(secret);
  const said = await post("api/stepup", {[isCode ? "code" : "key"]: secret});
  raised.value = {key: said.key, until: performance.now() + said.expires * 1000};
}

export async function stepDown() {
  if (raised.value.until > performance.now()) await remove("api/stepup");
  raised.value = {key: "", until: 0};
}

/** A picture that needs the key, as an address for <img>; give it back by URL.revokeObjectURL. @param {string} path */
export async function picture(path) {
  return URL.createObjectURL(await (await answer(path)).blob());
}

/**
 * Have the browser store a file, by an address that is good for a while: however large it is, it goes to the disk at once.
 * @param {string} path @param {string} name
 */
export async function download(path, name) {
  const {links} = await post("api/links", {paths: [path]});
  const link = document.createElement("a");
  link.href = links[path].replace(/^\//, "");
  link.download = name;
  link.click();
}

/** Some bytes of a file as text, like `0-65535`, or `-65536` for the last ones. @param {string} path @param {string} bytes */
export async function slice(path, bytes) {
  return (await answer(path, {headers: {Range: `bytes=${bytes}`}})).text();
}

/** @param {string} name @param {string} parent */
export async function newFolder(name, parent) {
  const form = new FormData();
  form.append("foldername", name);
  if (parent) form.append("path", parent);
  await answer("api/files/local", {method: "POST", body: form});
}

/** The address of a file, part by part: a name may hold any character. @param {string} path */
export function address(path) {
  return path.split("/").map(encodeURIComponent).join("/");
}

/** @param {Record<string, unknown>} command @param {Options} [options] @returns {Promise<any>} */
export function gcode(command, options) {
  return post("api/printer/command", command, options);
}

/**
 * Upload a file; `progress` hears how much of it has gone, from 0 to 1.
 * @param {File} file @param {string} folder @param {boolean} overwrite @param {(part: number) => void} progress
 * @param {(stop: () => void) => void} stoppable
 * @returns {Promise<any>}
 */
export function upload(file, folder, overwrite, progress, stoppable) {
  const form = new FormData();
  if (folder) form.append("path", folder);
  if (!overwrite) form.append("noOverwrite", "true");
  form.append("size", String(file.size));
  form.append("file", file, file.name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "api/files/local");
    request.setRequestHeader("X-Api-Key", key());
    request.responseType = "json";
    request.upload.onprogress = event => progress(event.total ? event.loaded / event.total : 0);
    request.onload = () =>
      request.status < 300
        ? resolve(request.response)
        : reject(new Failure(request.status, request.response?.error || t("refused_status", {status: request.status})));
    request.onerror = () => reject(new Failure(0, t("upload_lost")));
    request.onabort = () => reject(new Failure(-1, t("upload_stopped")));
    stoppable(() => request.abort());
    request.send(form);
  });
}

/** Tell who the key belongs to, and open a session for the socket. @param {string} [withKey] */
export async function login(withKey) {
  const said = await post("api/login", {passive: true}, {patience: 5000, withKey: withKey ?? key()});
  if (!said?.name || !said.session) throw new Failure(403, t("key_unknown"));
  const permissions = /** @type {string[]} */ (said.permissions ?? []);
  me.value = {name: said.name, admin: Boolean(said.admin), control: permissions.includes("PRINT")};
  return said;
}
