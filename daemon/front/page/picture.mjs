/** The slicer's picture of a file. The request needs the key, so an <img> cannot load it on its own. */

import {picture} from "./api.mjs";
import {html, useEffect, useState} from "./html.mjs";

/** @param {{path: string|null|undefined, alt?: string}} props */
export function Picture({path, alt = ""}) {
  const [source, setSource] = useState("");
  useEffect(() => {
    setSource("");
    if (!path) return;
    let fetched = "";
    let isMounted = true;
    picture(path.replace(/^\//, "")).then(
      address => {
        fetched = address;
        if (isMounted) setSource(address);
        else URL.revokeObjectURL(address);
      },
      () => {},
    );
    return () => {
      isMounted = false;
      if (fetched) URL.revokeObjectURL(fetched);
    };
  }, [path]);
  return html`<div class="picture">${source ? html`<img src=${source} alt=${alt} />` : ""}</div>`;
}
