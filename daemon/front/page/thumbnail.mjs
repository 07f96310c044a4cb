/** Small pictures of lists: the browser loads those that are seen, by addresses that are good for a while without a key. */

import {post} from "./api.mjs";
import {html, useEffect, useState} from "./html.mjs";

const MOST = 200; // addresses of one request
const TRIES = 5;
const AGAIN = 2000; // ms
const GOOD = 9 * 60e3; // ms; the server says ten minutes

/** @type {Map<string, {address: Promise<string>, until: number}>} */
const known = new Map();
/** @type {Map<string, (address: string) => void>} */
let wanted = new Map();

async function sign() {
  const asked = [...wanted];
  wanted = new Map();
  for (let at = 0; at < asked.length; at += MOST) {
    const some = asked.slice(at, at + MOST);
    const {links} = await post("api/links", {paths: some.map(([path]) => path)}).catch(() => ({links: {}}));
    for (const [path, done] of some) {
      if (!links[path]) known.delete(path);
      done((links[path] ?? "").replace(/^\//, ""));
    }
  }
}

/** The address of a picture; all that are wanted at the same moment are asked for at once. @param {string} path @returns {Promise<string>} */
function addressOf(path) {
  const old = known.get(path);
  if (old && performance.now() < old.until) return old.address;
  if (known.size > 2000) known.clear();
  const address = new Promise(resolve => {
    if (!wanted.size) setTimeout(sign);
    wanted.set(path, resolve);
  });
  known.set(path, {address, until: performance.now() + GOOD});
  return address;
}

/** @param {{path: string|null|undefined}} props */
export function Thumbnail({path}) {
  const [source, setSource] = useState("");
  const [tries, setTries] = useState(0);
  useEffect(() => setTries(0), [path]);
  useEffect(() => {
    let isWanted = true;
    setSource("");
    if (path) addressOf(path).then(address => isWanted && setSource(address));
    return () => {
      isWanted = false;
    };
  }, [path, tries]);
  // one that is being looked at anew, as its file has been moved, is there a moment later
  const again = () => {
    setSource("");
    if (tries < TRIES) setTimeout(() => setTries(tries + 1), AGAIN);
  };
  return html`<div class="picture">${source ? html`<img src=${source} alt="" loading="lazy" onError=${again} />` : ""}</div>`;
}
