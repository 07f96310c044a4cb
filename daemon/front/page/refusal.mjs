/** Why a file is refused; it can be printed anyway after the user has confirmed having read the reasons. */

import {address, Failure, get, postStart} from "./api.mjs";
import {html, onChecked, signal, useEffect, useState} from "./html.mjs";
import {isActive, whyNoPrinter} from "./state.mjs";
import {job, short} from "./store.mjs";
import {Act, Fail, Modal} from "./widgets.mjs";
import {t, tn, why} from "./words.mjs";

const fail = signal("");
/** The file that was just refused; null: none. */
export const refusedFile = signal(/** @type {{path: string, name: string, reasons: string[]}|null} */ (null));

/**
 * Show why a file was refused, if its own errors are the reason; otherwise throw the error.
 * @param {unknown} error Of the request to print it. @param {string} path
 */
export async function showRefusal(error, path) {
  const file = error instanceof Failure && error.status === 409 ? await get(`api/files/local/${address(path)}`).catch(() => null) : null;
  if (!file?.gcodeAnalysis?.errors?.length || whyNoPrinter.value || isActive.value) throw error;
  refusedFile.value = {path, name: file.name, reasons: [/** @type {Error} */ (error).message]};
}

/** The refusal as a dialog over any view. */
export function Refused() {
  const close = () => (refusedFile.value = null);
  if (!refusedFile.value) return null;
  return html`<${Modal} name="refused" close=${close}><${Refusal} ...${refusedFile.value} onDone=${close} /><//>`;
}

/** @param {{path: string, name: string, reasons?: string[]|string, onDone?: () => void}} props */
export function Refusal({path, name, reasons, onDone}) {
  const ownReasons = Array.isArray(reasons) ? reasons : reasons ? [reasons] : [];
  const [analysis, setAnalysis] = useState(/** @type {{errors: string[], warnings: string[]}|null} */ (null));
  const [read, setRead] = useState(false);
  useEffect(() => {
    let isCurrent = true;
    const show = (/** @type {any} */ findings) => isCurrent && setAnalysis(findings);
    setRead(false); // the user has read other reasons
    setAnalysis(null);
    fail.value = "";
    get(`api/files/local/${address(path)}`).then(file => show(file.gcodeAnalysis ?? null), () => show(null));
    return () => {
      isCurrent = false;
    };
  }, [path, ownReasons.join("\n")]);
  const errors = analysis?.errors?.length ? analysis.errors : ownReasons;
  const warnings = analysis?.warnings ?? [];
  return html`<section class="card notice bad refusal" role="alert">
    <h2 id="refused">${t("refused_title", {name: short(name, 80)})}</h2>
    <p>${tn("refused_count", errors.length)}</p>
    <ul>${errors.map((each, index) => html`<li key=${index}>${short(why(each), 400)}</li>`)}</ul>
    ${warnings.length > 0 && html`<p>${tn("warnings", warnings.length)}</p>
      <ul>${warnings.map((each, index) => html`<li key=${index}>${short(why(each), 400)}</li>`)}</ul>`}
    <label class="check"><input type="checkbox" checked=${read}
      onChange=${onChecked(setRead)} /> ${t("refused_read")}</label>
    <div class="row apart">
      ${onDone && html`<button type="button" autofocus onClick=${onDone}>${t("refused_leave")}</button>`}
      ${read && html`<${Act} kind="danger" label=${tn("print_anyway", errors.length)} busy=${t("starting")} off=${whyNoPrinter.value}
        run=${async () => {
          await postStart(`api/files/local/${address(path)}`, {command: "select", print: true, force: true});
          onDone?.();
          location.hash = "#now";
        }} done=${() => Boolean(job.value.active)} fail=${fail} />`}
    </div>
    <${Fail} of=${fail} />
  </section>`;
}
