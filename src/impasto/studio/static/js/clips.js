/** A clip in the place of the photo: its first frame stands for it, and its range is chosen here. */

import { get, post, Problem, upload } from "./api.js";
import { h, number } from "./dom.js";
import { knowPicture } from "./jobs.js";
import { refuse } from "./notices.js";
import { emit, state } from "./store.js";

const VIDEO = /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|m?ts|wmv|gif)$/i;
const PAUSE = 300; // ms without a change before the first frame is fetched
const known = new Map(); // id -> promise of what the server says of a clip
let timer = 0;

export const isClip = (file) => file.type.startsWith("video/") || VIDEO.test(file.name);
export const isGif = (file) => /\.gif$/i.test(file.name);

/** What the server says of a clip. */
export function clipOf(id) {
  if (!known.has(id)) {
    const answer = get(`/clips/${id}`);
    known.set(id, answer);
    answer.catch(() => known.delete(id));
  }
  return known.get(id);
}

/** Uploads a clip and returns it with its first frame: {clip, frame}. */
export async function takeClip(file) {
  if (state.about.films) throw new Problem(501, { detail: state.about.films });
  if (file.size > state.about.limits.clip) throw new Problem(413, { detail: "The clip is too large." });
  const clip = await upload("/clips", file);
  known.set(clip.clip, Promise.resolve(clip));
  return { clip, frame: await frameAt(clip, 0) };
}

/** The first frame of a clip from a time on, as a picture. */
export async function frameAt(clip, at) {
  return knowPicture(await post(`/clips/${clip.clip}/frame`, { at }));
}

/** Sets the film of the setup: a clip, its range in seconds and its steadiness; null for a photo. */
export function setFilm(clip, { from = 0, to = null, steadiness = 0.5, every = 1 } = {}) {
  state.film = clip && { clip, from: from ?? 0, to, steadiness, every };
}

/** How many frames the range has, about. */
export function framesOf({ clip, from, to }) {
  return Math.max(1, Math.round(((to ?? clip.seconds) - from) * clip.rate));
}

/** Facts of a clip: "1280 × 720 · 4.2 s". */
export const clipFacts = ({ clip }) => `${clip.width} × ${clip.height} · ${time(clip.seconds)}`;

const time = (value) => `${number(Number(value.toFixed(2)))} s`;

/** Builds the control of the range: two times, two thumbs on a line, and the steadiness. */
export function rangeControl() {
  const { film } = state;
  const { clip } = film;
  const step = Math.max(0.001, Number((1 / (clip.rate || 25)).toPrecision(2)));
  const latest = Math.max(0, Number((clip.seconds - step).toFixed(3)));
  const element = h("div", { class: "clip-range", role: "group", "aria-label": "Part of the clip" });
  const said = h("p", { class: "soft small number", role: "status" });
  const ends = [["from", "From"], ["to", "to"]].map(([name, label]) => {
    const box = h("input", { type: "number", id: `clip-${name}`, min: 0, max: clip.seconds, step: "any", inputmode: "decimal", data: { key: `clip-${name}` } });
    const thumb = h("input", { type: "range", min: 0, max: clip.seconds, step: "any", "aria-label": name === "from" ? "Beginning of the film" : "End of the film",
      data: { key: `clip-${name}-slider` } });
    const take = (value) => change(name, Number(value));
    thumb.addEventListener("input", () => take(thumb.value));
    box.addEventListener("change", () => { if (box.value !== "") take(box.value); show(); });
    return { name, box, thumb, label: h("label", { for: box.id, class: "small" }, label) };
  });
  const line = h("div", { class: "clip-line" }, ends.map((end) => end.thumb));
  function change(name, value) {
    const at = Math.min(clip.seconds, Math.max(0, Number.isFinite(value) ? value : 0));
    const end = film.to ?? clip.seconds;
    if (name === "from") film.from = Math.min(at, latest, Math.max(0, end - step));
    else film.to = at >= clip.seconds ? null : Math.max(at, film.from + step);
    show();
    clearTimeout(timer);
    timer = setTimeout(() => fetchFrame(name), PAUSE);
  }
  async function fetchFrame(name) {
    try {
      if (name === "from") state.photo = await frameAt(clip, film.from);
    } catch (error) {
      refuse(element, error);
      return;
    }
    if (state.film === film) emit("film", name);
  }
  function show() {
    const values = { from: film.from, to: film.to ?? clip.seconds };
    for (const { name, box, thumb } of ends) {
      if (document.activeElement !== box) box.value = Number(values[name].toFixed(3));
      thumb.value = values[name];
      thumb.setAttribute("aria-valuetext", time(values[name]));
      line.style.setProperty(`--${name}`, `${(100 * values[name]) / (clip.seconds || 1)}%`);
    }
    const count = framesOf(film);
    said.textContent = `${count === 1 ? "1 frame" : `${count} frames`}, ${time(values.to - values.from)}`;
  }
  element.append(line, h("div", { class: "clip-ends" }, ends.map(({ label, box }) => [label, box]).flat(), h("span", { class: "soft small" }, "s")), said, steadiness());
  show();
  return element;
}

function steadiness() {
  const range = h("input", { type: "range", id: "clip-steadiness", min: 0, max: 1, step: 0.05, value: state.film.steadiness, data: { key: "clip-steadiness" } });
  const text = h("output", { class: "number small soft" });
  const show = () => {
    range.style.setProperty("--fill", `${100 * range.value}%`);
    text.textContent = range.value;
  };
  range.addEventListener("input", () => { state.film.steadiness = Number(range.value); show(); });
  range.addEventListener("change", () => emit("film", "steadiness"));
  show();
  return h("div", { class: "clip-steadiness", title: "How much a frame keeps of the one before: 0 paints each by itself, 1 holds strokes still at the cost of strength." },
    h("label", { for: range.id, class: "small" }, "Steadiness"), range, text);
}
