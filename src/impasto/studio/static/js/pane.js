/** One picture at any zoom: a whole one, and above it the visible part in full resolution. */

import { h } from "./dom.js";

const WAIT = 120; // ms without a movement before the part is fetched
const LARGEST = 4096; // px of a part

export class Pane {
  /** `onswap` is called when another picture is there, decoded. */
  constructor(onswap = () => {}) {
    this.frame = h("div", { class: "frame" });
    this.element = h("div", { class: "pane" }, this.frame);
    this.onswap = onswap;
    this.current = null; // the source that is shown
    this.next = null; // {source, url}
    this.url = "";
    this.base = null;
    this.detail = null;
    this.busy = false;
  }

  /** Shows a source; the picture before stays until the new one is decoded, but not one of another photo or result. */
  show(source, edge) {
    if (!source) return void this.clear();
    const now = this.current;
    const passing = now && (now.key === source.key || now.key === source.photo || source.label === "Draft");
    if (now && !(passing && now.photo === source.photo)) this.clear();
    this.next = { source, url: source.url(edge) };
    if (!this.busy) this.#load();
  }

  /** The photo of what is shown, or will be in a moment. */
  get photo() {
    return this.next?.source.photo;
  }

  async #load() {
    this.busy = true;
    while (this.next && this.next.url !== this.url) {
      const { source, url } = this.next;
      const image = h("img", { src: url, alt: source.label, decoding: "sync", draggable: "false", class: "base" });
      try {
        await image.decode();
      } catch {
        if (this.next?.url === url) break;
        continue;
      }
      if (!this.next || (this.next.source.key !== source.key && this.next.url !== url)) continue;
      this.#swap(image, source, url);
    }
    this.busy = false;
  }

  #swap(image, source, url) {
    const other = this.current?.key !== source.key || !source.part;
    this.url = url;
    this.current = source;
    if (this.base) this.base.replaceWith(image);
    else this.frame.prepend(image);
    this.base = image;
    if (other) this.#drop();
    this.onswap(source);
  }

  #drop() {
    clearTimeout(this.timer);
    this.detail?.remove();
    this.detail = null;
    this.detailUrl = "";
  }

  clear() {
    this.next = null;
    this.current = null;
    this.url = "";
    this.base?.remove();
    this.base = null;
    this.#drop();
  }

  /** Places the picture at `box` {x, y, width, height} in a cell {width, height}, in CSS pixels. */
  place(box, cell) {
    this.element.style.width = `${cell.width}px`;
    this.element.style.height = `${cell.height}px`;
    this.frame.style.width = `${box.width}px`;
    this.frame.style.height = `${box.height}px`;
    this.frame.style.transform = `translate(${box.x}px, ${box.y}px)`;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#sharpen(box, cell), WAIT);
  }

  /** Fetches the visible part where the whole picture has too few pixels for the zoom. */
  async #sharpen(box, cell) {
    const source = this.current;
    if (!source?.part || !this.base) return;
    const ratio = window.devicePixelRatio;
    const scale = (box.width * ratio) / source.width; // device pixels for each of the picture
    this.frame.classList.toggle("pixels", scale >= 3);
    const enough = this.base.naturalWidth >= Math.min(source.width, box.width * ratio * 0.98);
    if (enough) return this.#drop();
    const region = visible(source, box, cell);
    if (!region) return;
    const edge = Math.min(LARGEST, Math.ceil(Math.max(region.width, region.height) * Math.min(1, scale)));
    const url = source.part(region, edge);
    if (url === this.detailUrl) return;
    const image = h("img", { src: url, alt: "", decoding: "sync", draggable: "false", class: "detail" });
    this.detailUrl = url;
    try {
      await image.decode();
    } catch {
      return;
    }
    if (this.detailUrl !== url || this.current !== source) return;
    const percent = (value, whole) => `${(100 * value) / whole}%`;
    image.style.left = percent(region.x, source.width);
    image.style.top = percent(region.y, source.height);
    image.style.width = percent(region.width, source.width);
    image.style.height = percent(region.height, source.height);
    this.detail?.remove();
    this.base.after(image);
    this.detail = image;
  }
}

/** The part of a picture that is in the cell, in its pixels; null where there is none. */
function visible(source, box, cell) {
  const scale = source.width / box.width;
  const x = Math.max(0, Math.floor(-box.x * scale));
  const y = Math.max(0, Math.floor(-box.y * scale));
  const right = Math.min(source.width, Math.ceil((cell.width - box.x) * scale));
  const bottom = Math.min(source.height, Math.ceil((cell.height - box.y) * scale));
  return right > x && bottom > y ? { x, y, width: right - x, height: bottom - y } : null;
}

/** A long edge for the whole picture, in few sizes so that the browser keeps it. */
export function edgeFor(cell) {
  const need = Math.max(cell.width, cell.height) * window.devicePixelRatio;
  return need > 1024 ? 2048 : 1024;
}
