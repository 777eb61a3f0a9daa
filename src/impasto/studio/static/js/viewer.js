/** Shows pictures: one, two with a slider between them, or side by side; zooms and pans to the pixel. */

import { h } from "./dom.js";
import { edgeFor, Pane } from "./pane.js";

const GAP = 12; // px between pictures side by side
const CLOSEST = 16; // device pixels for a pixel of the picture

export class Viewer {
  /** `sources()` returns {before, after, photo, keep}; `onview` is called when the zoom changes. */
  constructor(sources, onview) {
    this.sources = sources;
    this.onview = onview;
    this.mode = "result";
    this.view = { fit: true, scale: 1, cx: 0.5, cy: 0.5 };
    this.panes = [new Pane(() => this.layout()), new Pane(() => this.layout())];
    this.element = h("div", { class: "viewer", tabindex: 0, role: "group", "aria-label": "Picture viewer" });
    this.slider = null;
    this.pan = true; // false while a tool draws
    new ResizeObserver(() => this.layout()).observe(this.element);
    this.#arrange();
    this.#listen();
  }

  setMode(mode) {
    if (this.mode === mode) return;
    this.mode = mode;
    this.#arrange();
    this.update();
  }

  /** Puts the panes where the mode has them. */
  async #arrange() {
    const [first, second] = this.panes;
    const two = this.mode === "slider" || this.mode === "side";
    this.element.dataset.mode = this.mode;
    if (this.mode === "slider") {
      await import("../vendor/img-comparison-slider.js");
      if (this.mode !== "slider") return;
      this.slider ??= makeSlider();
      first.element.slot = "first";
      second.element.slot = "second";
      this.slider.append(first.element, second.element);
      this.element.replaceChildren(this.slider);
    } else {
      this.element.replaceChildren(...(two ? [first.element, second.element] : [this.#main().element]));
    }
    this.layout();
  }

  /** The pane that decides about the frame: the picture after, unless the one before is alone. */
  #main() {
    return this.panes[this.mode === "photo" || this.mode === "mask" ? 0 : 1];
  }

  /** Looks at the sources again. */
  update() {
    const { before, after, photo, keep } = this.sources();
    const cell = this.cell();
    const edge = edgeFor(cell);
    const [first, second] = this.panes;
    if (this.mode !== "result") first.show(this.mode === "mask" ? photo : before, edge);
    const kept = !after && keep && second.photo === keep;
    if (this.mode !== "photo" && this.mode !== "mask" && !kept) second.show(after ?? before, edge);
    this.element.classList.toggle("empty", !after && !before);
  }

  clear() {
    this.panes.forEach((pane) => pane.clear());
  }

  cell() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (this.mode !== "side") return { width, height, columns: 1, rows: 1 };
    const frame = this.frame();
    const wide = (frame.width / frame.height) * height > width / 2;
    const across = wide ? Math.min(width / 2 / frame.width, height / frame.height) : 1;
    const down = wide ? Math.min(width / frame.width, height / 2 / frame.height) : 0;
    return across >= down
      ? { width: (width - GAP) / 2, height, columns: 2, rows: 1 }
      : { width, height: (height - GAP) / 2, columns: 1, rows: 2 };
  }

  /** The size that counts for the zoom, in pixels of the picture. */
  frame() {
    const shown = this.#main().current ?? this.panes.find((pane) => pane.current)?.current;
    return shown ? { width: shown.width, height: shown.height } : { width: 3, height: 2 };
  }

  fitScale() {
    const cell = this.cell();
    const { width, height } = this.frame();
    return Math.max(0.001, Math.min(cell.width / width, cell.height / height));
  }

  scale() {
    return this.view.fit ? this.fitScale() : this.view.scale;
  }

  /** Where the frame lies in its cell. */
  box() {
    const cell = this.cell();
    const { width, height } = this.frame();
    const scale = this.scale();
    const along = (size, room, center) => {
      if (size <= room) return (room - size) / 2;
      return Math.min(0, Math.max(room - size, room / 2 - center * size));
    };
    const [w, t] = [width * scale, height * scale];
    return { x: along(w, cell.width, this.view.cx), y: along(t, cell.height, this.view.cy), width: w, height: t };
  }

  layout() {
    const cell = this.cell();
    if (!cell.width || !cell.height) return;
    const box = this.box();
    this.element.style.setProperty("--columns", cell.columns);
    this.element.style.setProperty("--rows", cell.rows);
    if (this.mode === "slider" && this.slider) {
      const left = Math.max(0, box.x);
      const top = Math.max(0, box.y);
      const seen = { width: Math.min(cell.width, box.x + box.width) - left, height: Math.min(cell.height, box.y + box.height) - top };
      this.slider.style.left = `${left}px`;
      this.slider.style.top = `${top}px`;
      this.slider.handle = this.view.fit ? "false" : "true";
      for (const pane of this.panes) pane.place({ ...box, x: box.x - left, y: box.y - top }, seen);
    } else {
      for (const pane of this.panes) pane.place(box, cell);
    }
    this.element.classList.toggle("zoomed", !this.view.fit);
    this.onview();
  }

