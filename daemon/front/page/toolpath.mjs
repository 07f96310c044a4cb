/** Toolpaths: the current layer of a print (`Live`), and all layers of a file (`Inspect`). Loaded when one is shown. */

import {effect, html, onValue, useEffect, useLayoutEffect, useRef, useState} from "./html.mjs";
import {isStale, job, profile, toolpath as toolpathPath} from "./store.mjs";
import {positionAt, Toolpath, UNITS, verticesDone} from "./toolpath_data.mjs";
import {bedOf, drawBed, drawLayer, fit, KINDS, palette, viewOf} from "./toolpath_draw.mjs";
import {number, t} from "./words.mjs";

/** @typedef {import("./toolpath_data.mjs").Layer} Layer */

const INTERVAL = 500; // ms between two updates of the nozzle
const RETRY_INTERVAL = 10000; // ms until a toolpath or a layer that could not be loaded is tried again
const AHEAD = 3; // s for which the nozzle moves on without news of the print

/** Load the style sheet with the first toolpath, not with the page. */
function useStyle() {
  useEffect(() => {
    const href = new URL("toolpath.css", import.meta.url).href;
    if ([...document.styleSheets].some(each => each.href === href) || document.querySelector("link[data-toolpath]")) return;
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = href;
    link.dataset.toolpath = "";
    link.onload = () => dispatchEvent(new Event("resize"));
    document.head.append(link);
  }, []);
}

/**
 * Open a toolpath for as long as it is shown. If that fails, it is tried again every RETRY_INTERVAL.
 * @param {string} path @returns {{toolpath: Toolpath|null, fail: string}}
 */
