/** How good the connection to the printer is, by the share of lines that the printer requested again. */

import {number, t} from "./words.mjs";

const MANY_RESENDS = 0.01; // share of the lines

/** @param {number} sent @param {number} resends @returns {[string, string]} Tone and text. */
export function connectionQuality(sent, resends) {
  const isBad = resends / Math.max(1, sent) > MANY_RESENDS;
  const [tone, verdict] = isBad ? ["bad", "connection_bad"] : resends ? ["warn", "connection_some"] : ["good", "connection_good"];
  return [tone, `${t("connection_resends", {resends: number(resends), sent: number(sent)})} ${t(verdict)}`];
}
