/** Draws layers on a canvas, seen from above. The colours come from toolpath.css. */

import {UNITS} from "./toolpath_data.mjs";

/** @typedef {import("./toolpath_data.mjs").Layer} Layer */

export const KINDS = ["travel", "other", "outer", "inner", "overhang", "infill", "solid", "top", "bottom", "bridge", "gap",
  "ironing", "skirt", "raft", "support", "interface", "tower"];
const SEGMENT_WIDTH = 0.42; // mm, as a nozzle of 0.4 mm lays it
const FINE = 2; // px of width up to which the shape of a segment's ends is not visible
const MARGIN = 12; // px

/** All colours, from the element's style. @param {Element} element */
export function palette(element) {
  const style = getComputedStyle(element);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return {
    kinds: KINDS.map((_, kind) => colour(`--k${kind}`)),
    bed: colour("--bed"),
    ghost: colour("--ghost"),
    rest: colour("--rest"),
    done: colour("--done"),
    back: colour("--sheet"),
  };
}
/** @typedef {ReturnType<typeof palette>} Palette */

/**
 * The transformation from mm to the canvas, with a box in mm centred on it.
 * @param {number[]} box @param {number} width @param {number} height
 */
export function viewOf(box, width, height) {
  const [x, y] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
  const scale = Math.min((width - 2 * MARGIN) / Math.max(1, box[2] - box[0]), (height - 2 * MARGIN) / Math.max(1, box[3] - box[1]));
  return {scale, left: width / 2 - x * scale, bottom: height / 2 + y * scale, width, height};
}
/** @typedef {ReturnType<typeof viewOf>} View */

/** The bed of a profile in mm: lowest X and Y, highest X and Y; null: unknown. @param {Record<string, any>} profile */
export function bedOf(profile) {
  const {width, depth, origin} = profile;
  if (!width || !depth) return null;
  return origin === "center" ? [-width / 2, -depth / 2, width / 2, depth / 2] : [0, 0, width, depth];
}

/** Match a canvas to the screen's resolution; returns its context, in px of the page. @param {HTMLCanvasElement} canvas */
export function fit(canvas) {
  const [width, height, ratio] = [canvas.clientWidth, canvas.clientHeight, Math.min(3, devicePixelRatio || 1)];
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return {context, width, height};
}

/** @param {CanvasRenderingContext2D} context @param {View} view @param {Record<string, any>} profile @param {Palette} colours */
export function drawBed(context, view, profile, colours) {
  context.clearRect(0, 0, view.width, view.height);
  const bed = bedOf(profile);
  if (!bed) return;
  const [x, y] = [view.left + bed[0] * view.scale, view.bottom - bed[3] * view.scale];
  const [width, height] = [(bed[2] - bed[0]) * view.scale, (bed[3] - bed[1]) * view.scale];
  context.strokeStyle = colours.bed;
  context.lineWidth = 2;
  context.beginPath();
  if (profile.shape === "circular") context.ellipse(x + width / 2, y + height / 2, width / 2, height / 2, 0, 0, 7);
  else context.rect(x, y, width, height);
  context.stroke();
}

/**
 * Draw the segments of a layer that lead to the vertices from `begin` up to `end`; a fraction in `end` is that share of the next
 * segment. `colour` is one for all kinds, or a list by kind.
 * @param {CanvasRenderingContext2D} context @param {View} view @param {Layer} layer
 * @param {{begin?: number, end?: number, colour: string|string[], hidden?: Set<number>, travel?: boolean}} how
 */
export function drawLayer(context, view, layer, {begin = 0, end = layer.count, colour, hidden, travel = false}) {
  const {x: xs, y: ys, kind: kinds} = layer;
  const {scale, left, bottom} = view;
  const one = scale / UNITS;
  const wide = Math.max(1, Math.min(SEGMENT_WIDTH * scale, 6) * 0.8);
  const paths = /** @type {Path2D[]} */ ([]); // by kind; a colour for all kinds uses index 1
  const whole = Math.min(layer.count, Math.ceil(end));
  let index = Math.floor(begin);
  let x = index > 0 ? xs[index - 1] : layer.begin[0];
  let y = index > 0 ? ys[index - 1] : layer.begin[1];
  let before = -1;
  for (; index < whole; index += 1) {
    const [fromX, fromY, kind] = [x, y, kinds[index]];
    x = xs[index];
    y = ys[index];
    if (kind ? hidden?.has(kind) : !travel) {
      before = -1;
      continue;
    }
    const which = kind === 0 || typeof colour !== "string" ? kind : 1;
    paths[which] ??= new Path2D();
    const path = paths[which];
    if (which !== before) path.moveTo(left + fromX * one, bottom - fromY * one);
    before = which;
    const share = index + 1 > end ? end - index : 1;
    path.lineTo(left + (fromX + (x - fromX) * share) * one, bottom - (fromY + (y - fromY) * share) * one);
  }
  context.lineJoin = wide > FINE ? "round" : "bevel";
  context.lineCap = wide > FINE ? "round" : "butt";
  paths.forEach((path, which) => {
    context.strokeStyle = typeof colour === "string" ? colour : colour[which];
    context.lineWidth = which ? wide : 1;
    if (!which) context.setLineDash([3, 3]);
    context.stroke(path);
    if (!which) context.setLineDash([]);
  });
}
