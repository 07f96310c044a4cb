/** The view Jobs: the list in its order, why a job waits, its copies, and the form to change it. */

import {address, get, patch, post, remove} from "./api.mjs";
import {clock, duration, number, plain, requirements, sentence, short, t, tn, typed, why} from "./farm_words.mjs";
import {html, signal, useEffect, useState} from "./html.mjs";
import {JobFields} from "./job_fields.mjs";
import {countsOf, fieldsOf, localTime, moveTarget} from "./kinds.mjs";
import {Orphans} from "./orphans.mjs";
import {dropMark, Grip} from "./reorder.mjs";
import {whyReadOnly} from "./state.mjs";
import {jobs, orphans} from "./store.mjs";
import {Act, ask, attempt, Fail} from "./widgets.mjs";

const PAGE_SIZE = 100; // jobs in one answer
const MAX_COPIES = 50; // that are shown of a job

const fail = signal("");
/** The jobs after those that the stream sends, as they were when they were loaded. */
const furtherJobs = signal(/** @type {import("./kinds.mjs").FarmJob[]} */ ([]));

/** @param {{job: import("./kinds.mjs").FarmJob}} props */
function Counts({job}) {
  const counts = countsOf(job, orphans.value);
  const parts = ["done", "printing", "unknown", "waiting", "failed", "cancelled"].filter(each => counts[/** @type {keyof typeof counts} */ (each)] > 0)
    .map(each => t(`count_${each}`, {n: number(counts[/** @type {keyof typeof counts} */ (each)])}));
  return html`<progress max=${counts.all} value=${counts.done} aria-label=${t("progress_of", {name: short(job.name, 60)})}></progress>
    <p>${parts.join(" · ")}</p>`;
}

/** @param {{copy: import("./kinds.mjs").FarmCopy, name: string}} props */
function Copy({copy, name}) {
  const fullName = t("copy_of", {n: copy.number, name});
  const at = `api/farm/copies/${address(copy.id)}`;
  const isOver = ["done", "failed", "cancelled"].includes(copy.state);
  const body = html`<p>${t(isOver || copy.state === "waiting" ? "cancel_copy_body" : "cancel_copy_printing")}</p>`;
  const sure = () => ask({title: t("cancel_title", {name: fullName}), body, yes: t("cancel_yes"), no: t("cancel_no")});
  return html`<li class="past"><span class="what"><span>${t("copy_n", {n: number(copy.number)})}: <b>${t(`copy_${copy.orphan ? "orphan" : copy.state}`)}</b></span>
      <small>${[copy.printer && short(copy.printer, 40), clock(copy.since), copy.cancelling && t("cancelling")].filter(Boolean).join(" · ")}</small>
      ${copy.reason && html`<small class=${copy.state === "failed" ? "bad" : ""}>${short(why(copy.reason), 300)}</small>`}</span>
    ${isOver ? html`<${Act} label=${t("again")} name=${`${t("again")}: ${fullName}`} run=${() => post(`${at}/again`, {})} fail=${fail} />`
      : html`<${Act} kind="danger" label=${t("cancel")} name=${`${t("cancel")}: ${fullName}`} sure=${sure} run=${() => post(`${at}/cancel`, {})} fail=${fail} />`}</li>`;
}

/** The details of a job: why it waits, its notes, and its copies. @param {{job: import("./kinds.mjs").FarmJob}} props */
function Details({job}) {
  const [wholeJob, setWholeJob] = useState(/** @type {any} */ (null));
  const [loadFail, setLoadFail] = useState("");
  useEffect(() => {
    let isMounted = true;
    get(`api/farm/jobs/${address(job.id)}`).then(answer => isMounted && setWholeJob(answer), error => isMounted && setLoadFail(error.message));
    return () => {
      isMounted = false;
    };
  }, [job]);
  if (!wholeJob) return html`<p class="empty">${loadFail || t("loading")}</p>`;
  const copies = wholeJob.copy_list ?? [];
  return html`<div class="details">
    ${(wholeJob.why ?? []).length > 0 && html`<div><h3>${t("why_waiting")}</h3>
      <ul>${wholeJob.why.map((/** @type {string} */ each) => html`<li key=${each}>${short(sentence(each), 400)}</li>`)}</ul></div>`}
    ${job.notes && html`<p>${short(job.notes, 1000)}</p>`}
    <p class="dim">${[job.seconds > 0 && t("one_takes", {time: duration(job.seconds)}),
      t("submitted", {time: clock(wholeJob.created), who: short(wholeJob.by || "–", 40)})].filter(Boolean).join(" · ")}</p>
    <ul class="plainlist">${copies.slice(0, MAX_COPIES).map((/** @type {any} */ each) => html`<${Copy} key=${each.id} copy=${each} name=${short(job.name, 60)} />`)}</ul>
    ${copies.length > MAX_COPIES && html`<p>${tn("and_more", copies.length - MAX_COPIES)}</p>`}</div>`;
}