  /** Percent: 100 is one device pixel for each pixel of the picture. */
  percent() {
    return Math.round(this.scale() * window.devicePixelRatio * 100);
  }

  fit() {
    this.view = { fit: true, scale: 1, cx: 0.5, cy: 0.5 };
    this.layout();
  }

  /** Zooms to a percentage around a point of the element. */
  zoomTo(percent, point) {
    this.zoomBy(percent / (this.scale() * window.devicePixelRatio * 100), point);
  }

  zoomBy(factor, point = null) {
    const ratio = window.devicePixelRatio;
    const fit = this.fitScale();
    const before = this.box();
    const cell = this.cell();
    const at = point ?? { x: cell.width / 2, y: cell.height / 2 };
    const scale = Math.min(Math.max(this.scale() * factor, Math.min(fit, 1 / ratio)), Math.max(CLOSEST / ratio, fit * 2));
    if (scale <= fit * 1.001 && scale >= fit * 0.999) return this.fit();
    const { width, height } = this.frame();
    const u = (at.x - before.x) / before.width; // the point of the picture below the pointer stays there
    const v = (at.y - before.y) / before.height;
    this.view = { fit: false, scale, cx: u + (cell.width / 2 - at.x) / (width * scale), cy: v + (cell.height / 2 - at.y) / (height * scale) };
    return this.layout();
  }

  moveBy(dx, dy) {
    if (this.view.fit) return;
    const box = this.box();
    const cell = this.cell();
    const center = (size, room, start, step) => (size <= room ? 0.5 : (room / 2 - Math.min(0, Math.max(room - size, start + step))) / size);
    this.view.cx = center(box.width, cell.width, box.x, dx);
    this.view.cy = center(box.height, cell.height, box.y, dy);
    this.layout();
  }

  /** The point of an event within its cell, in CSS pixels. */
  pointOf(event) {
    const bounds = this.element.getBoundingClientRect();
    const cell = this.cell();
    const x = event.clientX - bounds.left;
    const y = event.clientY - bounds.top;
    return { x: cell.columns === 2 && x > cell.width ? x - cell.width - GAP : x,
      y: cell.rows === 2 && y > cell.height ? y - cell.height - GAP : y };
  }

  /** The point of an event in pixels of the frame, with fractions. */
  pixelOf(event) {
    const point = this.pointOf(event);
    const box = this.box();
    const { width, height } = this.frame();
    return { x: ((point.x - box.x) / box.width) * width, y: ((point.y - box.y) / box.height) * height };
  }

  #listen() {
    const down = new Map();
    const element = this.element;
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      const speed = event.ctrlKey ? 0.01 : event.deltaMode === 1 ? 0.05 : 0.0018;
      this.zoomBy(Math.exp(-event.deltaY * speed), this.pointOf(event));
    }, { passive: false });
    element.addEventListener("dblclick", (event) => {
      if (!this.pan) return;
      if (this.view.fit) this.zoomTo(100, this.pointOf(event));
      else this.fit();
    });
    element.addEventListener("pointerdown", (event) => {
      down.set(event.pointerId, event);
      if (!this.pan && down.size < 2) return;
      if (this.view.fit && down.size < 2) return;
      if (this.mode === "slider" && onHandle(this.slider, event)) return;
      element.setPointerCapture(event.pointerId);
    });
    element.addEventListener("pointermove", (event) => {
      const before = down.get(event.pointerId);
      if (!before) return;
      if (down.size === 2) this.#pinch(down, event);
      else if (this.pan && element.hasPointerCapture(event.pointerId)) {
        this.moveBy(event.clientX - before.clientX, event.clientY - before.clientY);
      }
      down.set(event.pointerId, event);
    });
    for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, (event) => down.delete(event.pointerId));
  }

  #pinch(down, event) {
    const other = [...down.values()].find((item) => item.pointerId !== event.pointerId);
    const before = down.get(event.pointerId);
    const spread = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    const middle = { clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 };
    this.zoomBy(spread(event, other) / Math.max(1, spread(before, other)), this.pointOf(middle));
    this.moveBy((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
  }
}

/** The slider; its keys are ours, for those of the element need to be held. */
function makeSlider() {
  const slider = h("img-comparison-slider", { keyboard: "disabled", role: "slider", tabindex: 0, value: 50,
    "aria-label": "Before and after", "aria-valuemin": 0, "aria-valuemax": 100 }, h("span", { slot: "handle", class: "grip" }));
  const tell = () => {
    slider.setAttribute("aria-valuenow", Math.round(slider.value));
    slider.setAttribute("aria-valuetext", `${Math.round(slider.value)} % before`);
  };
  slider.addEventListener("slide", tell);
  slider.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: slider.value - 2, ArrowRight: slider.value + 2, PageDown: slider.value - 10,
      PageUp: slider.value + 10, Home: 0, End: 100 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    slider.value = Math.min(100, Math.max(0, to));
    tell();
  });
  tell();
  return slider;
}

function onHandle(slider, event) {
  const bounds = slider?.shadowRoot?.getElementById("handle").getBoundingClientRect();
  if (!bounds) return false;
  return event.clientX >= bounds.left && event.clientX <= bounds.right && event.clientY >= bounds.top && event.clientY <= bounds.bottom;
}
