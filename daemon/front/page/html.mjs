/** The parts of the libraries that views use, from one module. */

import {h, render} from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";

export {h, render};
export {useEffect, useErrorBoundary, useLayoutEffect, useRef, useState} from "./vendor/hooks.mjs";
export {signal, computed, effect, batch, useSignal, useComputed} from "./vendor/signals.mjs";

/** Templates: a value in them becomes a text node, whatever it contains. */
export const html = htm.bind(h);

/** An event handler that passes on what a field holds. @param {(value: any) => unknown} set @returns {(event: any) => unknown} */
export const onValue = set => event => set(event.target.value);
/** An event handler that passes on whether a box is ticked. @param {(checked: boolean) => unknown} set @returns {(event: any) => unknown} */
export const onChecked = set => event => set(event.target.checked);
