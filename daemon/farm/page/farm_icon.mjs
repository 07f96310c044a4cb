/** The icons of a printer's page, and those that only the farm's page needs. */

import {html} from "./html.mjs";
import {Icon} from "./widgets.mjs";

/** @type {Record<string, string>} */
const PATHS = {
  bed: "M3 19h18M7 19v-5h10v5M9 10l3-5 3 5",
  list: "M9 6h11M9 12h11M9 18h11M4 6h.01M4 12h.01M4 18h.01",
  add: "M12 5v14M5 12h14",
};

/** @param {{name: string}} props */
export function FarmIcon({name}) {
  if (!(name in PATHS)) return html`<${Icon} name=${name} />`;
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
