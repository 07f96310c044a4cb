/** Several files at once: choosing them, moving, deleting and queueing them; and new folders. */

import {address, newFolder, post, remove} from "./api.mjs";
import {html, signal, useEffect, useRef, useState} from "./html.mjs";
import {sections, short} from "./store.mjs";
import {Act, ask, Fail} from "./widgets.mjs";
import {t, tn} from "./words.mjs";

const NAMED = 8; // files that a question names

/** The paths that are chosen; null: none can be, as nobody wants to. */
export const chosen = signal(/** @type {Set<string>|null} */ (null));
const fail = signal("");

/** @param {string} path */
function toggle(path) {
  const next = new Set(chosen.value ?? []);
  if (!next.delete(path)) next.add(path);
  chosen.value = next;
}

/** @param {{file: any}} props */
export function Choose({file}) {
  if (!chosen.value) return null;
  return html`<label class="check pick"><input type="checkbox" checked=${chosen.value.has(file.path)} onChange=${() => toggle(file.path)} />
    <span class="hidden">${t("choose")} ${short(file.name, 80)}</span></label>`;
}

/**
 * Do it with each of them, one after the other; those with which it was done are chosen no more.
 * @param {string[]} paths @param {(path: string) => Promise<unknown>} work @param {() => Promise<unknown>} after
 */
async function each(paths, work, after) {
  const failed = /** @type {string[]} */ ([]);
  let reason = "";
  for (const path of paths) {
    try {
      await work(path);
      if (chosen.value) chosen.value = new Set([...chosen.value].filter(one => one !== path));
    } catch (error) {
      failed.push(path);
      reason = reason || /** @type {Error} */ (error).message;
    }
  }
  await after();
  if (failed.length) throw new Error(`${tn("several_failed", failed.length)} ${reason}`);
}

/** @param {any[]} entries @returns {string[]} paths of all folders */
export function foldersIn(entries) {
  return entries.flatMap(one => (one.type === "folder" ? [one.path, ...foldersIn(one.children ?? [])] : []));
}

/** How many files are in a folder, at any depth. @param {any} entry @returns {number} */
function countOf(entry) {
  return entry.type === "folder" ? (entry.children ?? []).reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + countOf(one), 0) : 1;
}

/** @param {{rows: any[], folders: string[], onDone: () => Promise<unknown>}} props */
export function Several({rows, folders, onDone}) {
  const [target, setTarget] = useState("");
  const [queued, setQueued] = useState(0);
  if (!chosen.value) return null;
  const paths = [...chosen.value];
  const none = paths.length ? "" : t("none_chosen");
  const inside = (/** @type {string} */ path) => {
    const folder = rows.find(one => one.path === path && one.type === "folder");
    return folder ? `/ (${tn("files", countOf(folder))})` : "";
  };
  const sure = () => ask({
    title: tn("delete_several", paths.length),
    body: html`<ul>${paths.slice(0, NAMED).map(path => html`<li key=${path}>${short(path, 100)}${inside(path)}</li>`)}</ul>
      ${paths.length > NAMED && html`<p>${tn("and_more", paths.length - NAMED)}</p>`}<p>${t("delete_several_body")}</p>`,
    yes: t("delete_yes"),
    no: t("delete_no"),
  });
  const move = () => each(paths, path => post(`api/files/local/${address(path)}`, {command: "move", destination: `${target ? `${target}/` : ""}${path.split("/").at(-1)}`}), onDone);
  const queue = () => {
    setQueued(0);
    return each(paths.filter(path => rows.some(one => one.path === path && one.type !== "folder")), path => post("api/queue", {command: "add", path}).then(() => setQueued(count => count + 1)), async () => {});
  };
  return html`<div class="notice several"><div class="row apart"><b role="status">${tn("chosen", paths.length)}</b>
      <span class="row"><button type="button" class="small" onClick=${() => (chosen.value = new Set(rows.map(one => one.path)))}>${t("choose_all")}</button>
      <button type="button" class="small" onClick=${() => (chosen.value = null)}>${t("choose_end")}</button></span></div>
    <div class="row"><label>${t("move_to")} <select value=${target} onChange=${(/** @type {any} */ event) => setTarget(event.target.value)}>
        <option value="">/</option>${folders.map(path => html`<option key=${path} value=${path}>${short(path, 60)}</option>`)}</select></label>
      <${Act} label=${t("move_verb")} busy=${t("moving")} run=${move} off=${none} fail=${fail} />
      ${sections.value.queue && html`<${Act} label=${t("queue_verb")} run=${queue} off=${none} fail=${fail} />`}</div>
    <div class="row"><${Act} kind="danger" label=${t("delete")} busy=${t("deleting")} sure=${sure}
      run=${() => each(paths, path => remove(`api/files/local/${address(path)}`), onDone)} off=${none} fail=${fail} /></div>
    <${Queued} count=${queued} /><${Fail} of=${fail} /></div>`;
}

/** How many have been put into the queue, and where it is. @param {{count: number}} props */
export function Queued({count}) {
  return html`<p class="good" role="status">${count > 0 && html`${tn("queued", count)} <a href="#history">${t("view_history")}</a>`}</p>`;
}

/** Asks for the name of a new folder. @param {{parent: string, close: () => void, onDone: () => Promise<unknown>}} props */
export function NewFolder({parent, close, onDone}) {
  const [name, setName] = useState("");
  const field = useRef(/** @type {HTMLInputElement|null} */ (null));
  useEffect(() => field.current?.focus(), []);
  const [pending, setPending] = useState(false);
  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    if (pending) return;
    fail.value = name.trim() && !name.includes("/") ? "" : t("name_wrong");
    if (fail.value) return;
    setPending(true);
    try {
      await newFolder(name.trim(), parent);
      close();
      await onDone();
    } catch (error) {
      fail.value = /** @type {Error} */ (error).message;
    }
    setPending(false);
  }
  return html`<form class="notice several" aria-label=${t("new_folder")} onSubmit=${submit}><div class="row">
    <label>${t("new_folder")} <input ref=${field} maxlength="200" value=${name}
      onInput=${(/** @type {any} */ event) => setName(event.target.value)} onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && close()} /></label>
      <button type="submit" class="main" aria-busy=${pending}>${t("create")}</button><button type="button" onClick=${close}>${t("no_folder")}</button></div>
    <${Fail} of=${fail} /></form>`;
}