/** @param {{job: import("./kinds.mjs").FarmJob, close: () => void}} props */
function Edit({job, close}) {
  const [form, setForm] = useState(() => ({
    copies: String(job.copies), material: job.material, colour: job.colour, nozzle_mm: job.nozzle_mm ? plain(job.nozzle_mm) : "",
    group: job.group, priority: String(job.priority), due: localTime(job.due), notes: job.notes,
  }));
  const [revision] = useState(job.revision); // the server refuses the form if the job was changed after it was opened
  const [pending, setPending] = useState(false);
  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    if (pending) return;
    const {fields, wrong} = fieldsOf(form, typed);
    fail.value = wrong ? t("wrong_field", {field: t(`field_${wrong}`)}) : "";
    if (wrong) return;
    setPending(true);
    const empty = {material: "", colour: "", nozzle_mm: 0, group: "", priority: 0, due: null, notes: ""};
    const change = () => patch(`api/farm/jobs/${address(job.id)}`, {revision, ...empty, ...fields});
    if (await attempt(fail, change)) close();
    else setPending(false);
  }
  return html`<form class="editing" onSubmit=${submit} onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && close()}>
    <${JobFields} form=${form} set=${setForm} />
    <div class="row"><button type="submit" class="main" aria-busy=${pending}>${t("save")}</button><button type="button" onClick=${close}>${t("close")}</button></div></form>`;
}

/** @param {string} id @param {number} before */
async function move(id, before) {
  const to = moveTarget(jobs.value, id, before);
  if (to !== undefined) await post(`api/farm/jobs/${address(id)}/move`, {before: to});
}

/** @param {{job: import("./kinds.mjs").FarmJob, at: number, last: number, isLive: boolean}} props */
function Job({job, at, last, isLive}) {
  const [open, setOpen] = useState("");
  const name = short(job.name, 80);
  const path = `api/farm/jobs/${address(job.id)}`;
  const counts = countsOf(job);
  const details = t(counts.waiting ? "why_and_copies" : "details");
  const toggle = (/** @type {string} */ what) => () => setOpen(open === what ? "" : what);
  const sure = () => ask({
    title: t("cancel_title", {name}),
    body: html`<p>${counts.waiting > 0 && tn("cancel_job_body", counts.waiting)} ${counts.printing > 0 && tn("cancel_job_printing", counts.printing)}</p>`,
    yes: t("cancel_job_yes"),
    no: t("cancel_no"),
  });
  const named = (/** @type {string} */ label) => `${label}: ${name}`;
  return html`<li class=${`card job-row ${isLive ? dropMark(job.id, at, last) : ""}`}><div class="job-top">${isLive && last > 0 && !whyReadOnly.value && html`<${Grip} id=${job.id} at=${at}
      title=${t("drag")} move=${(/** @type {number} */ before) => move(job.id, before)} fail=${fail} />`}
      <div class="what"><h2>${name} <small>#${job.number}${job.copies > 1 ? ` · ${tn("copies_n", job.copies)}` : ""}</small></h2>
        <p class="dim">${[job.held && t("is_held", {who: short(job.held_by || "–", 40)}), job.site && t("at_site", {site: short(job.site, 40)}), requirements(job),
          job.due && t("due_at", {time: clock(job.due)})].filter(Boolean).join(" · ")}</p><${Counts} job=${job} /></div></div>
    <div class="row"><button type="button" aria-expanded=${open === "details"} aria-label=${named(details)} onClick=${toggle("details")}>${details}</button>
      <button type="button" disabled=${Boolean(whyReadOnly.value)} aria-expanded=${open === "edit"} aria-label=${named(t("edit"))} onClick=${toggle("edit")}>${t("edit")}</button>
      ${isLive && html`<${Act} label="↑" name=${t("move_up", {name})} run=${() => move(job.id, at - 1)} off=${at === 0 ? t("is_first") : ""} fail=${fail} />
        <${Act} label="↓" name=${t("move_down", {name})} run=${() => move(job.id, at + 2)} off=${at === last ? t("is_last") : ""} fail=${fail} />`}
      <${Act} label=${t(job.held ? "release" : "hold")} name=${named(t(job.held ? "release" : "hold"))} run=${() => post(`${path}/${job.held ? "release" : "hold"}`, {})} fail=${fail} />
      <span class="gap"></span><${Act} kind="danger" label=${t("cancel")} name=${named(t("cancel"))} sure=${sure} run=${() => remove(path)} fail=${fail} /></div>
    ${open === "details" && html`<${Details} job=${job} />`}
    ${open === "edit" && html`<${Edit} job=${job} close=${() => setOpen("")} />`}</li>`;
}

export function Jobs() {
  const live = jobs.value;
  const [isEnd, setEnd] = useState(false);
  useEffect(() => () => {
    furtherJobs.value = [];
  }, []);
  const shown = new Set(live.map(each => each.id));
  const further = furtherJobs.value.filter(each => !shown.has(each.id));
  const more = async () => {
    const offset = live.length + further.length;
    const answer = await get(`api/farm/jobs?state=open&limit=${PAGE_SIZE}&offset=${offset}`);
    furtherJobs.value = [...furtherJobs.value, ...answer.jobs];
    setEnd(answer.jobs.length < PAGE_SIZE);
  };
  return html`<h2 class="hidden">${t("view_jobs")}</h2><${Orphans} /><${Fail} of=${fail} />
    ${live.length === 0 && html`<section class="card"><h2>${t("no_jobs")}</h2><p>${t("no_jobs_what")} <a href="#submit">${t("view_submit")}</a></p></section>`}
    <ol class="plainlist">${live.map((job, at) => html`<${Job} key=${job.id} job=${job} at=${at} last=${live.length - 1} isLive=${true} />`)}</ol>
    ${further.length > 0 && html`<p class="dim">${t("further_jobs")}</p><ol class="plainlist" start=${live.length + 1}>
      ${further.map(job => html`<${Job} key=${job.id} job=${job} at=${0} last=${0} isLive=${false} />`)}</ol>`}
    ${live.length >= PAGE_SIZE && !isEnd && html`<${Act} label=${t("show_more")} reads=${true} run=${more} fail=${fail} />`}`;
}
