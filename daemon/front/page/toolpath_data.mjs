/** Reads toolpaths from nozzled, part by part. `docs/toolpath.md` describes the format. */

import {Failure, key} from "./api.mjs";
import {t} from "./words.mjs";

const HEAD = 65536; // bytes of the first request, in which most files have their index and first layers
const PIECE = 512 * 1024; // bytes of a request when everything is read
const MAX_CHUNKS = 12; // in memory, of 16,384 vertices and 200 KB each
const MAX_PREPARED = MAX_CHUNKS * 8192; // vertices that are loaded ahead: half of the chunks in memory
const HEADER = 64; // bytes
const FORMAT = 1;
const MAGIC = 0x4e5a5450; // "NZTP"
const AHEAD = 4; // chunks that the browser inflates at a time, beside the main thread
const CHECKPOINT = 64; // vertices from one checkpoint to the next
export const UNITS = 100; // in a millimetre
const TICKS = 100; // in a second

/**
 * @typedef {{first: number, count: number, x: Int32Array, y: Int32Array, z: Int32Array, kind: Uint8Array,
 *   begin: number[], times: Int32Array, offsets: Int32Array}} Chunk
 * @typedef {{number: number, count: number, x: Int32Array, y: Int32Array, kind: Uint8Array, begin: number[],
 *   points: number[], times: number[], offsets: number[]}} Layer `points`: the vertices at its checkpoints (-1: where it
 *   begins); `times` and `offsets`: the second of the plan and the byte of the file at which each of them is reached.
 */

const SLICE = 8; // ms of work without a break, so that the page stays responsive
let busySince = 0;

/** After a slice of work, let the browser do what is waiting. */
export async function yieldToBrowser() {
  const now = performance.now();
  if (now - busySince < SLICE) return;
  const scheduler = /** @type {any} */ (globalThis).scheduler;
  if (scheduler?.yield) await scheduler.yield();
  else await new Promise(resolve => {
    const {port1, port2} = new MessageChannel(); // a timer would wait for 4 ms at least
    port1.onmessage = () => resolve(port1.close());
    port2.postMessage(0);
  });
  busySince = performance.now();
}

