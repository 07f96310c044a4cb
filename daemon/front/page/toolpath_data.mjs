/** Toolpaths as nozzled sends them, read part by part: `docs/toolpath.md` describes the bytes. */

import {Failure, key} from "./api.mjs";
import {t} from "./words.mjs";

const FIRST = 65536; // bytes that are fetched at once: most files have their index and first layers in them
const PIECE = 512 * 1024; // bytes that are fetched together where all is wanted
const KEPT = 12; // chunks, of 200 KB each
const HEADER = 64;
const FORMAT = 1;
const EVERY = 64; // vertices from one checkpoint to the next
export const UNITS = 100; // in a millimetre
const TICKS = 100; // in a second

/**
 * @typedef {{first: number, count: number, x: Int32Array, y: Int32Array, z: Int32Array, kind: Uint8Array,
 *   begin: number[], times: Int32Array, offsets: Int32Array}} Chunk
 * @typedef {{number: number, count: number, x: Int32Array, y: Int32Array, kind: Uint8Array, begin: number[],
 *   points: [number, number, number][]}} Layer Of `points` each is a vertex of the layer (-1: where it begins), and the
 *   time and the place in the file at which that is reached.
 */

/** @param {string} path @param {number} from @param {number} end @param {AbortSignal} signal */
async function range(path, from, end, signal) {
  let response;
  try {
    response = await fetch(path, {headers: {"X-Api-Key": key(), Range: `bytes=${from}-${end - 1}`}, signal, credentials: "omit"});
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Failure(0, t("no_answer"));
  }
  if (!response.ok) {
    const said = await response.json().catch(() => ({}));
    throw new Failure(response.status, said.error || t("refused_status", {status: response.status}));
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  return response.status === 206 ? bytes : bytes.subarray(from, end);
}

/** @param {Uint8Array} bytes @returns {Promise<Uint8Array>} */
async function inflated(bytes) {
  if (!("DecompressionStream" in globalThis)) throw new Failure(0, t("toolpath_old_browser"));
  const stream = new Blob([/** @type {any} */ (bytes)]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Takes columns out of bytes, one after the other. */
export class Columns {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  /** @param {number} count */
  take(count) {
    this.at += count;
    if (this.at > this.bytes.length) throw new Failure(0, t("toolpath_damaged"));
    return this.bytes.subarray(this.at - count, this.at);
  }

  /** Rows of whole numbers that fit into 32 bits. @param {number} count @param {number[]} before @returns {Int32Array[]} */
  ints(count, before) {
    const [width] = this.take(1);
    const planes = this.take(width * before.length * count);
    return before.map((start, row) => {
      const found = new Int32Array(count);
      for (let plane = 0; plane < width; plane += 1) {
        const from = (plane * before.length + row) * count;
        const shift = 8 * plane;
        for (let index = 0; index < count; index += 1) found[index] |= planes[from + index] << shift;
      }
      let value = start;
      for (let index = 0; index < count; index += 1) {
        const step = found[index];
        value += (step >>> 1) ^ -(step & 1);
        found[index] = value;
      }
      return found;
    });
  }

  /** One row of numbers of any size. @param {number} count @returns {number[]} */
  numbers(count) {
    const [width] = this.take(1);
    const planes = this.take(width * count);
    let value = 0;
    return Array.from({length: count}, (_, index) => {
      let step = 0;
      for (let plane = width - 1; plane >= 0; plane -= 1) step = step * 256 + planes[plane * count + index];
      value += step % 2 ? -(step + 1) / 2 : step / 2;
      return value;
    });
  }
}

/** A file's toolpath. What is fetched is kept for a while; all of it ends with the signal. */
export class Toolpath {
  /** @param {string} path @param {AbortSignal} signal */
  static async open(path, signal) {
    const found = new Toolpath(path, signal);
    await found.begin();
    return found;
  }

  /** @param {string} path @param {AbortSignal} signal */
  constructor(path, signal) {
    this.path = path;
    this.signal = signal;
    this.head = new Uint8Array(0);
    this.data = 0; // where the chunks begin
    this.vertices = 0;
    this.fileSize = 0;
    this.box = [0, 0, 0, 0];
    /** @type {number[]} */ this.firsts = [];
    /** @type {number[]} */ this.heights = [];
    /** @type {number[]} */ this.starts = [];
    /** @type {number[]} */ this.offsets = [];
    /** @type {number[]} */ this.begins = [];
    /** @type {number[]} */ this.places = [];
    /** @type {number[][]} */ this.corners = [];
    /** @type {Map<number, Promise<Chunk>>} */
    this.chunks = new Map();
  }

  get layers() {
    return this.firsts.length;
  }

  async begin() {
    this.head = await range(this.path, 0, FIRST, this.signal);
    const view = new DataView(this.head.buffer, this.head.byteOffset, this.head.length);
    if (this.head.length < HEADER || view.getUint32(0) !== 0x4e5a5450) throw new Failure(0, t("toolpath_damaged"));
    if (this.head[4] !== FORMAT) throw new Failure(0, t("toolpath_reload"));
    const begin = view.getUint16(6, true);
    const [packed, , layers, chunks] = [8, 12, 16, 20].map(at => view.getUint32(at, true));
    this.vertices = view.getUint32(24, true);
    this.box = [32, 36, 40, 44].map(at => view.getInt32(at, true));
    this.fileSize = Number(view.getBigUint64(48, true));
    this.data = begin + packed;
    const columns = new Columns(await inflated(await this.bytes(begin, this.data)));
    [this.firsts, this.heights, this.starts, this.offsets] = [1, 2, 3, 4].map(() => columns.numbers(layers));
    [this.begins, this.places] = [columns.numbers(chunks), columns.numbers(chunks)];
    const corners = [1, 2, 3].map(() => columns.numbers(chunks));
    this.corners = this.begins.map((_, index) => corners.map(each => each[index]));
    this.places.push(...columns.numbers(1));
  }

  /** @param {number} from @param {number} end */
  async bytes(from, end) {
    if (end <= this.head.length) return this.head.subarray(from, end);
    return range(this.path, from, end, this.signal);
  }

  /** Height of a layer in mm; the first one is 0. @param {number} number */
  height(number) {
    return this.heights[number] / UNITS;
  }

  /** The vertex behind the last one of a layer. @param {number} number */
  end(number) {
    return number + 1 < this.layers ? this.firsts[number + 1] : this.vertices;
  }

  /** The last of these that is not greater. @param {number[]} values @param {number} value */
  static last(values, value) {
    let [low, high] = [0, values.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] <= value) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The layer at a second of the plan, or at a place in the file; -1 comes before the first. @param {number} seconds */
  layerAtTime(seconds) {
    return Toolpath.last(this.starts, seconds * TICKS);
  }
  /** @param {number} offset */
  layerAtOffset(offset) {
    return Toolpath.last(this.offsets, offset);
  }

  /** @param {number} index @returns {Promise<Chunk>} */
  chunk(index) {
    let found = this.chunks.get(index);
    this.chunks.delete(index);
    if (!found) {
      found = this.bytes(this.data + this.places[index], this.data + this.places[index + 1]).then(bytes => this.decoded(index, bytes));
      found.catch(() => this.chunks.delete(index));
    }
    this.chunks.set(index, found); // at the end: the one that was wanted longest ago is the first
    for (const old of this.chunks.keys()) {
      if (this.chunks.size <= KEPT) break;
      this.chunks.delete(old);
    }
    return found;
  }

  /** @param {number} index @param {Uint8Array} bytes @returns {Promise<Chunk>} */
  async decoded(index, bytes) {
    const first = this.begins[index];
    const count = (index + 1 < this.begins.length ? this.begins[index + 1] : this.vertices) - first;
    const begin = this.corners[index];
    const columns = new Columns(await inflated(bytes));
    const [x, y] = columns.ints(count, begin.slice(0, 2));
    const [z] = columns.ints(count, begin.slice(2));
    const kind = columns.take(count);
    if (columns.take(1)[0]) columns.take(count);
    else columns.take(1);
    const points = Math.ceil(count / EVERY) + 1;
    const [times] = columns.ints(points, [0]);
    const [offsets] = columns.ints(points, [0]);
    return {first, count, x, y, z, kind, begin, times, offsets};
  }

  /** All chunks in their order, each once. @param {(chunk: Chunk) => void} take @param {AbortSignal} signal */
  async each(take, signal) {
    let index = 0;
    let next = this.piece(0);
    while (index < this.begins.length) {
      const {from, until, bytes} = await next;
      if (signal.aborted) return;
      next = this.piece(until);
      next.catch(() => {}); // whoever awaits it is told
      for (; index < until; index += 1) {
        const part = (await bytes).subarray(this.places[index] - this.places[from], this.places[index + 1] - this.places[from]);
        const chunk = await this.decoded(index, part);
        if (signal.aborted) return;
        take(chunk);
      }
    }
  }

  /** @param {number} from */
  async piece(from) {
    let until = from;
    while (until < this.begins.length && this.places[until] - this.places[from] < PIECE) until += 1;
    const bytes = until > from ? await this.bytes(this.data + this.places[from], this.data + this.places[until]) : new Uint8Array(0);
    return {from, until, bytes};
  }

  /** What is needed to draw a layer. @param {number} number @returns {Promise<Layer>} */
  async layer(number) {
    const [first, end] = [this.firsts[number], this.end(number)];
    const wanted = this.begins.map((_, index) => index).filter(index =>
      this.begins[index] < end && (index + 1 < this.begins.length ? this.begins[index + 1] : this.vertices) >= first);
    const chunks = await Promise.all(wanted.map(index => this.chunk(index)));
    const count = end - first;
    const found = {number, count, x: new Int32Array(count), y: new Int32Array(count), kind: new Uint8Array(count), begin: [0, 0],
      points: /** @type {[number, number, number][]} */ ([[-1, this.starts[number] / TICKS, this.offsets[number]]])};
    for (const chunk of chunks) {
      const from = Math.max(first, chunk.first) - chunk.first;
      const until = Math.min(end, chunk.first + chunk.count) - chunk.first;
      if (chunk.first + from === first && (from < until || first === 0)) {
        found.begin = from ? [chunk.x[from - 1], chunk.y[from - 1]] : chunk.begin.slice(0, 2);
      }
      if (from >= until) continue;
      const at = chunk.first + from - first;
      for (const row of /** @type {("x"|"y"|"kind")[]} */ (["x", "y", "kind"])) found[row].set(chunk[row].subarray(from, until), at);
      chunk.times.forEach((time, point) => {
        const vertex = Math.min(point * EVERY, chunk.count - 1);
        if (vertex >= from && vertex < until) found.points.push([chunk.first + vertex - first, time / TICKS, chunk.offsets[point]]);
      });
    }
    if (number + 1 < this.layers) found.points.push([count - 1, this.starts[number + 1] / TICKS, this.offsets[number + 1]]);
    return found;
  }
}

/**
 * How far a layer is when the plan is at this second (`which` 1), or the file at this place (`which` 2): how many vertices
 * are reached, a part of the way to the next one included.
 * @param {Layer} layer @param {number} value @param {1|2} which
 */
export function reached(layer, value, which) {
  const {points} = layer;
  let after = points.findIndex(point => point[which] > value);
  if (after < 0) after = points.length;
  if (after === 0) return 0;
  const [from, begin] = [points[after - 1][0], points[after - 1][which]];
  if (after === points.length) return from + 1;
  const [until, end] = [points[after][0], points[after][which]];
  const lengths = [];
  let whole = 0;
  for (let index = from + 1; index <= until; index += 1) {
    const [x, y] = index ? [layer.x[index - 1], layer.y[index - 1]] : layer.begin;
    whole += Math.hypot(layer.x[index] - x, layer.y[index] - y);
    lengths.push(whole);
  }
  const way = (whole * (value - begin)) / Math.max(end - begin, 1e-9);
  const index = lengths.findIndex(each => each > way);
  if (index < 0) return until + 1;
  const before = index ? lengths[index - 1] : 0;
  return from + 1 + index + (way - before) / (lengths[index] - before);
}

/** Where the nozzle is then, in units. @param {Layer} layer @param {number} done As `reached` tells. */
export function placeAt(layer, done) {
  const index = Math.min(Math.floor(done), layer.count - 1);
  const share = Math.min(1, done - index);
  const before = index > 0 ? [layer.x[index - 1], layer.y[index - 1]] : layer.begin;
  if (index < 0) return before;
  return [before[0] + share * (layer.x[index] - before[0]), before[1] + share * (layer.y[index] - before[1])];
}