function useToolpath(path) {
  const [found, setFound] = useState({toolpath: /** @type {Toolpath|null} */ (null), fail: ""});
  useEffect(() => {
    const end = new AbortController();
    let timer = 0;
    setFound({toolpath: null, fail: ""});
    const open = () => {
      Toolpath.open(path, end.signal).then(
        toolpath => setFound({toolpath, fail: ""}),
        error => {
          if (end.signal.aborted) return;
          setFound({toolpath: null, fail: error.message});
          timer = setTimeout(open, RETRY_INTERVAL);
        },
      );
    };
    open();
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, [path]);
  return found;
}

/** A number that changes when a picture has to be redrawn: its size or the theme has changed. @param {any} box */
function useRedraw(box) {
  const [count, setCount] = useState(0);
  useEffect(() => {
    const again = () => setCount(before => before + 1);
    const size = new ResizeObserver(again);
    size.observe(box.current);
    const theme = new MutationObserver(again);
    theme.observe(document.documentElement, {attributes: true, attributeFilter: ["data-theme"]});
    addEventListener("resize", again);
    return () => {
      size.disconnect();
      theme.disconnect();
      removeEventListener("resize", again);
    };
  }, []);
  return count;
}

/** The area that is shown, in mm: the print with a margin, or print and bed. @param {Toolpath} toolpath @param {boolean} whole */
function boxOf(toolpath, whole) {
  const [a, b, c, d] = toolpath.box.map(each => each / UNITS);
  const room = Math.max(2, 0.08 * Math.max(c - a, d - b));
  const bed = whole ? bedOf(profile.value) : null;
  return bed ? [Math.min(a, bed[0]), Math.min(b, bed[1]), Math.max(c, bed[2]), Math.max(d, bed[3])] : [a - room, b - room, c + room, d + room];
}

/** @param {Toolpath} toolpath @param {number} index */
function layerLabel(toolpath, index) {
  return t("toolpath_layer", {n: index + 1, of: toolpath.layers, z: number(toolpath.height(index), 2)});
}

// -- the current print --------------------------------------------------------------------------------------

/** The latest progress of the print, and when it came, as performance.now(). */
const latest = {progress: /** @type {any} */ ({}), at: 0};
effect(() => {
  const {progress} = job.value;
  if (progress && progress !== latest.progress) Object.assign(latest, {progress, at: performance.now()});
});

/** How far the print is: in seconds of its plan, plus the time since the last report; without a plan, as an offset in its file. */
function progressOf() {
  const {planned, pace, completion} = latest.progress;
  const {state, file} = job.peek();
  if (typeof planned === "number") {
    const isMoving = state === "printing" && !isStale.peek();
    const since = isMoving ? Math.min(AHEAD, (performance.now() - latest.at) / 1000) / (pace || 1) : 0;
    return {which: /** @type {const} */ ("times"), value: planned + since};
  }
  return {which: /** @type {const} */ ("offsets"), value: typeof completion === "number" ? (completion / 100) * (file?.size ?? 0) : -1};
}

/** The layer that is being printed: what is done, what is left, the layer below, and the nozzle. */
export function Live() {
  useStyle();
  const path = toolpathPath.value ?? "";
  const {toolpath, fail} = useToolpath(path);
  const box = useRef(null);
  const sheet = useRef(/** @type {HTMLCanvasElement|null} */ (null));
  const nozzle = useRef(/** @type {HTMLElement|null} */ (null));
  const picture = useRef(/** @type {any} */ (null));
  const [label, setLabel] = useState(["", ""]);
  const redraw = useRedraw(box);

  useEffect(() => {
    if (!toolpath) return;
    picture.current = new LivePicture(toolpath, /** @type {any} */ (sheet.current), /** @type {any} */ (nozzle.current),
      (layer, done) => setLabel(before => (before[0] === layer && before[1] === done ? before : [layer, done])));
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const timer = setInterval(() => document.hidden || picture.current?.draw(), still ? 4 * INTERVAL : INTERVAL);
    return () => {
      clearInterval(timer);
      picture.current = null;
    };
  }, [toolpath]);
  useEffect(() => void picture.current?.draw(true), [toolpath, redraw, profile.value]);
  return html`<section class="card toolpath" aria-label=${t("toolpath")}>
    <h2>${label[0] || t("toolpath")}</h2>
    <div class="sheet" ref=${box}><canvas ref=${sheet} role="img" aria-label=${label[0] ? label.join(", ") : t("loading")}></canvas><i ref=${nozzle} class="nozzle" hidden></i>
      ${!toolpath && html`<p class="empty">${fail || t("loading")}</p>`}</div></section>`;
}

/** Draws what has changed: within a layer only the new segments. The nozzle is an element of its own, so that it moves without a redraw. */
class LivePicture {
  /** @param {Toolpath} toolpath @param {HTMLCanvasElement} sheet @param {HTMLElement} nozzle @param {(layer: string, done: string) => void} setLabel */
  constructor(toolpath, sheet, nozzle, setLabel) {
    this.toolpath = toolpath;
    this.sheet = sheet;
    this.nozzle = nozzle;
    this.setLabel = setLabel;
    this.index = -2;
    /** @type {Layer|null} */ this.layer = null;
    /** @type {Layer|null} */ this.below = null;
    /** @type {any} */ this.view = null;
    /** @type {any} */ this.colours = null;
    /** @type {any} */ this.context = null;
    this.done = this.percent = -1;
  }

  /** @param {boolean} redraw Draw everything, not only what is new. */
  draw(redraw = false) {
    const {which, value} = progressOf();
    const index = Math.max(0, which === "times" ? this.toolpath.layerAtTime(value) : this.toolpath.layerAtOffset(value));
    if (index !== this.index) this.load(index);
    const {layer} = this;
    if (!layer) return;
    const done = Math.max(0, Math.min(layer.count, verticesDone(layer, value, which)));
    const whole = redraw || !this.view || done < this.done;
    if (!whole && done === this.done) return;
    if (whole) this.drawRest();
    if (done > this.done) drawLayer(this.context, this.view, layer, {begin: this.done, end: done, colour: this.colours.done});
    this.done = done;
    const [x, y] = positionAt(layer, done);
    const {left, bottom, scale} = this.view;
    this.nozzle.style.transform = `translate(${(left + (x / UNITS) * scale).toFixed(1)}px,${(bottom - (y / UNITS) * scale).toFixed(1)}px)`;
    this.updateLabel(layer, value, which);
  }

  /** @param {Layer} layer @param {number} value @param {"times"|"offsets"} which */
  updateLabel(layer, value, which) {
    const [begin, end] = [layer[which][0], layer[which][layer[which].length - 1]];
    const percent = Math.floor(100 * Math.max(0, Math.min(1, (value - begin) / Math.max(end - begin, 1e-9))));
    if (percent === this.percent) return;
    this.percent = percent;
    this.setLabel(layerLabel(this.toolpath, layer.number), t("toolpath_done", {done: percent}));
  }

  /** Load another layer and the one below. @param {number} index */
  async load(index) {
    this.index = index;
    try {
      const [layer, below] = await Promise.all([this.toolpath.layer(index), index ? this.toolpath.layer(index - 1) : null]);
      if (this.index !== index) return;
      [this.layer, this.below, this.view, this.percent] = [layer, below, null, -1];
      this.draw(true);
    } catch {
      if (this.toolpath.signal.aborted) return;
      setTimeout(() => {
        if (this.index === index) this.index = -2; // the next update tries it again
      }, RETRY_INTERVAL);
    }
  }

  /** Draw everything but the segments that are done. */
  drawRest() {
    const {context, width, height} = fit(this.sheet);
    this.context = context;
    this.colours = palette(this.sheet);
    this.view = viewOf(boxOf(this.toolpath, false), width, height);
    drawBed(context, this.view, profile.peek(), this.colours);
    if (this.below) drawLayer(context, this.view, this.below, {colour: this.colours.ghost});
    drawLayer(context, this.view, /** @type {Layer} */ (this.layer), {colour: this.colours.rest});
    this.nozzle.hidden = false;
    this.done = 0;
  }
}

// -- a file ------------------------------------------------------------------------------------------------

/** The layers of a file, one at a time, or the whole part in 3D. @param {{path: string}} props */
export function Inspect({path}) {
  useStyle();
  const {toolpath, fail} = useToolpath(path);
  const [index, setIndex] = useState(0);
  const [hidden, setHidden] = useState(new Set([0]));
  const [whole, setWhole] = useState(false);
  const [solid, setSolid] = useState(false);
  const [shown, setShown] = useState(/** @type {{layer: Layer, below: Layer|null}|null} */ (null));
  const [layerFail, setLayerFail] = useState("");
  /** Kinds of segments that have been shown: the legend has these. */
  const [kinds, setKinds] = useState(/** @type {number[]} */ ([]));
  useEffect(() => setIndex(toolpath ? Math.floor(toolpath.layers / 2) : 0), [toolpath]);
  useLayoutEffect(() => { // before the next frame, so that a layer that is loaded already appears in it
    let isCurrent = true;
    if (!toolpath || index >= toolpath.layers) return;
    Promise.all([toolpath.layer(index), index ? toolpath.layer(index - 1) : null]).then(
      ([layer, below]) => {
        if (!isCurrent) return;
        setShown({layer, below});
        toolpath.prepare(index);
        setLayerFail("");
        setKinds(before => {
          const found = new Set(before);
          for (const kind of layer.kind) found.add(kind);
          return found.size === before.length ? before : [...found].sort((a, b) => a - b);
        });
      },
      error => isCurrent && !toolpath.signal.aborted && setLayerFail(error.message),
    );
    return () => {
      isCurrent = false;
    };
  }, [toolpath, index]);
  const choose = (/** @type {number} */ kind) => {
    const next = new Set(hidden);
    if (!next.delete(kind)) next.add(kind);
    setHidden(next);
  };
  const toggleSolid = () => {
    if (!solid && toolpath) setIndex(toolpath.layers - 1); // 3D starts with the whole part
    setSolid(!solid);
  };
  const label = toolpath ? layerLabel(toolpath, Math.min(index, toolpath.layers - 1)) : "";
  return html`<section class="toolpath" aria-label=${t("toolpath")}>
    ${solid && toolpath
      ? html`<${Solid} toolpath=${toolpath} top=${index} hidden=${hidden} label=${label} setKinds=${setKinds} leave=${() => setSolid(false)} />`
      : html`<${Sheet} toolpath=${toolpath} shown=${shown} hidden=${hidden} whole=${whole} label=${label} fail=${fail || layerFail} />`}
    ${toolpath && html`<label class="layerslider">${t("toolpath_slider")}
        <input type="range" min="1" max=${toolpath.layers} value=${index + 1} aria-valuetext=${label}
          onInput=${onValue(value => setIndex(Number(value) - 1))} /><output>${label}</output></label>
      <fieldset class="legend"><legend class="hidden">${t("toolpath_legend")}</legend>
        ${kinds.filter(Boolean).concat(0).map(kind => html`<label key=${kind}><input type="checkbox" checked=${!hidden.has(kind)} onChange=${() => choose(kind)} />
          <span class=${`swatch s${kind}`}></span>${t(`kind_${KINDS[kind]}`)}</label>`)}</fieldset>
      <div class="row"><button type="button" aria-pressed=${solid} onClick=${toggleSolid}>${t(solid ? "toolpath_flat" : "toolpath_solid")}</button>
        ${!solid && bedOf(profile.value) && html`<label class="check"><input type="checkbox" checked=${whole} onChange=${() => setWhole(!whole)} />${t("toolpath_bed")}</label>`}</div>`}
  </section>`;
}

/** One layer, from above. @param {{toolpath: Toolpath|null, shown: any, hidden: Set<number>, whole: boolean, label: string, fail: string}} props */
function Sheet({toolpath, shown, hidden, whole, label, fail}) {
  const box = useRef(null);
  const canvas = useRef(/** @type {HTMLCanvasElement|null} */ (null));
  const redraw = useRedraw(box);
  useLayoutEffect(() => {
    if (!toolpath || !shown || !canvas.current) return;
    const {context, width, height} = fit(canvas.current);
    const colours = palette(canvas.current);
    const view = viewOf(boxOf(toolpath, whole), width, height);
    drawBed(context, view, profile.value, colours);
    if (shown.below) drawLayer(context, view, shown.below, {colour: colours.ghost});
    drawLayer(context, view, shown.layer, {colour: colours.kinds, hidden, travel: !hidden.has(0)});
    canvas.current.dataset.layer = String(shown.layer.number + 1);
  }, [toolpath, shown, hidden, whole, redraw, profile.value]);
  return html`<div class="sheet" ref=${box}><canvas ref=${canvas} role="img" aria-label=${label || t("loading")}></canvas>
    ${(fail || !shown) && html`<p class="empty">${fail || t("loading")}</p>`}</div>`;
}

/** The part in 3D, from one layer to another. @param {{toolpath: Toolpath, top: number, hidden: Set<number>, label: string, setKinds: any, leave: () => void}} props */
function Solid({toolpath, top, hidden, label, setKinds, leave}) {
  const box = useRef(null);
  const canvas = useRef(/** @type {HTMLCanvasElement|null} */ (null));
  const scene = useRef(/** @type {any} */ (null));
  const [bottom, setBottom] = useState(0);
  const [loaded, setLoaded] = useState({part: 0, step: 1, fail: ""});
  const redraw = useRedraw(box);
  useEffect(() => {
    const end = new AbortController();
    import("./toolpath3d.mjs").then(
      module => {
        if (end.signal.aborted) return;
        try {
          scene.current = new module.Scene(canvas.current, toolpath, end.signal, setLoaded, setKinds);
          scene.current.show({top, bottom, hidden, colours: palette(/** @type {any} */ (canvas.current)), profile: profile.value});
        } catch (error) {
          setLoaded({part: 1, step: 1, fail: /** @type {Error} */ (error).message});
        }
      },
      () => setLoaded({part: 1, step: 1, fail: t("no_data")}),
    );
    return () => {
      end.abort();
      scene.current?.end();
      scene.current = null;
    };
  }, [toolpath]);
  useEffect(() => {
    scene.current?.show({top, bottom: Math.min(bottom, top), hidden, colours: palette(/** @type {any} */ (canvas.current)), profile: profile.value});
  }, [top, bottom, hidden, redraw, profile.value]);
  const turn = (/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ zoom) => () => scene.current?.turn(x, y, zoom);
  const buttons = /** @type {[string, string, number, number, number][]} */ ([["←", "left", -0.3, 0, 1], ["→", "right", 0.3, 0, 1], ["↑", "up", 0, 0.2, 1],
    ["↓", "down", 0, -0.2, 1], ["+", "nearer", 0, 0, 1.25], ["−", "farther", 0, 0, 0.8]]);
  return html`<div class="sheet orbit" ref=${box}><canvas ref=${canvas} tabindex="0" role="img" aria-label=${`${label}. ${t("toolpath_keys")}`}></canvas>
      ${loaded.fail && html`<p class="empty">${loaded.fail}</p>`}</div>
    <div class="row">${buttons.map(([sign, name, x, y, zoom]) => html`<button key=${name} type="button" class="small" aria-label=${t(`turn_${name}`)} onClick=${turn(x, y, zoom)}>${sign}</button>`)}
      ${loaded.part < 1 && html`<progress max="1" value=${loaded.part} aria-label=${t("loading")}></progress>`}
      ${loaded.step > 1 && html`<small>${t("toolpath_every", {n: loaded.step})}</small>`}
      ${loaded.fail && html`<button type="button" onClick=${leave}>${t("toolpath_flat")}</button>`}</div>
    <label class="layerslider">${t("toolpath_from")}<input type="range" min="1" max=${top + 1} value=${Math.min(bottom, top) + 1}
      onInput=${onValue(value => setBottom(Number(value) - 1))} /><output>${layerLabel(toolpath, Math.min(bottom, top))}</output></label>`;
}
