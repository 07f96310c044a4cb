/**
 * A part in 3D, as segments drawn by WebGL2, with 8 bytes per vertex. It is drawn when something changes, never in a loop. While it
 * moves, layers of a large part are left out; on a device that is too slow, they always are.
 */

import {Failure} from "./api.mjs";
import {UNITS} from "./toolpath_data.mjs";
import {bedOf, KINDS} from "./toolpath_draw.mjs";
import {t} from "./words.mjs";

const MAX_VERTICES = 12e6; // of 8 bytes each
const MAX_MOVING = 250_000; // vertices that are drawn while something moves
const REST_DELAY = 150; // ms without a movement until everything is drawn
const LOAD_INTERVAL = 400; // ms between two pictures while the toolpath is being loaded
const SLOW = 900; // ms for one picture, from which on layers are left out for good
const MAX_COORDINATE = 32000; // in 16 bits

/** A coordinate clamped to 16 bits. @param {number} value */
function clamped(value) {
  return Math.max(-MAX_COORDINATE, Math.min(MAX_COORDINATE, value));
}

const VERTEX = `#version 300 es
layout(location=0) in vec4 position;
uniform mat4 camera; uniform vec3 scale; uniform float top;
flat out int kind; out float high;
void main() { kind = int(position.w); high = clamp(position.z * scale.z / max(top, 1e-3) * .5 + .5, 0., 1.); gl_Position = camera * vec4(position.xyz * scale, 1.); }`;
const FRAGMENT = `#version 300 es
precision mediump float;
flat in int kind; in float high; uniform vec3 colours[18]; uniform int hidden; out vec4 colour;
void main() { if ((hidden >> kind & 1) == 1) discard; colour = vec4(mix(colours[17], colours[kind], .55 + .45 * high), 1.); }`;

/** @typedef {{first: number, count: number, buffer: WebGLBuffer, array: WebGLVertexArrayObject}} Part */

