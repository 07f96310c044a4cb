/** The temperatures of the last half hour as curves, with a summary in words for screen readers. */

import {computed, html, useEffect, useRef, useState} from "./html.mjs";
import {heaterName, heaterRank} from "./state.mjs";
import {isStale, now, temperatures} from "./store.mjs";
import {t} from "./words.mjs";

const SPAN = 1800; // s
const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [240, 36, 76, 12, 28];
const MAX_POINTS = 360; // of a curve
/** Changes every two seconds, in which the chart moves by less than a pixel. */
const redrawTick = computed(() => Math.floor(now.value / 2000));

/** Degrees between two rules of a chart that ends at `top`. @param {number} top */
function step(top) {
  return top > 200 ? 100 : top > 80 ? 50 : 20;
}

export function Chart() {
  const box = useRef(/** @type {HTMLElement|null} */ (null));
  const [width, setWidth] = useState(560);
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(Math.max(240, Math.round(entry.contentRect.width))));
    if (box.current) watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  return html`<div ref=${box}><${Curves} width=${width} /></div>`;
}

/** @param {{width: number}} props */
function Curves({width: WIDTH}) {
  void redrawTick.value; // moves on as time passes
  const end = Date.now() / 1000;
  const points = temperatures.peek().length ? temperatures.peek() : temperatures.value; // subscribes only until the first point has come
  const rows = points.filter(([at]) => at > end - SPAN);
  if (!rows.length) return html`<p class="empty chart">${t("chart_empty")}</p>`;
  const names = [...new Set(rows.flatMap(([, row]) => Object.keys(row)))].sort((a, b) => heaterRank(a) - heaterRank(b)).slice(0, 6);
  const colours = coloursOf(names);
  const top = rows.reduce((highest, [, row]) => Math.max(highest, ...names.flatMap(name => row[name] ?? []).map(value => value ?? 0)), 50);
  const ceiling = Math.ceil((top * 1.05) / step(top)) * step(top);
  const x = (/** @type {number} */ at) => LEFT + ((at - (end - SPAN)) / SPAN) * (WIDTH - LEFT - RIGHT);
  const y = (/** @type {number} */ value) => HEIGHT - BOTTOM - (value / ceiling) * (HEIGHT - TOP - BOTTOM);
  const every = Math.ceil(rows.length / MAX_POINTS);
  const few = rows.filter((_, index) => index % every === 0 || index === rows.length - 1);
  /** @param {string} name @param {0|1} which */
  const path = (name, which) => {
    let pen = "M";
    let before = 0;
    return few.map(([at, row]) => {
      const value = row[name]?.[which];
      if (typeof value !== "number" || (which && !value)) {
        pen = "M";
        return "";
      }
      if (at - before > 30 * every) pen = "M";
      const point = `${pen}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
      before = at;
      return point;
    }).join("");
  };
  const rules = [];
  for (let value = 0; value <= ceiling; value += step(top)) rules.push(value);
  const ends = labels(names, rows, y);
  return html`<figure class=${isStale.value ? "chart past-it" : "chart"}>
    <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${summary(names, rows)}>
      ${rules.map(value => html`<g key=${value} class="rule"><path d=${`M${LEFT} ${y(value)}H${WIDTH - RIGHT}`} />
        <text x=${LEFT - 6} y=${y(value) + 4} text-anchor="end">${value}</text></g>`)}
      ${(WIDTH < 420 ? [30, 15, 0] : [30, 20, 10, 0]).map(minutes => html`<text key=${minutes} class="axis" x=${x(end - minutes * 60)} y=${HEIGHT - 6}
        text-anchor="middle">${minutes ? t("chart_ago", {n: minutes}) : t("chart_now")}</text>`)}
      ${names.map((name, index) => html`<g key=${name} class=${`line l${colours[index]}`}>
        <path class="goal" d=${path(name, 1)} /><path d=${path(name, 0)} />
        <text x=${WIDTH - RIGHT + 8} y=${ends[index]}>${heaterName(name).slice(0, 10)}</text></g>`)}
    </svg>
    <figcaption>${t("chart_caption")}</figcaption>
  </figure>`;
}

/** Colour numbers by heater: the first nozzle and the bed always have the same. @param {string[]} names */
function coloursOf(names) {
  let next = 2;
  return names.map(name => (name === "tool0" ? 0 : name === "bed" ? 1 : next++));
}

/**
 * Heights of the names at the ends of the curves, moved apart where they would overlap.
 * @param {string[]} names @param {any[]} rows @param {(value: number) => number} y
 */
function labels(names, rows, y) {
  const last = rows.at(-1)[1];
  const wanted = names.map((name, index) => ({index, at: y(last[name]?.[0] ?? 0) + 4})).sort((a, b) => a.at - b.at);
  const heights = /** @type {number[]} */ ([]);
  let before = -Infinity;
  for (const each of wanted) {
    before = Math.max(each.at, before + 15);
    heights[each.index] = before;
  }
  const over = before - (HEIGHT - BOTTOM + 4);
  return over > 0 ? heights.map(height => height - over) : heights;
}

/** @param {string[]} names @param {any[]} rows */
function summary(names, rows) {
  const sentences = names.map(name => {
    const values = rows.map(([, row]) => row[name]?.[0]).filter(value => typeof value === "number");
    if (!values.length) return ""; // the printer has not said how warm it is
    return t("chart_summary", {
      name: heaterName(name),
      least: Math.round(Math.min(...values)),
      most: Math.round(Math.max(...values)),
      last: Math.round(values[values.length - 1]),
    });
  });
  return `${t("chart_caption")} ${sentences.filter(Boolean).join(" ")}`;
}
