/** What every view needs of the libraries, under one roof. */

import {h, render} from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";

export {h, render};
export {useEffect, useLayoutEffect, useRef, useState} from "./vendor/hooks.mjs";
export {signal, computed, effect, batch, useSignal, useComputed} from "./vendor/signals.mjs";

/** Templates: text in them becomes text nodes, whatever is in it. */
export const html = htm.bind(h);
