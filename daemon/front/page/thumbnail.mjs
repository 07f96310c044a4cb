/** Pictures in lists: the browser loads those in sight, by signed addresses that need no key for a while. */

import {post} from "./api.mjs";
import {html, useEffect, useState} from "./html.mjs";

const BATCH = 200; // addresses in one request
const MAX_ADDRESSES = 2000;
const MAX_TRIES = 5;
const RETRY_DELAY = 2000; // ms
const LIFETIME = 9 * 60e3; // ms; the server's addresses expire after ten minutes

/** @type {Map<string, {address: Promise<string>, until: number}>} */
const addresses = new Map();
/** @type {Map<string, (address: string) => void>} */
let waiting = new Map();

async function sign() {
  const batch = [...waiting];
  waiting = new Map();
  for (let at = 0; at < batch.length; at += BATCH) {
    const some = batch.slice(at, at + BATCH);
    const {links} = await post("api/links", {paths: some.map(([path]) => path)}).catch(() => ({links: {}}));
    for (const [path, done] of some) {
      if (!links[path]) addresses.delete(path);
      done((links[path] ?? "").replace(/^\//, ""));
    }
  }
}

/** The signed address of a picture; those that are requested at the same moment share a request. @param {string} path @returns {Promise<string>} */
function addressOf(path) {
  const old = addresses.get(path);
  if (old && performance.now() < old.until) return old.address;
  if (addresses.size > MAX_ADDRESSES) addresses.clear();
  const address = new Promise(resolve => {
    if (!waiting.size) setTimeout(sign);
    waiting.set(path, resolve);
  });
  addresses.set(path, {address, until: performance.now() + LIFETIME});
  return address;
}

/** @param {{path: string|null|undefined}} props */
export function Thumbnail({path}) {
  const [source, setSource] = useState("");
  const [tries, setTries] = useState(0);
  useEffect(() => setTries(0), [path]);
  useEffect(() => {
    let isMounted = true;
    setSource("");
    if (path) addressOf(path).then(address => isMounted && setSource(address));
    return () => {
      isMounted = false;
    };
  }, [path, tries]);
  // the picture of a file that was moved exists again once the file has been analysed
  const again = () => {
    setSource("");
    if (path) addresses.delete(path); // it is no longer valid if nozzled has been restarted
    if (tries < MAX_TRIES) setTimeout(() => setTries(tries + 1), RETRY_DELAY);
  };
  return html`<div class="picture">${source ? html`<img src=${source} alt="" loading="lazy" onError=${again} />` : ""}</div>`;
}
