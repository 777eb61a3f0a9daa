/** Masks as numbers: one byte for each pixel of the photo and each region, with undo. No elements here. */

const KEPT = 96e6; // bytes of undo

export class Masks {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.regions = new Map(); // key -> {data, feather, soft: data with feather or null, changed}
    this.done = [];
    this.undone = [];
    this.open = null; // copies of the regions before the stroke that is being drawn
  }

  region(key) {
    if (!this.regions.has(key)) {
      this.regions.set(key, { data: new Uint8Array(this.width * this.height), feather: 0, soft: null, changed: false });
    }
    return this.regions.get(key);
  }

  empty(key) {
    return !this.regions.get(key)?.data.some((value) => value > 0);
  }

  /** Regions that lose a pixel when another gets it: the other paintings, never what is protected. */
  rivals(key) {
    return key === "protect" ? [] : [...this.regions.keys()].filter((other) => other !== key && other !== "protect");
  }

  begin(key) {
    this.region(key);
    const keys = [key, ...this.rivals(key)];
    this.open = { keys, before: new Map(keys.map((name) => [name, this.region(name).data.slice()])), box: null };
  }

  /** Draws a line of round dots; `size` is their diameter in pixels, points may have fractions. Returns the box. */
  line(key, from, to, size, value) {
    const rivals = value ? this.rivals(key) : [];
    const all = [[key, value], ...rivals.map((other) => [other, 0])].flatMap(([name, now]) => {
      const { data, soft } = this.region(name);
      return soft ? [[data, now], [soft, now]] : [[data, now]];
    });
    const box = sweep(this, from, to, size / 2, (at) => { for (const [data, now] of all) data[at] = now; });
    if (this.open && box) this.open.box = union(this.open.box, box);
    return box;
  }

  /** Ends a stroke; from now on it can be undone. */
  end() {
    const { keys, before, box } = this.open ?? {};
    this.open = null;
    if (!box) return;
    for (const key of keys) this.region(key).soft = null;
    const patches = keys.map((key) => ({ key, box, before: this.#cut(before.get(key), box), after: this.#cut(this.region(key).data, box) }));
    this.#remember(patches.filter(({ before: a, after: b }) => a.some((value, at) => value !== b[at])));
  }

  /** Replaces all of a region. */
  replace(key, data) {
    const box = { x: 0, y: 0, width: this.width, height: this.height };
    const keys = [key, ...this.rivals(key)];
    const before = keys.map((name) => this.region(name).data.slice());
    this.region(key).data.set(data);
    for (const other of this.rivals(key)) {
      const rival = this.region(other).data;
      for (let at = 0; at < rival.length; at += 1) rival[at] = Math.min(rival[at], 255 - data[at]);
    }
    this.#remember(keys.map((name, index) => ({ key: name, box, before: before[index], after: this.region(name).data.slice() })));
  }

  invert(key) {
    this.replace(key, this.region(key).data.map((value) => 255 - value));
  }

  clear(key) {
    this.replace(key, new Uint8Array(this.width * this.height));
  }

  feather(key, pixels) {
    const region = this.region(key);
    region.feather = pixels;
    region.soft = null;
    region.changed ||= key !== "protect"; // the feather of what is protected is a setting
  }

  undo() {
    return this.#move(this.done, this.undone, "before");
  }

  redo() {
    return this.#move(this.undone, this.done, "after");
  }

  #move(from, to, which) {
    const patches = from.pop();
    if (!patches) return null;
    to.push(patches);
    let box = null;
    for (const patch of patches) {
      this.#paste(this.region(patch.key), patch.box, patch[which]);
      box = union(box, patch.box);
    }
    return box;
  }

  #remember(patches) {
    if (!patches.length) return;
    for (const { key } of patches) Object.assign(this.region(key), { soft: null, changed: true });
    this.done.push(patches);
    this.undone = [];
    const weight = (all) => all.reduce((sum, { before }) => sum + 2 * before.length, 0);
    let total = this.done.reduce((sum, all) => sum + weight(all), 0);
    while (total > KEPT && this.done.length > 1) total -= weight(this.done.shift());
  }

  #cut(data, { x, y, width, height }) {
    const part = new Uint8Array(width * height);
    for (let row = 0; row < height; row += 1) {
      const start = (y + row) * this.width + x;
      part.set(data.subarray(start, start + width), row * width);
    }
    return part;
  }

  #paste(region, { x, y, width, height }, part) {
    for (let row = 0; row < height; row += 1) {
      region.data.set(part.subarray(row * width, (row + 1) * width), (y + row) * this.width + x);
    }
    region.soft = null;
    region.changed = true;
  }

  /** The mask of a region as it is sent; null where it covers everything because nothing is painted at all. */
  exported(key) {
    const drawn = [...this.regions.keys()].filter((other) => other !== "protect" && !this.empty(other));
    if (key === "protect") return this.empty(key) ? null : this.region(key).data;
    if (!drawn.length) return null;
    return drawn.includes(key) ? this.soft(key) : this.#rest(drawn);
  }

  /** What no painting's region covers. */
  #rest(drawn) {
    const rest = new Uint8Array(this.width * this.height).fill(255);
    for (const key of drawn) {
      const data = this.soft(key);
      for (let at = 0; at < rest.length; at += 1) rest[at] = Math.min(rest[at], 255 - data[at]);
    }
    return rest.some((value) => value > 0) ? rest : null;
  }

  /** How much of each pixel counts: what is painted with, or stays the photo. */
  soft(key) {
    const region = this.region(key);
    const { data, feather } = region;
    if (key === "protect") region.soft ??= around(data, this.width, this.height, feather);
    else if (feather > 0) region.soft ??= blur(data, this.width, this.height, feather / 3, 3);
    return region.soft ?? data;
  }
}

