/** Keeps an error in one part of the page from ending the others: Stop above all. */

import {html, useErrorBoundary} from "./html.mjs";
import {short, t} from "./words.mjs";

/** Shows its children, or that they cannot be shown. @param {{children?: any}} props */
export function Guard({children}) {
  const [error, retry] = useErrorBoundary(each => reportError(each)); // as if nothing had caught it
  if (!error) return children;
  return html`<section class="card notice bad" role="alert"><p>${t("part_failed")} ${short(error.message ?? error, 200)}</p>
    <button type="button" onClick=${retry}>${t("try_again")}</button></section>`;
}
