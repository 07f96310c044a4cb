/** Choosing several files to move, delete or queue them; and making folders. */

import {address, newFolder, post, remove} from "./api.mjs";
import {html, onValue, signal, useEffect, useRef, useState} from "./html.mjs";
import {sections, short} from "./store.mjs";
import {Act, ask, attempt, Fail} from "./widgets.mjs";
import {t, tn} from "./words.mjs";

const MAX_NAMES = 8; // in a question

/** The paths that are chosen; null: choosing is off. */
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
 * Do something with each path, one after the other; those that succeed are no longer chosen.
 * @param {string[]} paths @param {(path: string) => Promise<unknown>} work @param {() => Promise<unknown>} after
 */
async function forEach(paths, work, after) {
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
export function countOf(entry) {
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
    body: html`<ul>${paths.slice(0, MAX_NAMES).map(path => html`<li key=${path}>${short(path, 100)}${inside(path)}</li>`)}</ul>
      ${paths.length > MAX_NAMES && html`<p>${tn("and_more", paths.length - MAX_NAMES)}</p>`}<p>${t("delete_several_body")}</p>`,
    yes: t("delete_yes"),
    no: t("delete_no"),
  });
  const move = () => forEach(paths, path => {
    const destination = `${target ? `${target}/` : ""}${path.split("/").at(-1)}`;
    return post(`api/files/local/${address(path)}`, {command: "move", destination});
  }, onDone);
  const isFile = new Set(rows.filter(one => one.type !== "folder").map(one => one.path));
  const files = paths.filter(path => isFile.has(path));
  const noFile = none || (files.length ? "" : t("only_folders"));
  const queue = () => {
    setQueued(0);
    return forEach(files, path => post("api/queue", {command: "add", path}).then(() => setQueued(count => count + 1)), async () => {});
  };
  return html`<div class="notice several"><div class="row apart"><b role="status">${tn("chosen", paths.length)}</b>
      <span class="row"><button type="button" class="small" onClick=${() => (chosen.value = new Set(rows.map(one => one.path)))}>${t("choose_all")}</button>
      <button type="button" class="small" onClick=${() => (chosen.value = null)}>${t("choose_end")}</button></span></div>
    <div class="row"><label>${t("move_to")} <select value=${target} onChange=${onValue(setTarget)}>
        <option value="">/</option>${folders.map(path => html`<option key=${path} value=${path}>${short(path, 60)}</option>`)}</select></label>
      <${Act} label=${t("move_verb")} busy=${t("moving")} run=${move} off=${none} fail=${fail} />
      ${sections.value.queue && html`<${Act} label=${t("queue_verb")} run=${queue} off=${noFile} fail=${fail} />`}</div>
    <div class="row"><${Act} kind="danger" label=${t("delete")} busy=${t("deleting")} sure=${sure}
      run=${() => forEach(paths, path => remove(`api/files/local/${address(path)}`), onDone)} off=${none} fail=${fail} /></div>
    <${Queued} count=${queued} /><${Fail} of=${fail} /></div>`;
}

/** How many files were added to the queue, with a link to it. @param {{count: number}} props */
export function Queued({count}) {
  return html`<p class="good" role="status">${count > 0 && html`${tn("queued", count)} <a href="#history">${t("view_history")}</a>`}</p>`;
}

/** A form for a new folder. @param {{parent: string, close: () => void, onDone: () => Promise<unknown>}} props */
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
    await attempt(fail, async () => {
      await newFolder(name.trim(), parent);
      close();
      await onDone();
    });
    setPending(false);
  }
  return html`<form class="notice several" aria-label=${t("new_folder")} onSubmit=${submit}><div class="row">
    <label>${t("new_folder")} <input ref=${field} maxlength="200" value=${name}
      onInput=${onValue(setName)} onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && close()} /></label>
      <button type="submit" class="main" aria-busy=${pending}>${t("create")}</button><button type="button" onClick=${close}>${t("no_folder")}</button></div>
    <${Fail} of=${fail} /></form>`;
}
