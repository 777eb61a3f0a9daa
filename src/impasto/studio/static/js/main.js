/** Starts the page: asks the server for what it needs and puts the parts in their places. */

import { get } from "./api.js";
import { about } from "./about.js";
import { button, byId, fill, h, iconButton, seconds } from "./dom.js";
import { listen, watchSleep } from "./events.js";
import { fieldsOf } from "./fields.js";
import { gridDialog } from "./grid.js";
import { historyPart } from "./history.js";
import { dropAnywhere, takeIn } from "./intake.js";
import { clipOf, setFilm } from "./clips.js";
import { ask } from "./confirm.js";
import { active, frameOf, history, jobs, openJob, picture, refresh, stateOf } from "./jobs.js";
import { helpDialog, listenKeys } from "./keys.js";
import { download } from "./download.js";
import { estimate, follow, live, paint } from "./live.js";
import { looks } from "./looks.js";
import { notice, refuse, say } from "./notices.js";
import { shareOf } from "./progress.js";
import { panel, refuseAt } from "./settings.js";
import { setup } from "./setup.js";
import { Stage } from "./stage.js";
import { startPart } from "./start.js";
import { emit, keepSetup, keptSetup, makeStyle, on, ready, startMissing, state } from "./store.js";
import { refuseHere, welcome } from "./welcome.js";

const body = document.body;
const LONG = 3600; // seconds of a film, from which the page asks before it begins

async function start() {
  let schema;
  try {
    [state.about, schema, state.presets, state.samples] = await Promise.all(["/about", "/schema", "/presets", "/samples"].map((path) => get(path)));
  } catch (error) {
    byId("connection").hidden = false;
    fill(byId("connection"), notice(error.message, [["Try again", () => location.reload()]], { wrong: true }));
    return;
  }
  state.schema = fieldsOf(schema.settings);
  for (const item of state.samples) picture(item.picture).catch(() => {});
  await Promise.all([refresh(), restore()]);
  build();
  listen();
  watchSleep();
}

/** The setup of this tab before a reload. */
async function restore() {
  const kept = keptSetup();
  if (!kept) return;
  state.settings = kept.settings ?? {};
  const known = (id) => (id ? picture(id).catch(() => null) : null);
  state.photo = await known(kept.photo);
  const clip = kept.film && state.photo && (await clipOf(kept.film.clip).catch(() => null));
  if (clip) setFilm(clip, kept.film);
  const styles = await Promise.all((kept.styles ?? []).map(async (style) => [await known(style.picture), style]));
  state.styles = styles.filter(([info]) => info).map(([info, style]) => makeStyle(info, style.weight, style.mask));
  state.protect = kept.protect ?? null;
  state.start = await known(kept.start);
}

function build() {
  const stage = new Stage();
  const openMasks = (key) => {
    body.dataset.tab = "controls";
    stage.openMasks(key);
  };
  const run = runPart();
  byId("controls").append(setup(openMasks), looks(), ...panel({ init: startPart() }), run.element);
  byId("side").append(about(), historyPart(grid));
  follow();
  on("pictures film settings masks weights", keepSetup);
  on("pictures shown", page);
  on("jobs", () => welcome(openHistory));
  on("job queue jobs", queue);
  listenKeys(stage, {
    paint: run.paint,
    masks: () => ready() && openMasks(state.styles[0].key),
    download: () => stage.job()?.result && download(stage.job()),
  });
  dropAnywhere((files) => takeIn(files).catch((error) => (body.dataset.page === "welcome" ? refuseHere(error) : refuse(byId("toasts"), error))));
  byId("home").addEventListener("click", home);
  byId("home").title = "Begin anew";
  byId("help").addEventListener("click", helpDialog);
  byId("queue").addEventListener("click", () => {
    const all = [...jobs.values()].filter((job) => job.kind === "full" && active(job));
    if (all.length) openJob(all.find((job) => job.state !== "queued") ?? all[0]);
  });
  theme();
  tabs();
  page();
  queue();
  if (ready()) emit("pictures");
}

/** Which page is shown: the welcome, or the work. */
function page() {
  const work = ready() || Boolean(state.shown);
  body.dataset.page = work ? "work" : "welcome";
  welcome(openHistory);
}