/** Calls `mark(index)` for the pixels whose centers are within `radius` of a line, and those below its ends. */
function sweep({ width, height }, from, to, radius, mark) {
  const left = Math.max(0, Math.floor(Math.min(from.x, to.x) - radius));
  const top = Math.max(0, Math.floor(Math.min(from.y, to.y) - radius));
  const right = Math.min(width - 1, Math.floor(Math.max(from.x, to.x) + radius));
  const bottom = Math.min(height - 1, Math.floor(Math.max(from.y, to.y) + radius));
  if (right < left || bottom < top) return null;
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  for (let y = top; y <= bottom; y += 1) {
    for (let x = left; x <= right; x += 1) {
      const [px, py] = [x + 0.5 - from.x, y + 0.5 - from.y];
      const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      const [ex, ey] = [px - along * dx, py - along * dy];
      if (ex * ex + ey * ey <= radius * radius) mark(y * width + x);
    }
  }
  for (const { x, y } of [from, to]) {
    if (x >= 0 && y >= 0 && x < width && y < height) mark(Math.floor(y) * width + Math.floor(x));
  }
  return { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
}

export function union(a, b) {
  if (!a || !b) return a ?? b;
  const x = Math.min(a.x, b.x);
  const y = Math.min(a.y, b.y);
  const right = Math.max(a.x + a.width, b.x + b.width);
  const bottom = Math.max(a.y + a.height, b.y + b.height);
  return { x, y, width: right - x, height: bottom - y };
}

/** Blurs some times with a square of 2 * half + 1 pixels: three times nearly give a normal distribution. */
function blur(data, width, height, half, times) {
  const whole = Math.max(1, Math.round(half));
  let now = data;
  for (let round = 0; round < times; round += 1) now = means(now, width, height, whole);
  const out = new Uint8Array(now.length);
  for (let at = 0; at < out.length; at += 1) out[at] = now[at] + 0.5;
  return out;
}

/** What is protected, as `feathered` of inputs/masks.py has it: whole in the region, falling over `pixels` outside. */
function around(data, width, height, pixels) {
  const whole = data.map((value) => (value >= 128 ? 255 : 0));
  const half = Math.round(pixels / 4);
  if (half < 1) return whole;
  const wide = means(whole, width, height, 2 * half).map((value) => (value > 0 ? 255 : 0));
  return blur(wide, width, height, half, 2).map((value, at) => Math.max(value, whole[at]));
}

/** Means over squares of 2 * half + 1 pixels; the border is repeated. */
function means(data, width, height, half) {
  const out = new Float32Array(data.length);
  const sums = new Float64Array(width);
  const line = new Float64Array(width);
  const count = (2 * half + 1) ** 2;
  const row = (y) => width * Math.min(height - 1, Math.max(0, y));
  const add = (start) => { for (let x = 0; x < width; x += 1) sums[x] += data[start + x]; };
  for (let y = -half; y < half; y += 1) add(row(y));
  for (let y = 0; y < height; y += 1) {
    add(row(y + half));
    let sum = 0;
    for (let x = -half; x < half; x += 1) sum += sums[Math.min(width - 1, Math.max(0, x))];
    for (let x = 0; x < width; x += 1) {
      sum += sums[Math.min(width - 1, x + half)];
      line[x] = sum;
      sum -= sums[Math.max(0, x - half)];
    }
    for (let x = 0; x < width; x += 1) out[y * width + x] = line[x] / count;
    const gone = row(y - half);
    for (let x = 0; x < width; x += 1) sums[x] -= data[gone + x];
  }
  return out;
}

/** Encodes a mask as a gray PNG with the photo's pixels. */
export function png(data, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let at = 0; at < data.length; at += 1) {
    image.data.fill(data[at], 4 * at, 4 * at + 3);
    image.data[4 * at + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/** Reads a mask from a picture: white counts, in pictures with transparent parts what is opaque. */
export async function fromFile(file, width, height) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const size = { width: bitmap.width, height: bitmap.height };
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = size.width !== width || size.height !== height;
  context.drawImage(bitmap, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const mask = new Uint8Array(width * height);
  const clear = data.some((value, at) => at % 4 === 3 && value < 255);
  for (let at = 0; at < mask.length; at += 1) {
    const [red, green, blue, alpha] = data.subarray(4 * at, 4 * at + 4);
    mask[at] = clear ? alpha : Math.round(0.2126 * red + 0.7152 * green + 0.0722 * blue);
  }
  return { mask, ...size };
}
