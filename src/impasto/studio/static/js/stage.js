/** The stage: views, zoom, the viewer with loupe and masks, progress, and what can be done with the picture. */

import { namesOf } from "./about.js";
import { button, byId, fill, h, icon, iconButton } from "./dom.js";
import { active, finished, jobs, photoSource, picture, source, stateOf } from "./jobs.js";
import { filmUrl, patch, resultUrl } from "./api.js";
import { download } from "./download.js";
import { gridView } from "./grid.js";
import { erase } from "./history.js";
import { draftAgain, live, paint } from "./live.js";
import { Loupe } from "./loupe.js";
import { MaskEditor } from "./maskeditor.js";
import { note } from "./jobs.js";
import { notice, refuse } from "./notices.js";
import { progress } from "./progress.js";
import { reuse, useAgain } from "./reuse.js";
import { set } from "./settings.js";
import { on, ready, show, state } from "./store.js";
import { Viewer } from "./viewer.js";

const MODES = [["result", "Result", "result"], ["slider", "Before and after", "slider"], ["side", "Side by side", "side"], ["photo", "Photo", "photo"]];

export class Stage {
  constructor() {
    this.place = byId("stage");
    this.photo = null; // of the job that is shown
    this.viewer = new Viewer(() => this.sources(), () => this.#drawZoom());
    this.loupe = new Loupe(this.viewer);
    this.masks = new MaskEditor(this.viewer, () => this.setMode("result"));
    live.flush = () => this.masks.flush();
    this.message = h("div", { class: "stage-message" });
    this.actions = h("div", { class: "actions" });
    this.caption = h("p", { class: "caption small soft", "aria-hidden": "true" });
    this.film = null; // the video of the film that is shown
    this.frame = h("div", { class: "viewer-frame" }, this.viewer.element, this.loupe.element, this.caption);
    this.place.append(this.#toolbar(), this.masks.bar, this.message, this.frame, gridView(),
      h("div", { class: "foot" }, progress(), this.actions));
    on("shown", () => this.#shown());
    on("job jobs preview draft pictures film", () => this.draw());
    on("pictures film", () => this.#newPhoto());
    on("gone", (job) => this.#gone(job));
    this.draw();
  }

  #toolbar() {
    this.modes = MODES.map(([mode, label, name]) => h("button", { type: "button", class: "icon", "aria-label": label, title: label,
      data: { mode }, onclick: () => this.setMode(mode) }, icon(name)));
    this.percent = button("", () => this.toggleActual(), { class: "quiet number percent", title: "Fit, or 100 %" });
    this.loupeButton = iconButton("loupe", "Loupe at 100 % (L)", () => this.toggleLoupe(), { "aria-pressed": "false" });
    this.status = h("p", { class: "stage-status small soft" });
    this.toolbar = h("div", { class: "toolbar", role: "toolbar", "aria-label": "View" },
      h("div", { class: "segments" }, this.modes), this.status,
      h("div", { class: "zoom" }, iconButton("minus", "Zoom out (-)", () => this.viewer.zoomBy(1 / 1.5)), this.percent,
        iconButton("plus", "Zoom in (+)", () => this.viewer.zoomBy(1.5)), this.loupeButton));
    return this.toolbar;
  }

  job() {
    return state.shown?.kind === "job" ? jobs.get(state.shown.id) : null;
  }

  /** What the viewer shows: the photo and the result, or two results. */
  sources() {
    const now = state.photo ? photoSource(state.photo) : null;
    if (state.shown?.kind === "pair") {
      const [before, after] = state.shown.ids.map((id) => jobs.get(id)).map((job) => (job ? source(job) : null));
      return { before, after, photo: now };
    }
    const job = this.job();
    const id = job?.photo ?? state.photo?.picture;
    const photo = [state.photo, this.photo].find((info) => info && info.picture === id);
    const keep = job?.kind === "draft" ? id : null; // photo of a picture that stays until the first one of the draft
    return { before: photo ? photoSource(photo) : null, after: job ? source(job) : null, photo: now, keep };
  }

  setMode(mode) {
    if (this.masks.open && mode !== "mask") return void (this.masks.close());
    this.viewer.setMode(mode);
    this.loupe.update();
    this.draw();
  }

  toggleLoupe() {
    this.loupe.toggle(!this.loupe.on);
    this.loupeButton.setAttribute("aria-pressed", String(this.loupe.on));
  }

  toggleActual() {
    if (this.viewer.view.fit) this.viewer.zoomTo(100);
    else this.viewer.fit();
  }

  openMasks(key) {
    if (state.shown?.kind !== "job") show(state.draft ? { kind: "job", id: state.draft } : null);
    this.viewer.fit();
    this.masks.show(key);
    this.draw();
  }

  async #shown() {
    const job = this.job();
    if (state.shown?.kind === "pair" && this.viewer.mode !== "side") this.setMode("slider");
    const id = job?.photo;
    if (!id || id === state.photo?.picture) this.photo = null;
    else {
      const info = await picture(id).catch(() => null);
      if (this.job()?.photo === id) this.photo = info;
    }
    this.viewer.update();
    this.draw();
  }

  /** Another photo: what is shown of the one before goes at once. */
  #newPhoto() {
    const id = state.photo?.picture ?? null;
    const job = this.job();
    const other = id !== this.last && this.last && job?.photo !== id;
    this.last = id;
    if (other) this.viewer.clear();
    if (other && job) return void (ready() ? show(null) : this.#shown());
    this.viewer.update();
  }

  /** A picture that was deleted while it was shown: say so, and what next. */
  #gone(job) {
    const ids = state.shown?.kind === "pair" ? state.shown.ids : [state.shown?.id];
    if (!ids.includes(job.id) && state.shown?.id !== job.group) return;
    if (state.shown?.kind === "grid" && [...jobs.values()].some((item) => item.group === job.group)) return;
    show(null);
    this.viewer.clear();
    this.viewer.update();
    if (job.kind === "draft") return void draftAgain();
    const actions = state.styles.length ? [["Show the draft", () => draftAgain()]] : [];
    fill(this.message, notice("This picture was deleted.", actions.map(([text, act]) => [text, (item) => { item.remove(); act(); }])));
    this.kept = true;
  }

  draw() {
    const job = this.job();
    const grid = state.shown?.kind === "grid";
    this.frame.hidden = grid;
    this.toolbar.hidden = grid || this.masks.open;
    this.viewer.update();
    this.loupe.update();
    for (const item of this.modes) item.setAttribute("aria-pressed", String(item.dataset.mode === this.viewer.mode));
    this.status.textContent = this.#status(job);
    this.frame.classList.toggle("busy", Boolean(job && active(job) && !job.version && !this.masks.open));
    this.#drawFilm(grid ? null : job);
    this.#drawMessage(job);
    this.#drawActions(job);
    this.#drawZoom();
  }

  #status(job) {
    if (state.shown?.kind === "pair") return "Two pictures";
    if (!job) return "";
    if (job.kind !== "draft") return stateOf(job);
    if (!active(job)) return "Draft";
    return job.version ? "Draft, refining" : "Waiting for the first picture of the draft";
  }

