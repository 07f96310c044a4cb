/** Copies whose printer does not answer: they are not printed again automatically; a user can enter their outcome. */

import {address, post} from "./api.mjs";
import {clock, short, t, tn} from "./farm_words.mjs";
import {html, signal} from "./html.mjs";
import {orphans, printer} from "./store.mjs";
import {Act, ask, Fail} from "./widgets.mjs";

const MAX_SHOWN = 20;
const fail = signal("");
/** The numbers of new copies that were ordered here, by the id of the orphan. */
const printedAgain = signal(/** @type {Record<string, number>} */ ({}));

/** @param {{copy: import("./kinds.mjs").FarmCopy}} props */
function Orphan({copy}) {
  const name = short(copy.job_name || copy.job, 80);
  const where = short(copy.printer, 40);
  const at = `api/farm/copies/${address(copy.id)}`;
  const isOrphan = () => orphans.value.some(each => each.id === copy.id);
  const sure = () => ask({
    title: t("again_title", {name}),
    body: html`<p>${t("again_body", {printer: where})}</p>`,
    yes: t("again_yes"),
    no: t("again_no"),
    holds: isOrphan,
  });
  const again = async () => {
    const fresh = await post(`${at}/again`, {});
    printedAgain.value = {...printedAgain.value, [copy.id]: fresh.number};
  };
  const settle = (/** @type {string} */ state) => () => post(`${at}/settle`, {state});
  const named = (/** @type {string} */ label) => `${label}: ${name}, ${where}`;
  const since = printer(copy.printer)?.heard;
  return html`<li class="orphan"><p><b>${name}</b> ${t("copy_on", {n: copy.number, printer: where})}. ${t(copy.state === "printing" ? "orphan_printing" : "orphan_claimed",
      {time: since ? clock(since) : "–"})}</p>
    <div class="row"><${Act} label=${t("was_done")} name=${named(t("was_done"))} run=${settle("done")} fail=${fail} />
      <${Act} label=${t("was_failed")} name=${named(t("was_failed"))} run=${settle("failed")} fail=${fail} />
      <${Act} kind="danger" label=${t("again")} name=${named(t("again"))} sure=${sure} run=${again} fail=${fail} />
      ${printedAgain.value[copy.id] && html`<span role="status">${t("again_as", {n: printedAgain.value[copy.id]})}</span>`}</div></li>`;
}

export function Orphans() {
  const all = orphans.value;
  if (!all.length) return null;
  return html`<section class="notice warn orphans" aria-labelledby="orphans"><h2 id="orphans">${tn("orphans", all.length)}</h2><p>${tn("orphans_what", all.length)}</p>
    <${Fail} of=${fail} /><ul class="plainlist">${all.slice(0, MAX_SHOWN).map(each => html`<${Orphan} key=${each.id} copy=${each} />`)}</ul>
    ${all.length > MAX_SHOWN && html`<p>${tn("and_more", all.length - MAX_SHOWN)}</p>`}</section>`;
}