/** @param {string} path @param {number} from @param {number} end @param {AbortSignal} signal */
async function range(path, from, end, signal) {
  let response;
  try {
    response = await fetch(path, {headers: {"X-Api-Key": key(), Range: `bytes=${from}-${end - 1}`}, signal, credentials: "omit"});
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Failure(0, t("no_data"));
  }
  if (!response.ok) {
    const answer = await response.json().catch(() => ({}));
    throw new Failure(response.status, answer.error || t("refused_status", {status: response.status}));
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  return response.status === 206 ? bytes : bytes.subarray(from, end);
}

/** @param {Uint8Array} bytes @returns {Promise<Uint8Array>} */
async function inflated(bytes) {
  if (!("DecompressionStream" in globalThis)) throw new Failure(0, t("toolpath_old_browser"));
  const {readable, writable} = new DecompressionStream("deflate-raw");
  const writer = writable.getWriter();
  writer.write(/** @type {any} */ (bytes)).catch(() => {}); // the reader gets the error
  writer.close().catch(() => {});
  return new Uint8Array(await new Response(readable).arrayBuffer());
}

/** Reads columns from bytes, one after the other. */
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

  /** Read rows of 32-bit integers. @param {number} count @param {number[]} before @returns {Int32Array[]} */
  ints(count, before) {
    const [width] = this.take(1);
    const rows = before.length;
    const planes = this.take(width * rows * count);
    return before.map((start, row) => {
      const found = new Int32Array(count);
      for (let plane = 2; plane < width; plane += 1) { // rare: steps of more than 327 mm
        const from = (plane * rows + row) * count;
        for (let index = 0; index < count; index += 1) found[index] |= planes[from + index] << (8 * plane);
      }
      const [low, high] = [row * count, width > 1 ? (rows + row) * count : -1];
      let value = start | 0;
      for (let index = 0; index < count; index += 1) {
        let step = found[index];
        if (width) step |= planes[low + index];
        if (high >= 0) step |= planes[high + index] << 8;
        value = (value + ((step >>> 1) ^ -(step & 1))) | 0;
        found[index] = value;
      }
      return found;
    });
  }

  /** Read one row of integers of any size. @param {number} count @returns {number[]} */
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

/** The toolpath of a file. The chunks that were used last stay in memory; the signal aborts all requests. */
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
    this.head = await range(this.path, 0, HEAD, this.signal);
    const view = new DataView(this.head.buffer, this.head.byteOffset, this.head.length);
    if (this.head.length < HEADER || view.getUint32(0) !== MAGIC) throw new Failure(0, t("toolpath_damaged"));
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

  /** The height of a layer in mm. @param {number} number From 0. */
  height(number) {
    return this.heights[number] / UNITS;
  }

  /** The vertex after the last one of a layer. @param {number} number */
  end(number) {
    return number + 1 < this.layers ? this.firsts[number + 1] : this.vertices;
  }

  /** The index of the last value that is not greater than `value`; -1: there is none. @param {number[]} values @param {number} value */
  static last(values, value) {
    let [low, high] = [0, values.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] <= value) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The layer at a second of the plan; -1: before the first. @param {number} seconds */
  layerAtTime(seconds) {
    return Toolpath.last(this.starts, seconds * TICKS);
  }

  /** The layer at a byte of the file; -1: before the first. @param {number} offset */
  layerAtOffset(offset) {
    return Toolpath.last(this.offsets, offset);
  }

  /** @param {number} index @returns {Promise<Chunk>} */
  chunk(index) {
    let found = this.chunks.get(index);
    this.chunks.delete(index);
    if (!found) {
      found = this.bytes(this.data + this.places[index], this.data + this.places[index + 1]).then(inflated).then(plain => this.decoded(index, plain));
      found.catch(() => this.chunks.delete(index));
    }
    this.chunks.set(index, found); // at the end: the least recently used one is the first
    for (const old of this.chunks.keys()) {
      if (this.chunks.size <= MAX_CHUNKS) break;
      this.chunks.delete(old);
    }
    return found;
  }

  /** @param {number} index @param {Uint8Array} plain @returns {Chunk} */
  decoded(index, plain) {
    const first = this.begins[index];
    const count = (index + 1 < this.begins.length ? this.begins[index + 1] : this.vertices) - first;
    const begin = this.corners[index];
    const columns = new Columns(plain);
    const [x, y] = columns.ints(count, begin.slice(0, 2));
    const [z] = columns.ints(count, begin.slice(2));
    const kind = columns.take(count);
    if (columns.take(1)[0]) columns.take(count);
    else columns.take(1);
    const points = Math.ceil(count / CHECKPOINT) + 1;
    const [times] = columns.ints(points, [0]);
    const [offsets] = columns.ints(points, [0]);
    return {first, count, x, y, z, kind, begin, times, offsets};
  }

  /**
   * Call `take` with all chunks in order; while it handles one, the browser inflates the next ones.
   * @param {(chunk: Chunk) => void} take @param {AbortSignal} signal
   */
  async each(take, signal) {
    let index = 0;
    let next = this.piece(0);
    while (index < this.begins.length) {
      const {from, until, bytes} = await next;
      if (signal.aborted) return;
      next = this.piece(until);
      next.catch(() => {}); // the one who awaits it gets the error
      const part = (/** @type {number} */ which) => {
        const found = inflated(bytes.subarray(this.places[which] - this.places[from], this.places[which + 1] - this.places[from]));
        found.catch(() => {});
        return found;
      };
      const ready = /** @type {Promise<Uint8Array>[]} */ ([]);
      for (let ahead = index; index < until; index += 1) {
        for (; ahead < until && ahead < index + AHEAD; ahead += 1) ready.push(part(ahead));
        const plain = await ready.shift();
        await yieldToBrowser();
        if (signal.aborted) return;
        take(this.decoded(index, /** @type {Uint8Array} */ (plain)));
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

  /** The chunks with these vertices. @param {number} first @param {number} end */
  chunksOf(first, end) {
    const found = [];
    for (let index = Math.max(0, Toolpath.last(this.begins, first)); index < this.begins.length && this.begins[index] < end; index += 1) found.push(this.chunk(index));
    return Promise.all(found);
  }

  /** Load the layers next to this one. @param {number} number */
  prepare(number) {
    const [from, until] = [Math.max(0, number - 3), Math.min(this.layers - 1, number + 3)];
    if (this.end(until) - this.firsts[from] < MAX_PREPARED) this.chunksOf(this.firsts[from], this.end(until)).catch(() => {}); // the error comes again when the layer is shown
  }

  /** Load what is needed to draw a layer. @param {number} number @returns {Promise<Layer>} */
  async layer(number) {
    const [first, end] = [this.firsts[number], this.end(number)];
    const chunks = await this.chunksOf(first, end);
    const count = end - first;
    const found = {number, count, x: new Int32Array(count), y: new Int32Array(count), kind: new Uint8Array(count), begin: [0, 0],
      points: [-1], times: [this.starts[number] / TICKS], offsets: [this.offsets[number]]};
    const point = (/** @type {number} */ vertex, /** @type {number} */ time, /** @type {number} */ offset) => {
      found.points.push(vertex);
      found.times.push(time / TICKS);
      found.offsets.push(offset);
    };
    for (const chunk of chunks) {
      const from = Math.max(first, chunk.first) - chunk.first;
      const until = Math.min(end, chunk.first + chunk.count) - chunk.first;
      if (chunk.first + from === first && (from < until || first === 0)) {
        found.begin = from ? [chunk.x[from - 1], chunk.y[from - 1]] : chunk.begin.slice(0, 2);
      }
      if (from >= until) continue;
      const at = chunk.first + from - first;
      for (const row of /** @type {("x"|"y"|"kind")[]} */ (["x", "y", "kind"])) found[row].set(chunk[row].subarray(from, until), at);
      for (let each = Math.ceil(from / CHECKPOINT); each < chunk.times.length; each += 1) {
        const vertex = Math.min(each * CHECKPOINT, chunk.count - 1);
        if (vertex >= until) break;
        if (vertex >= from) point(chunk.first + vertex - first, chunk.times[each], chunk.offsets[each]);
      }
    }
    if (number + 1 < this.layers) point(count - 1, this.starts[number + 1], this.offsets[number + 1]);
    return found;
  }
}

/**
 * How much of a layer is done at a second of the plan (`which` is `times`) or at a byte of the file (`offsets`): the number of
 * vertices reached, with the way to the next one as a fraction.
 * @param {Layer} layer @param {number} value @param {"times"|"offsets"} which
 */
export function verticesDone(layer, value, which) {
  const {points, x, y, begin: start} = layer;
  const checkpoints = layer[which];
  const after = Toolpath.last(checkpoints, value) + 1;
  if (after === 0) return 0;
  const from = points[after - 1] + 1;
  if (after === points.length) return from;
  const until = points[after];
  const length = (/** @type {number} */ index) => index ? Math.hypot(x[index] - x[index - 1], y[index] - y[index - 1]) : Math.hypot(x[0] - start[0], y[0] - start[1]);
  let whole = 0;
  for (let index = from; index <= until; index += 1) whole += length(index);
  let way = (whole * (value - checkpoints[after - 1])) / Math.max(checkpoints[after] - checkpoints[after - 1], 1e-9);
  for (let index = from; index <= until; index += 1) {
    const segment = length(index);
    if (way < segment) return index + way / segment;
    way -= segment;
  }
  return until + 1;
}

/** The position of the nozzle, in units. @param {Layer} layer @param {number} done As `verticesDone` returns it. */
export function positionAt(layer, done) {
  const index = Math.min(Math.floor(done), layer.count - 1);
  const share = Math.min(1, done - index);
  const before = index > 0 ? [layer.x[index - 1], layer.y[index - 1]] : layer.begin;
  if (index < 0) return before;
  return [before[0] + share * (layer.x[index] - before[0]), before[1] + share * (layer.y[index] - before[1])];
}
