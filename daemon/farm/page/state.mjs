/** What this browser may do, under the names that the modules of a printer's page import. */

import {computed} from "./html.mjs";
import {isStale, me, net} from "./store.mjs";
import {t} from "./words.mjs";

/** Why this browser cannot change anything now; empty: it can. */
export const whyReadOnly = computed(() => {
  if (me.value.scope === "read") return t("why_read");
  return net.value.state !== "live" || isStale.value ? t("why_no_link") : "";
});
export const isAdmin = computed(() => me.value.scope === "admin");