export class Scene {
  /**
   * @param {any} canvas @param {import("./toolpath_data.mjs").Toolpath} toolpath @param {AbortSignal} signal
   * @param {(loaded: {part: number, step: number, fail: string}) => void} report @param {(kinds: number[]) => void} setKinds
   */
  constructor(canvas, toolpath, signal, report, setKinds) {
    // antialiasing takes a processor without a graphics chip five times as long, and is not visible on a fine screen
    const antialias = toolpath.vertices <= MAX_MOVING && devicePixelRatio < 2;
    const gl = /** @type {WebGL2RenderingContext|null} */ (canvas.getContext("webgl2", {antialias, alpha: false}));
    if (!gl) throw new Failure(0, t("toolpath_no_webgl"));
    if (toolpath.vertices > MAX_VERTICES) throw new Failure(0, t("toolpath_too_large"));
    Object.assign(canvas.dataset, {vertices: "0"});
    this.gl = gl;
    this.canvas = canvas;
    this.toolpath = toolpath;
    this.signal = signal;
    this.report = report;
    this.yaw = -0.6;
    this.pitch = 0.6;
    this.zoom = 1;
    /** @type {Part[]} */ this.parts = [];
    /** @type {any} */ this.what = null;
    this.slow = this.loaded = false;
    /** @type {WebGLSync|null} */ this.fence = null;
    this.drawn = 0;
    this.step = 1;
    this.timer = 0;
    this.frame = 0;
    const box = toolpath.box;
    this.height = Math.max(1, ...toolpath.heights);
    this.middle = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, this.height / 2];
    this.radius = Math.hypot(box[2] - box[0], box[3] - box[1], this.height) / 2;
    this.unit = Math.max(1, this.radius / (MAX_COORDINATE / 4)); // coordinates beyond four times the radius are clamped
    this.program = this.compile();
    this.uniforms = Object.fromEntries(["camera", "scale", "top", "colours", "hidden"].map(name => [name, gl.getUniformLocation(this.program, name)]));
    this.listen();
    this.load(setKinds);
  }

  /** Read the toolpath, and draw what has been read now and then. @param {(kinds: number[]) => void} setKinds */
  load(setKinds) {
    const {toolpath, signal} = this;
    let kinds = 0;
    toolpath.each(chunk => {
      kinds |= this.add(chunk);
      this.canvas.dataset.vertices = String(chunk.first + chunk.count);
      const since = performance.now() - this.drawn;
      if (since < LOAD_INTERVAL || this.fence) return;
      this.drawn = performance.now();
      this.reportLoaded((chunk.first + chunk.count) / toolpath.vertices);
      this.draw();
    }, signal).then(() => {
      this.loaded = true;
      this.reportLoaded(1);
      this.draw();
      setKinds(KINDS.map((_, kind) => kind).filter(kind => (kinds >> kind) & 1));
    }, error => signal.aborted || this.report({part: 1, step: 1, fail: error.message}));
  }

  /** @param {number} part The share that is loaded. */
  reportLoaded(part) {
    this.part = part;
    this.report({part, step: this.step, fail: ""});
  }

  compile() {
    const {gl} = this;
    const program = /** @type {WebGLProgram} */ (gl.createProgram());
    for (const [kind, source] of /** @type {[number, string][]} */ ([[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]])) {
      const shader = /** @type {WebGLShader} */ (gl.createShader(kind));
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Failure(0, t("toolpath_no_webgl"));
    return program;
  }

  /** Add a chunk; returns a bit for each kind in it. @param {import("./toolpath_data.mjs").Chunk} chunk */
  add({first, count, x, y, z, kind, begin}) {
    const {middle: [x0, y0, z0]} = this;
    const one = 1 / this.unit;
    const data = new Int16Array(4 * (count + 1));
    data.set([clamped((begin[0] - x0) * one), clamped((begin[1] - y0) * one), clamped((begin[2] - z0) * one), 0]);
    let kinds = 0;
    for (let index = 0, at = 4; index < count; index += 1, at += 4) {
      data[at] = clamped((x[index] - x0) * one);
      data[at + 1] = clamped((y[index] - y0) * one);
      data[at + 2] = clamped((z[index] - z0) * one);
      data[at + 3] = kind[index];
      kinds |= 1 << kind[index];
    }
    this.store(first, count, data);
    return kinds;
  }

  /** @param {number} first @param {number} count @param {Int16Array} data */
  store(first, count, data) {
    const {gl} = this;
    const array = /** @type {WebGLVertexArrayObject} */ (gl.createVertexArray());
    const buffer = /** @type {WebGLBuffer} */ (gl.createBuffer());
    gl.bindVertexArray(array);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 4, gl.SHORT, false, 0, 0);
    this.parts.push({first, count, buffer, array});
  }

  /** @param {any} what `bottom` and `top` layer, the kinds that are `hidden`, `colours`, and the printer's `profile`. */
  show(what) {
    this.what = what;
    const rgb = (/** @type {string} */ colour) => [1, 3, 5].map(at => Number.parseInt((/^#[0-9a-f]{6}$/i.test(colour) ? colour : "#808080").slice(at, at + 2), 16) / 255);
    this.back = rgb(what.colours.back);
    this.colours = new Float32Array([...what.colours.kinds.flatMap(rgb), ...this.back]);
    this.bedColour = rgb(what.colours.bed);
    this.hidden = [...what.hidden].reduce((bits, kind) => bits | (1 << kind), 0);
    this.move();
  }

  /** Something moves: draw as much as is fast enough now, and everything when nothing has moved for a while. */
  move() {
    this.moving = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.moving = false;
      this.draw();
    }, REST_DELAY);
    this.draw();
  }

  /** Turn by angles in radians, and zoom by a factor. @param {number} x @param {number} y @param {number} zoom */
  turn(x, y, zoom = 1) {
    this.yaw += x;
    this.pitch = Math.max(-1.5, Math.min(1.5, this.pitch + y));
    this.zoom = Math.max(0.3, Math.min(20, this.zoom * zoom));
    this.move();
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.paint());
  }

  paint() {
    const {gl, canvas, what} = this;
    if (!what || this.signal.aborted || gl.isContextLost()) return;
    const began = performance.now();
    const ratio = Math.min(2, devicePixelRatio || 1);
    const [width, height] = [Math.max(1, Math.round(canvas.clientWidth * ratio)), Math.max(1, Math.round(canvas.clientHeight * ratio))];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    gl.viewport(0, 0, width, height);
    const [red, green, blue] = this.back ?? [0, 0, 0];
    gl.clearColor(red, green, blue, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.useProgram(this.program);
    gl.uniformMatrix4fv(this.uniforms.camera, false, this.camera(width / height));
    gl.uniform3f(this.uniforms.scale, this.unit, this.unit, this.unit);
    gl.uniform1f(this.uniforms.top, this.height / 2);
    gl.uniform3fv(this.uniforms.colours, /** @type {Float32Array} */ (this.colours));
    gl.uniform1i(this.uniforms.hidden, this.hidden ?? 0);
    const [first, end] = [this.toolpath.firsts[what.bottom], this.toolpath.end(what.top)];
    const step = this.slow || ((this.moving || !this.loaded) && end - first > MAX_MOVING) ? Math.ceil((end - first) / MAX_MOVING) : 1;
    if (step === 1) this.drawSegments(first, end);
    else for (let layer = what.top; layer >= what.bottom; layer -= step) this.drawSegments(this.toolpath.firsts[layer], this.toolpath.end(layer));
    this.bed();
    this.watch(began, this.loaded && !this.moving ? step : 0);
    const stepAtRest = this.moving || !this.loaded ? this.step : step;
    if (stepAtRest !== this.step) {
      this.step = stepAtRest;
      this.reportLoaded(this.part ?? 0);
    }
  }

  /** Measure how long the picture takes, without blocking. @param {number} began @param {number} step One layer in `step` is drawn; 0: it is not complete. */
  watch(began, step) {
    const {gl, canvas} = this;
    if (this.fence) gl.deleteSync(this.fence);
    const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    this.fence = fence;
    gl.flush();
    const look = () => {
      if (this.fence !== fence || !fence || this.signal.aborted || gl.isContextLost()) return;
      if (gl.getSyncParameter(fence, gl.SYNC_STATUS) !== gl.SIGNALED) {
        setTimeout(look, 20);
        return;
      }
      gl.deleteSync(fence);
      this.fence = null;
      this.slow ||= step === 1 && !document.hidden && performance.now() - began > SLOW;
      if (step) canvas.dataset.whole = String(step); // 1: no layer is left out
    };
    setTimeout(look, 0);
  }

  /** Draw the segments to these vertices, as far as they are loaded. @param {number} first @param {number} end */
  drawSegments(first, end) {
    const {gl} = this;
    for (const part of this.parts) {
      const [from, until] = [Math.max(first, part.first), Math.min(end, part.first + part.count)];
      if (from >= until) continue;
      gl.bindVertexArray(part.array);
      gl.drawArrays(gl.LINE_STRIP, from - part.first, until - from + 1);
    }
  }

  /** Draw the edge of the bed. */
  bed() {
    const {gl, middle, unit} = this;
    const box = bedOf(this.what.profile);
    if (!box) return;
    const [x, y] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
    const circle = this.what.profile.shape === "circular";
    const corners = circle
      ? Array.from({length: 65}, (_, index) => [x + (box[2] - x) * Math.cos(index * 0.098175), y + (box[3] - y) * Math.sin(index * 0.098175)])
      : [[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]], [box[0], box[1]]];
    const coordinate = (/** @type {number} */ mm, /** @type {number} */ axis) => clamped((mm * UNITS - middle[axis]) / unit);
    const data = new Int16Array(corners.flatMap(corner => [coordinate(corner[0], 0), coordinate(corner[1], 1), coordinate(0, 2), 1]));
    const colours = new Float32Array(54);
    for (let index = 0; index < 18; index += 1) colours.set(this.bedColour ?? [], 3 * index);
    gl.uniform3fv(this.uniforms.colours, colours);
    gl.uniform1i(this.uniforms.hidden, 0);
    this.store(-1, 0, data);
    const part = /** @type {Part} */ (this.parts.pop());
    gl.drawArrays(gl.LINE_STRIP, 0, corners.length);
    gl.deleteVertexArray(part.array);
    gl.deleteBuffer(part.buffer);
  }

  /** The matrix from coordinates, relative to the middle, to the screen. @param {number} aspect */
  camera(aspect) {
    const [cy, sy, cp, sp] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    const away = (this.radius * 3.2) / this.zoom / Math.min(1, aspect);
    const [near, far] = [away / 50, away + 8 * this.radius];
    const f = 2.6;
    const [a, b] = [(far + near) / (near - far), (2 * far * near) / (near - far)];
    // turn around Z, tilt, move away, then apply the perspective
    const view = [[cy, -sy, 0], [sy * sp, cy * sp, cp], [-sy * cp, -cy * cp, sp]];
    const at = (/** @type {number} */ row, /** @type {number} */ column) => view[row][column];
    return new Float32Array([0, 1, 2].flatMap(column => [(f / aspect) * at(0, column), f * at(1, column), a * at(2, column), -at(2, column)])
      .concat([0, 0, -a * away + b, away]));
  }

  listen() {
    const {canvas} = this;
    const options = {signal: this.signal};
    const fingers = /** @type {Map<number, number[]>} */ (new Map());
    const apart = () => {
      const [a, b] = [...fingers.values()];
      return b ? Math.hypot(a[0] - b[0], a[1] - b[1]) : 0;
    };
    canvas.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
    }, options);
    canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const distance = apart();
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      if (fingers.size > 1) this.turn(0, 0, distance ? apart() / distance : 1);
      else this.turn((event.clientX - before[0]) / 150, (event.clientY - before[1]) / 150);
    }, options);
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (/** @type {PointerEvent} */ event) => fingers.delete(event.pointerId), options);
    canvas.addEventListener("wheel", (/** @type {WheelEvent} */ event) => {
      if (document.activeElement !== canvas && !event.ctrlKey) return; // the page scrolls
      event.preventDefault();
      this.turn(0, 0, Math.exp(-event.deltaY / 500));
    }, {...options, passive: false});
    const keys = /** @type {Record<string, [number, number, number]>} */ ({ArrowLeft: [-0.15, 0, 1], ArrowRight: [0.15, 0, 1], ArrowUp: [0, 0.1, 1], ArrowDown: [0, -0.1, 1],
      "+": [0, 0, 1.2], "=": [0, 0, 1.2], "-": [0, 0, 1 / 1.2]});
    canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const key = keys[event.key];
      if (!key || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.turn(...key);
    }, options);
    canvas.addEventListener("webglcontextlost", () => this.report({part: 1, step: 1, fail: t("toolpath_no_webgl")}), options);
  }

  end() {
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
    for (const {buffer, array} of this.parts) {
      this.gl.deleteBuffer(buffer);
      this.gl.deleteVertexArray(array);
    }
    this.parts = [];
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
