/** The question before a print starts, as a finger may slip in a list, and a printer that halted should be checked first. */

import {html, useEffect, useState} from "./html.mjs";
import {halted} from "./state.mjs";
import {sections, short} from "./store.mjs";
import {ask} from "./widgets.mjs";
import {t} from "./words.mjs";

/** Warnings about the spools on the tools, where Spoolman tracks them. @param {{path: string}} props */
function Spools({path}) {
  const [Part, setPart] = useState(/** @type {any} */ (null));
  useEffect(() => void import("./notices.mjs").then(module => setPart(() => module.SpoolWarnings), () => {}), []);
  return Part && html`<${Part} path=${path} />`;
}

/** @param {string} name Of the file. @param {() => boolean} holds @param {string} [path] */
export function sureToStart(name, holds, path) {
  const {text} = halted.value ?? {};
  return ask({
    title: t("start_title", {name: short(name, 80)}),
    body: html`${text && html`<p class="bad">${t("start_halted")} ${short(text, 300)}</p>`}${path && sections.value.companions?.notify && html`<${Spools} path=${path} />`}<p>${t("start_body")}</p>`,
    yes: t("start_yes"),
    no: t("start_no"),
    kind: text ? "danger" : "main",
    holds,
  });
}