/** Opens the dialog of the grid, or says what it needs. */
function grid() {
  if (!ready()) say(byId("side"), "A grid needs a photo and a painting.");
  else if (startMissing()) emit("startmissing", true);
  else gridDialog();
}

function openHistory() {
  const newest = history()[0];
  if (newest) openJob(newest);
}

function home() {
  state.photo = null;
  setFilm(null);
  state.styles = [];
  state.protect = null;
  state.start = null;
  state.settings = {};
  state.shown = null;
  emit("newphoto");
  emit("settings");
  emit("pictures");
}

/** The button that paints at full size, with the time it will take. */
function runPart() {
  const go = button("Paint at full size", () => begin(), { class: "primary go", title: "Ctrl + Enter" });
  const time = h("p", { class: "small soft number", role: "status", "aria-label": "Estimate" });
  const element = h("div", { class: "run" }, go, time);
  const draw = () => {
    go.disabled = !ready();
    go.textContent = state.film ? "Paint film" : "Paint at full size";
    const found = live.estimate;
    if (startMissing()) time.textContent = "Choose the picture to start from.";
    else if (!ready()) time.textContent = "";
    else {
      const { width, height } = found ?? frameOf({ settings: state.settings, size: state.photo });
      time.textContent = [state.film && found?.frames && `${found.frames} frames`, `${width} × ${height} px`,
        found ? `about ${seconds(found.seconds)}` : "time not known yet", found?.note].filter(Boolean).join(" · ");
    }
  };
  async function begin() {
    if (!ready() || go.disabled) return;
    if (startMissing()) return void emit("startmissing", true);
    go.disabled = true;
    try {
      if (state.film && !(await sure())) return;
      await paint();
    } catch (error) {
      if (!refuseAt(error)) refuse(element, error, [["Try again", (item) => { item.remove(); begin(); }]]);
    } finally {
      go.disabled = false;
    }
  }
  on("estimate pictures film settings", draw);
  draw();
  return { element, paint: begin };
}

/** Asks before a film that takes very long; true where it may begin. */
async function sure() {
  if (!live.estimate) await estimate();
  const { frames, seconds: long } = live.estimate ?? {};
  if (!(long > LONG)) return true;
  const text = `${frames} frames take about ${seconds(long)}. A shorter part, a smaller size or the quality "draft" take less time.`;
  return ask("Paint this film?", text, "Paint film", "Not yet");
}

/** The full runs that are painted or wait, in the corner. */
function queue() {
  const all = [...jobs.values()].filter((job) => job.kind === "full" && active(job));
  const now = all.find((job) => job.state !== "queued");
  const waiting = all.length - (now ? 1 : 0);
  const text = [now && (now.state === "paused" ? "Paused" : `${stateOf(now)}, ${Math.round(100 * shareOf(now))} %`), waiting && `${waiting} waiting`].filter(Boolean).join(" · ");
  byId("queue").textContent = text;
  byId("queue").hidden = !text;
}

function theme() {
  const place = byId("theme");
  const order = ["auto", "light", "dark"];
  const words = { auto: "as the system", light: "light", dark: "dark" };
  const draw = () => {
    const now = document.documentElement.dataset.theme;
    place.setAttribute("aria-label", `Colors: ${words[now]}`);
    place.title = `Colors: ${words[now]}`;
  };
  fill(place, ...iconButton("theme", "").childNodes);
  place.addEventListener("click", () => {
    const next = order[(order.indexOf(document.documentElement.dataset.theme) + 1) % 3];
    document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("theme", next);
    } catch {
      // it holds until the page is left
    }
    draw();
  });
  draw();
}

/** On narrow pages: settings or history below the picture. */
function tabs() {
  body.dataset.tab = "controls";
  const make = (name, text) => button(text, () => { body.dataset.tab = name; draw(); }, { data: { tab: name } });
  const all = [make("controls", "Settings"), make("history", "History")];
  const draw = () => all.forEach((item) => item.setAttribute("aria-pressed", String(item.dataset.tab === body.dataset.tab)));
  byId("tabs").append(...all);
  draw();
}

start();
