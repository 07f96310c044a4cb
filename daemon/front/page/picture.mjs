/** A picture of the slicer; the request needs the key, so the browser cannot load it by itself. */

import {picture} from "./api.mjs";
import {html, useEffect, useState} from "./html.mjs";

/** @param {{path: string|null|undefined, alt?: string}} props */
export function Picture({path, alt = ""}) {
  const [source, setSource] = useState("");
  useEffect(() => {
    setSource("");
    if (!path) return;
    let made = "";
    let wanted = true;
    picture(path.replace(/^\//, "")).then(
      address => {
        made = address;
        if (wanted) setSource(address);
        else URL.revokeObjectURL(address);
      },
      () => {},
    );
    return () => {
      wanted = false;
      if (made) URL.revokeObjectURL(made);
    };
  }, [path]);
  return html`<div class="picture">${source ? html`<img src=${source} alt=${alt} />` : ""}</div>`;
}
