/** Pairing codes, which are exchanged for a key: the part of pairing that the first load needs. */

import {keepKey, post} from "./api.mjs";

/** A name for this browser, unless the user enters another. */
export function ownName() {
  const agent = navigator.userAgent;
  const browser = /Edg\//.test(agent) ? "Edge" : /Firefox\//.test(agent) ? "Firefox" : /Chrome\//.test(agent) ? "Chrome" : /Safari\//.test(agent) ? "Safari" : "Browser";
  const system = /Android/.test(agent) ? "Android" : /iPhone|iPad/.test(agent) ? "iOS" : /Windows/.test(agent) ? "Windows" : /Mac OS/.test(agent) ? "macOS" : "Linux";
  return `${browser} on ${system}`;
}

/** A code in its canonical form: case, spaces and dashes do not matter in what was typed. @param {string} text */
export function codeOf(text) {
  const letters = (text.split("#pair=").pop() ?? "").toUpperCase().replace(/[^0-9A-Z]/g, "");
  return letters.match(/.{1,4}/g)?.join("-") ?? "";
}

/** Exchange a code for a key of this browser. @param {string} code @param {string} [name] */
export async function pair(code, name = ownName()) {
  const answer = await post("api/pair", {code: codeOf(code), name}, {withKey: null});
  keepKey(answer.key);
}

/** Take the pairing code out of the address, so that it does not stay in the browser's history; empty: there is none. */
export function codeInAddress() {
  const found = /^#pair=(.+)$/.exec(location.hash);
  if (!found) return "";
  history.replaceState(null, "", `${location.pathname}${location.search}`);
  return found[1];
}
