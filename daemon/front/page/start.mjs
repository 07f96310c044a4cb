/** The question before a print: a finger may stray in a list, and a printer that has stopped itself wants to be looked at. */

import {html} from "./html.mjs";
import {halted} from "./state.mjs";
import {short} from "./store.mjs";
import {ask} from "./widgets.mjs";
import {t} from "./words.mjs";

/** @param {string} name Of the file. @param {() => boolean} holds */
export function sureToStart(name, holds) {
  const {text} = halted.value ?? {};
  return ask({
    title: t("start_title", {name: short(name, 80)}),
    body: text ? html`<p class="bad">${t("start_halted")} ${short(text, 300)}</p><p>${t("start_body")}</p>` : t("start_body"),
    yes: t("start_yes"),
    no: t("start_no"),
    kind: text ? "danger" : "main",
    holds,
  });
}
