/** A glass that shows the picture below the pointer at 100 %. */

import { h } from "./dom.js";
import { edgeFor, Pane } from "./pane.js";

const SIZE = 240; // px

export class Loupe {
  constructor(viewer) {
    this.viewer = viewer;
    this.pane = new Pane(() => this.#place());
    this.element = h("div", { class: "loupe", hidden: true, "aria-hidden": "true" }, this.pane.element);
    this.on = false;
    this.at = { u: 0.5, v: 0.5 };
    viewer.element.addEventListener("pointermove", (event) => this.on && this.#follow(event));
    viewer.element.addEventListener("pointerdown", (event) => this.on && this.#follow(event));
  }

  toggle(on) {
    this.on = on;
    this.element.hidden = !on;
    this.viewer.element.classList.toggle("has-loupe", on);
    if (on) this.update();
  }

  update() {
    if (!this.on) return;
    const { before, after } = this.viewer.sources();
    const source = this.viewer.mode === "photo" ? before : (after ?? before);
    if (!source) return;
    this.pane.show(source, edgeFor(this.viewer.cell()));
    this.#place();
  }

  #follow(event) {
    const { x, y } = this.viewer.pixelOf(event);
    const { width, height } = this.viewer.frame();
    this.move(x / width, y / height);
  }

  /** Moves the glass to a place of the picture, 0 to 1. */
  move(u, v) {
    this.at = { u: Math.min(1, Math.max(0, u)), v: Math.min(1, Math.max(0, v)) };
    this.#place();
  }

  #place() {
    const source = this.pane.current;
    if (!this.on || !source) return;
    const { u, v } = this.at;
    const box = this.viewer.box();
    const room = this.viewer.element;
    const inside = (value, most) => Math.min(Math.max(8, value), Math.max(8, most - SIZE - 8));
    this.element.style.left = `${inside(box.x + u * box.width - SIZE / 2, room.clientWidth)}px`;
    this.element.style.top = `${inside(box.y + v * box.height - SIZE / 2, room.clientHeight)}px`;
    const scale = 1 / window.devicePixelRatio;
    const [width, height] = [source.width * scale, source.height * scale];
    this.pane.place({ x: Math.round(SIZE / 2 - u * width), y: Math.round(SIZE / 2 - v * height), width, height },
      { width: SIZE, height: SIZE });
  }
}
