/** Draws layers on a canvas, as seen from above. Colours come from toolpath.css. */

import {UNITS} from "./toolpath_data.mjs";

/** @typedef {import("./toolpath_data.mjs").Layer} Layer */

export const KINDS = ["travel", "other", "outer", "inner", "overhang", "infill", "solid", "top", "bottom", "bridge", "gap",
  "ironing", "skirt", "raft", "support", "interface", "tower"];
const WIDTH = 0.42; // mm of a line, as most nozzles lay it
const MARGIN = 12; // px around what is shown

/** Colours of kinds, and of all else that is drawn. @param {Element} element */
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
 * Where things are on the canvas: the box, in mm, in the middle of it.
 * @param {number[]} box @param {number} width @param {number} height
 */
export function viewOf(box, width, height) {
  const [x, y] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
  const scale = Math.min((width - 2 * MARGIN) / Math.max(1, box[2] - box[0]), (height - 2 * MARGIN) / Math.max(1, box[3] - box[1]));
  return {scale, left: width / 2 - x * scale, bottom: height / 2 + y * scale, width, height};
}
/** @typedef {ReturnType<typeof viewOf>} View */

/** The bed in mm as its profile says: least X and Y, most X and Y; null where nobody knows. @param {Record<string, any>} profile */
export function bedOf(profile) {
  const {width, depth, origin} = profile;
  if (!width || !depth) return null;
  return origin === "center" ? [-width / 2, -depth / 2, width / 2, depth / 2] : [0, 0, width, depth];
}

/** Make a canvas as fine as the screen is; returns its context, in px of the page. @param {HTMLCanvasElement} canvas */
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
 * Draw lines of a layer: those to the vertices from `begin` to before `end`, a part of the last one included.
 * @param {CanvasRenderingContext2D} context @param {View} view @param {Layer} layer
 * @param {{begin?: number, end?: number, colour: (kind: number) => string, hidden?: Set<number>, travel?: boolean}} how
 */
export function drawLayer(context, view, layer, {begin = 0, end = layer.count, colour, hidden, travel = false}) {
  const {scale, left, bottom} = view;
  const paths = /** @type {Path2D[]} */ ([]);
  const last = /** @type {number[]} */ ([]);
  const one = scale / UNITS;
  const whole = Math.min(layer.count, Math.ceil(end));
  for (let index = Math.floor(begin); index < whole; index += 1) {
    const kind = layer.kind[index];
    if (kind ? hidden?.has(kind) : !travel) continue;
    paths[kind] ??= new Path2D();
    const path = paths[kind];
    let [x, y] = [layer.x[index], layer.y[index]];
    const [fromX, fromY] = index ? [layer.x[index - 1], layer.y[index - 1]] : layer.begin;
    if (last[kind] !== index - 1 || index === 0) path.moveTo(left + fromX * one, bottom - fromY * one);
    if (index + 1 > end) [x, y] = [fromX + (x - fromX) * (end - index), fromY + (y - fromY) * (end - index)];
    path.lineTo(left + x * one, bottom - y * one);
    last[kind] = index;
  }
  context.lineJoin = context.lineCap = "round";
  paths.forEach((path, kind) => {
    context.strokeStyle = colour(kind);
    context.lineWidth = kind ? Math.max(1, Math.min(WIDTH * scale, 6) * 0.8) : 1;
    context.setLineDash(kind ? [] : [3, 3]);
    context.stroke(path);
  });
  context.setLineDash([]);
}

/** @param {CanvasRenderingContext2D} context @param {View} view @param {number[]} place @param {Palette} colours */
export function drawNozzle(context, view, place, colours) {
  context.clearRect(0, 0, view.width, view.height);
  context.beginPath();
  context.arc(view.left + (place[0] / UNITS) * view.scale, view.bottom - (place[1] / UNITS) * view.scale, 6, 0, 7);
  context.fillStyle = colours.done;
  context.strokeStyle = colours.back;
  context.lineWidth = 2;
  context.fill();
  context.stroke();
}
