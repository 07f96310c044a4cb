/** Dragging an entry of a list to another place, by mouse or finger; for the keyboard a list has buttons. */

import {html, signal} from "./html.mjs";

/** The entry that is being dragged, and the index before which it would be dropped. */
const drag = signal(/** @type {{id: string|number, before: number}|null} */ (null));

/**
 * The grip of an entry in an <ol>.
 * @param {{id: string|number, at: number, title: string, move: (before: number) => Promise<unknown>, fail: any}} props `at`: the
 *   entry's index; `move` puts it before the entry at another index
 */
export function Grip({id, at, title, move, fail}) {
  const over = (/** @type {any} */ event) => {
    if (drag.value?.id !== id) return;
    const rows = [...event.target.closest("ol").children];
    const below = rows.findIndex(row => event.clientY < row.getBoundingClientRect().top + row.offsetHeight / 2);
    const before = below < 0 ? rows.length : below;
    if (before !== drag.value.before) drag.value = {id, before};
  };
  const drop = () => {
    const {before = at, id: dragged} = drag.value ?? {};
    drag.value = null;
    if (dragged !== id || before === at || before === at + 1) return; // it stays in its place
    fail.value = "";
    move(before).catch(error => (fail.value = error.message));
  };
  const take = (/** @type {any} */ event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    event.target.setPointerCapture(event.pointerId);
    drag.value = {id, before: at};
  };
  return html`<span class="grip" aria-hidden="true" title=${title} onPointerDown=${take} onPointerMove=${over} onPointerUp=${drop}
    onPointerCancel=${() => (drag.value = null)}>⠿</span>`;
}

/** The class that shows where a dragged entry would land. @param {string|number} id @param {number} at @param {number} last Index of the last entry. */
export function dropMark(id, at, last) {
  const {id: dragged, before} = drag.value ?? {};
  return dragged === id ? "dragged" : before === at ? "over" : before === last + 1 && at === last ? "under" : "";
}