  #drawZoom() {
    if (!this.percent) return;
    const text = this.viewer.view.fit ? "Fit" : `${this.viewer.percent()} %`;
    this.percent.textContent = text;
    this.percent.setAttribute("aria-label", `Zoom: ${text}`);
  }

  /** A film plays where its result is shown; with the photo beside it, its first frame stands for it. */
  #drawFilm(job) {
    const id = job?.result?.film && this.viewer.mode === "result" && !this.masks.open ? job.id : null;
    if (id === (this.film?.dataset.job ?? null)) return;
    this.film?.remove();
    this.film = id && h("video", { class: "film", src: filmUrl(id), poster: resultUrl(id, 1024), controls: true, loop: true, playsinline: true,
      preload: "metadata", "aria-label": "Film", data: { job: id } });
    if (this.film) this.frame.append(this.film);
    this.viewer.element.inert = Boolean(this.film);
  }

  #drawMessage(job) {
    const error = job?.error ?? (live.error ? { detail: live.error.message } : null);
    const kind = error ? `${job?.id} ${error.detail}` : "";
    if (kind === this.messageKind) return;
    this.messageKind = kind;
    if (!error) {
      if (!this.kept) fill(this.message);
      this.kept = false;
      return;
    }
    const smaller = /--size[ =](\d+)/.exec(error.detail)?.[1];
    const again = () => (job?.kind === "full" ? reuse(job).then(paint).catch((e) => refuse(this.message, e)) : draftAgain());
    const actions = [["Try again", again]];
    if (smaller) actions.unshift([`Use ${smaller} px instead`, () => { set("size", Number(smaller)); if (job?.kind === "full") paint().catch((e) => refuse(this.message, e)); }]);
    fill(this.message, notice(error.detail, actions, { wrong: true }));
  }

  #drawActions(job) {
    const pair = state.shown?.kind === "pair";
    const kind = pair ? `pair ${state.shown.ids}` : job ? `${job.id} ${job.state} ${job.star}` : "";
    if (kind === this.actionKind) return;
    this.actionKind = kind;
    if (pair) return void this.#drawPair(kind);
    if (!job || !finished(job)) return void fill(this.actions);
    const full = job.kind === "full";
    fill(this.actions, h("button", { type: "button", class: full ? "primary" : "", data: { key: "download" }, onclick: () => download(job) }, icon("download"), "Download"),
      full && h("button", { type: "button", data: { key: "again" }, onclick: () => useAgain(job, job.group ? ["size"] : []).catch((e) => refuse(this.message, e)) }, icon("again"), "Use again"),
      full && job.group && button("Show the grid", () => show({ kind: "grid", id: job.group }), { data: { key: "grid" } }),
      full && iconButton("star", job.star ? "Take the star away" : "Star", () => this.star(job), { "aria-pressed": String(Boolean(job.star)), class: "icon star", data: { key: "star" } }),
      full && !job.group && iconButton("trash", `Delete this ${job.film ? "film" : "picture"}`, () => erase([job.id], this.message), { data: { key: "erase" } }));
  }

  /** The two pictures that are compared, by what is different; a button opens one. */
  async #drawPair(kind) {
    const pair = state.shown.ids.map((id) => jobs.get(id)).filter(Boolean);
    const names = await namesOf(pair);
    if (kind !== this.actionKind) return;
    fill(this.actions, pair.map(({ id }, index) => button(`${index ? "Right" : "Left"}: ${names[index]}`, () => show({ kind: "job", id }), { title: "Open this picture" })));
  }

  star(job) {
    const star = !jobs.get(job.id).star;
    patch(`/jobs/${job.id}`, { star }).then((answer) => note(answer?.id ? answer : { id: job.id, star })).catch((e) => refuse(this.message, e));
  }

  /** Shows the photo while a key is held. */
  peek(on_) {
    if (this.masks.open || state.shown?.kind === "grid") return;
    if (on_ && this.viewer.mode === "result") { this.peeking = true; this.setMode("photo"); }
    if (!on_ && this.peeking) { this.peeking = false; this.setMode("result"); }
  }
}
