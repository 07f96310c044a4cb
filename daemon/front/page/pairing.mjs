/** Codes that are changed for a key: what of the way in has to be there from the beginning. */

import {keepKey, post} from "./api.mjs";

/** What this browser is called, where nobody says otherwise. */
export function ownName() {
  const agent = navigator.userAgent;
  const browser = /Edg\//.test(agent) ? "Edge" : /Firefox\//.test(agent) ? "Firefox" : /Chrome\//.test(agent) ? "Chrome" : /Safari\//.test(agent) ? "Safari" : "Browser";
  const system = /Android/.test(agent) ? "Android" : /iPhone|iPad/.test(agent) ? "iOS" : /Windows/.test(agent) ? "Windows" : /Mac OS/.test(agent) ? "macOS" : "Linux";
  return `${browser} on ${system}`;
}

/** A code as it was typed: case, spaces and dashes do not count. @param {string} text */
export function codeOf(text) {
  const letters = (text.split("#pair=").pop() ?? "").toUpperCase().replace(/[^0-9A-Z]/g, "");
  return letters.match(/.{1,4}/g)?.join("-") ?? "";
}

/** Change a code for a key of this browser's own. @param {string} code @param {string} [name] */
export async function pair(code, name = ownName()) {
  const said = await post("api/pair", {code: codeOf(code), name}, {withKey: null});
  keepKey(said.key);
}

/** The code in the address, which is taken out of it at once: an address stays in histories. */
export function codeInAddress() {
  const found = /^#pair=(.+)$/.exec(location.hash);
  if (!found) return "";
  history.replaceState(null, "", `${location.pathname}${location.search}`);
  return found[1]; // what is not of a code does not count
}
