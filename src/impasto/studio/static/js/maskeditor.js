/** The editor of masks: brush and eraser on the photo, one color for each painting. */

import { pictureUrl, upload } from "./api.js";
import { button, fill, h, iconButton } from "./dom.js";
import { save } from "./download.js";
import { choose } from "./intake.js";
import { knowPicture, picture } from "./jobs.js";
import { fromFile, Masks, png } from "./masks.js";
import { refuse, say } from "./notices.js";
import { channels, colorOf, regions } from "./regions.js";
import { set } from "./settings.js";
import { emit, on, state } from "./store.js";

const LOSSLESS = 400_000; // pixels
const SOON = 700; // ms after a stroke before the masks are sent
const SOFT = 40; // ms after a change before soft edges are computed

export class MaskEditor {
  constructor(viewer, onclose) {
    this.viewer = viewer;
    this.onclose = onclose;
    this.masks = null;
    this.photo = null; // id of the photo that the masks belong to
    this.key = null;
    this.tool = "brush";
    this.size = 40;
    this.canvas = h("canvas", { class: "overlay", "aria-hidden": "true" });
    this.cursor = h("div", { class: "brush-cursor", hidden: true });
    this.bar = h("div", { class: "mask-bar", role: "toolbar", "aria-label": "Masks", hidden: true });
    this.open = false;
    this.#listen();
    on("newphoto", () => { this.masks = null; if (this.open) this.close(); });
    on("pictures", () => this.open && this.#draw());
    on("settings", () => this.open && this.#follow());
  }

  /** Opens the editor at a region: the key of a painting, or "protect". */
  async show(key) {
    this.key = key;
    this.open = true;
    this.bar.hidden = false;
    if (this.photo !== state.photo.picture) this.masks = null;
    if (!this.masks) {
      const { width, height, picture } = state.photo;
      this.photo = picture;
      this.masks = new Masks(width, height);
      this.canvas.width = width;
      this.canvas.height = height;
      this.size = Math.max(1, Math.round(Math.max(width, height) / 14));
      await this.#restore();
    }
    this.viewer.setMode("mask");
    this.viewer.pan = false;
    this.viewer.panes[0].frame.append(this.canvas);
    this.viewer.element.append(this.cursor);
    this.#draw();
    this.#follow();
    this.#paint();
    this.bar.querySelector("[aria-checked='true']")?.focus();
  }

  close() {
    this.open = false;
    this.bar.hidden = true;
    this.cursor.hidden = true;
    this.canvas.remove();
    this.cursor.remove();
    this.viewer.pan = true;
    this.#send();
    this.onclose();
  }

  /** Reads masks that a job or an earlier visit left on the server. */
  async #restore() {
    const kept = [...state.styles.map(({ key, mask }) => [key, mask]), ["protect", state.protect]];
    for (const [key, id] of kept) {
      if (!id) continue;
      try {
        await this.#read(id, this.masks.region(key).data);
      } catch {
        // without it the region begins empty
      }
    }
  }

  /** Reads a mask in strips so small that the server sends them without loss. */
  async #read(id, data) {
    const { width, height } = this.masks;
    const rows = Math.max(1, Math.floor(LOSSLESS / width));
    for (let y = 0; y < height; y += rows) {
      const part = { x: 0, y, width, height: Math.min(rows, height - y) };
      const answer = await fetch(pictureUrl(id, Math.max(width, part.height), part));
      if (!answer.ok) throw new Error("gone");
      data.set((await fromFile(await answer.blob(), width, part.height)).mask, y * width);
    }
  }

  /** Sends what was painted a moment ago. */
  flush() {
    return this.#send();
  }

  #send() {
    clearTimeout(this.timer);
    this.sending = (this.sending ?? Promise.resolve()).then(() => this.#sendNow());
    return this.sending;
  }

  /** Sends the masks that changed, and tells the others. */
  async #sendNow() {
    const { masks } = this;
    if (!masks || ![...masks.regions.values()].some((region) => region.changed)) return;
    const here = new Set(regions().map(({ key }) => key));
    for (const [key, region] of masks.regions) {
      if (here.has(key)) region.changed = false;
      else masks.regions.delete(key);
    }
    try {
      for (const style of state.styles) style.mask = await this.#upload(masks, style.key);
      state.protect = await this.#upload(masks, "protect");
      emit("masks");
    } catch (error) {
      refuse(this.bar, error, [["Send again", (element) => {
        element.remove();
        masks.regions.forEach((region) => { region.changed = true; });
        this.#send();
      }]]);
    }
  }

  async #upload(masks, key) {
    const data = masks.exported(key);
    if (!data) return null;
    const blob = await png(data, masks.width, masks.height);
    return knowPicture(await upload("/pictures", blob, `mask-${key}.png`)).picture;
  }

  #changed(box) {
    this.#repaint(box);
    this.#state();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#send(), SOON);
  }

  /** Takes the feather of what is protected from the settings. */
  #follow() {
    const percent = state.settings.protect_feather ?? state.schema.find(({ name }) => name === "protect_feather").default;
    const pixels = (percent / 100) * Math.max(this.masks.width, this.masks.height);
    if (this.masks.region("protect").feather !== pixels) this.masks.feather("protect", pixels);
    this.#repaint();
    this.#state();
  }

  /** Colors the overlay anew; all of it and a moment later where an edge is soft, for that takes longer. */
  #repaint(box) {
    clearTimeout(this.soon);
    if (![...this.masks.regions.values()].some(({ feather, soft }) => feather && !soft)) this.#paint(box);
    else this.soon = setTimeout(() => this.open && this.masks && this.#paint(), SOFT);
  }

  /** Colors a part of the overlay anew: one color a painting, stripes for what is protected. */
  #paint(box = { x: 0, y: 0, width: this.masks.width, height: this.masks.height }) {
    if (!box) return;
    const { width } = this.masks;
    const image = new ImageData(box.width, box.height);
    const stripe = Math.max(2, Math.round(Math.max(width, this.masks.height) / 90));
    const keys = [...this.masks.regions.keys()].sort((a, b) => (a === "protect") - (b === "protect"));
    const layers = keys.map((key) => ({ data: this.masks.soft(key), color: channels(colorOf(key)), striped: key === "protect" }));
    for (let row = 0; row < box.height; row += 1) {
      for (let column = 0; column < box.width; column += 1) {
        const at = (box.y + row) * width + box.x + column;
        const out = 4 * (row * box.width + column);
        for (const { data, color, striped } of layers) {
          if (!data[at] || (striped && (box.x + column + box.y + row) % (2 * stripe) >= stripe && image.data[out + 3])) continue;
          const dark = striped && (box.x + column + box.y + row) % (2 * stripe) >= stripe;
          const below = (image.data[out + 3] * (255 - data[at])) / 255;
          const sum = data[at] + below;
          for (let c = 0; c < 3; c += 1) image.data[out + c] = ((dark ? 90 : color[c]) * data[at] + image.data[out + c] * below) / sum;
          image.data[out + 3] = sum;
        }
      }
    }
    this.canvas.getContext("2d").putImageData(image, box.x, box.y);
  }

  #listen() {
    const element = this.viewer.element;
    let last = null;
    element.addEventListener("pointerdown", (event) => {
      if (!this.open || event.button !== 0 || last) return;
      event.preventDefault();
      element.setPointerCapture(event.pointerId);
      last = this.#pixel(event);
      this.masks.begin(this.key);
      this.#stroke(last, last);
    });
    element.addEventListener("pointermove", (event) => {
      if (!this.open) return;
      this.#moveCursor(event);
      if (!last) return;
      const events = event.getCoalescedEvents?.() ?? [];
      for (const item of events.length ? events : [event]) {
        const next = this.#pixel(item);
        this.#stroke(last, next);
        last = next;
      }
    });
    const end = () => {
      if (!last) return;
      last = null;
      this.masks.end();
      this.#changed(null);
    };
    element.addEventListener("pointerup", end);
    element.addEventListener("pointercancel", end);
    element.addEventListener("pointerleave", () => { this.cursor.hidden = true; });
  }

  /** The point of an event in pixels of the photo, with fractions. */
  #pixel(event) {
    const { x, y } = this.viewer.pixelOf(event);
    const frame = this.viewer.frame();
    return { x: (x * this.masks.width) / frame.width, y: (y * this.masks.height) / frame.height };
  }

  #stroke(from, to) {
    const box = this.masks.line(this.key, from, to, this.size, this.tool === "brush" ? 255 : 0);
    if (box) this.#paint(box);
  }

  #moveCursor(event) {
    const bounds = this.viewer.element.getBoundingClientRect();
    const size = Math.max(4, this.size * this.viewer.scale());
    this.cursor.hidden = event.pointerType === "touch";
    this.cursor.style.width = `${size}px`;
    this.cursor.style.height = `${size}px`;
    this.cursor.style.transform = `translate(${event.clientX - bounds.left - size / 2}px, ${event.clientY - bounds.top - size / 2}px)`;
  }

  /** Keys of the editor; true where one was meant. */
  onKey(event) {
    const command = event.ctrlKey || event.metaKey;
    if (command && event.key.toLowerCase() === "z") return this.#step(event.shiftKey ? "redo" : "undo");
    if (command && event.key.toLowerCase() === "y") return this.#step("redo");
    if (command || event.altKey) return false;
    if (event.key === "b") return this.#setTool("brush");
    if (event.key === "e") return this.#setTool("eraser");
    if (event.key === "i") return this.#invert();
    if (event.key === "[") return this.#setSize(Math.floor(this.size / 1.2));
    if (event.key === "]") return this.#setSize(Math.ceil(this.size * 1.2));
    if (event.key === "Escape") return this.close() ?? true;
    return false;
  }

  #step(which) {
    const box = this.masks[which]();
    if (box) this.#changed(box);
    return true;
  }

  #setTool(tool) {
    this.tool = tool;
    this.#state();
    return true;
  }

  #setSize(size) {
    this.size = Math.min(this.largest(), Math.max(1, size));
    this.#state();
    return true;
  }

  largest() {
    return Math.max(2, Math.round(Math.max(this.masks.width, this.masks.height) / 2));
  }

  #invert() {
    this.masks.invert(this.key);
    this.#changed(undefined);
    return true;
  }

  #load() {
    choose(false, async ([file]) => {
      const { width, height } = this.masks;
      try {
        const { mask, ...size } = await fromFile(file, width, height);
        const apart = Math.abs(Math.log((size.width / size.height) * (height / width))) > 0.02;
        const use = () => { this.masks.replace(this.key, mask); this.#changed(undefined); };
        const sizes = `${file.name} is ${size.width} × ${size.height}, the photo ${width} × ${height}.`;
        if (apart) {
          say(this.bar, `${sizes} Their shapes differ.`, [["Stretch it", (note) => { note.remove(); use(); }],
            ["Choose another", (note) => { note.remove(); this.#load(); }]], { wrong: true });
          return;
        }
        use();
        if (size.width !== width) say(this.bar, `${sizes} It was scaled.`);
      } catch {
        refuse(this.bar, new Error(`${file.name} is not a picture that the browser reads; save the mask as PNG.`),
          [["Choose another", (note) => { note.remove(); this.#load(); }]]);
      }
    });
  }

  /** Saves the mask as it is sent, with the name that it has on the command line. */
  async #save() {
    const { masks, key } = this;
    await this.#send();
    const data = masks.exported(key);
    if (!data) return void say(this.bar, "Nothing is painted here yet.");
    const id = key === "protect" ? state.protect : state.styles.find((style) => style.key === key)?.mask;
    const name = id && (await picture(id).catch(() => null))?.name;
    const url = URL.createObjectURL(await png(data, masks.width, masks.height));
    save(url, name || `mask-${key}.png`);
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }

  /** Draws the bar anew. */
  #draw() {
    if (!this.masks) return;
    const list = regions();
    if (!list.some(({ key }) => key === this.key)) this.key = list[0].key;
    const chips = h("div", { class: "region-chips", role: "radiogroup", "aria-label": "What is painted on the photo" },
      list.map(({ key, label }) => h("button", { type: "button", role: "radio", class: "chip", data: { key: `region-${key}` },
        "aria-checked": String(key === this.key), onclick: () => { this.key = key; this.#draw(); } },
        h("span", { class: key === "protect" ? "swatch striped" : "swatch", style: { "--swatch": colorOf(key) } }),
        h("span", { class: "chip-text" }, label))));
    const tool = (name, label) => iconButton(name, label, () => this.#setTool(name), { data: { tool: name } });
    this.sizeInput = h("input", { type: "range", min: 0, max: 1000, "aria-label": "Size of the brush",
      oninput: (event) => this.#setSize(Math.round(this.largest() ** (event.target.value / 1000))) });
    this.featherInput = h("input", { type: "range", min: 0, max: 100, "aria-label": "Feather", oninput: (event) => {
      const percent = Number(event.target.value) / 10;
      if (this.key === "protect") return void set("protect_feather", percent);
      this.masks.feather(this.key, (percent / 100) * Math.max(this.masks.width, this.masks.height));
      this.#changed(null);
    } });
    this.sizeText = h("output", { class: "small number" });
    this.featherText = h("output", { class: "small number" });
    this.undoButton = iconButton("undo", "Undo (Ctrl+Z)", () => this.#step("undo"));
    this.redoButton = iconButton("redo", "Redo (Ctrl+Shift+Z)", () => this.#step("redo"));
    const tools = h("div", { class: "mask-tools" },
      h("div", { class: "segments" }, tool("brush", "Brush (B)"), tool("eraser", "Eraser (E)")),
      h("label", { class: "tool-range" }, h("span", { class: "small soft" }, "Size"), this.sizeInput, this.sizeText),
      h("label", { class: "tool-range" }, h("span", { class: "small soft" }, "Feather"), this.featherInput, this.featherText),
      this.undoButton, this.redoButton, iconButton("invert", "Invert (I)", () => this.#invert()),
      iconButton("trash", "Clear this mask", () => { this.masks.clear(this.key); this.#changed(undefined); }),
      iconButton("file", "Mask from a file", () => this.#load()), iconButton("download", "Save mask", () => this.#save()));
    fill(this.bar, h("div", { class: "mask-top" }, chips, button("Done", () => this.close(), { class: "primary" })), tools);
    this.#state();
  }

  #state() {
    if (!this.sizeInput) return;
    const region = this.masks.region(this.key);
    for (const item of this.bar.querySelectorAll("[data-tool]")) item.setAttribute("aria-pressed", String(item.dataset.tool === this.tool));
    const place = (1000 * Math.log(this.size)) / Math.log(this.largest());
    this.sizeInput.value = place;
    this.sizeInput.style.setProperty("--fill", `${place / 10}%`);
    this.sizeText.textContent = `${this.size} px`;
    const feather = (1000 * region.feather) / Math.max(this.masks.width, this.masks.height);
    this.featherInput.value = feather;
    this.featherInput.style.setProperty("--fill", `${feather}%`);
    this.featherText.textContent = `${Math.round(region.feather)} px`;
    this.undoButton.disabled = !this.masks.done.length;
    this.redoButton.disabled = !this.masks.undone.length;
  }
}

