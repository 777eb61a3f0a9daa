/** Looks: presets of settings, each shown as a small picture of this photo and painting. */

import { pictureUrl, post } from "./api.js";
import { h } from "./dom.js";
import { same } from "./fields.js";
import { active, jobs, note, thumbnail } from "./jobs.js";
import { replace } from "./settings.js";
import { on, ready, state } from "./store.js";
import { still } from "./still.js";

const KEPT = ["strength", "size", "quality", "seed", "protect_feather"]; // what a look does not change, unless it says so
let latest = "";
let byName = new Map(); // name of a preset -> id of its job

/** Builds the row of looks. */
export function looks() {
  const row = h("div", { class: "looks", role: "group", "aria-label": "Looks" });
  const waits = h("p", { class: "small soft", hidden: true }, "Painted when the machine is free");
  const place = h("section", { class: "looks-part", hidden: true }, h("div", { class: "row" }, h("h2", { class: "label" }, "Looks"), waits), row);
  const tiles = new Map();
  for (const preset of shown()) {
    const tile = makeTile(preset);
    tiles.set(preset.name, tile);
    row.append(tile.element);
  }
  const press = () => tiles.forEach((tile) => tile.press());
  const redraw = (job) => { for (const [name, id] of byName) if (id === job.id) tiles.get(name)?.draw(job); };
  on("settings", press);
  on("preview", redraw);
  on("job", redraw);
  on("job jobs", () => { waits.hidden = ![...byName.values()].some((id) => jobs.has(id) && active(jobs.get(id))); });
  on("draft", () => { place.hidden = !ready(); ask(tiles); });
  press();
  return place;
}

const shown = () => state.presets.filter((preset) => preset.kind === "look");

const nameOf = (preset) => preset.name.charAt(0).toUpperCase() + preset.name.slice(1);

function makeTile(preset) {
  const picture = still("");
  const element = h("button", { type: "button", class: "look", title: preset.title, "aria-pressed": "false",
    onclick: () => wear(preset) }, picture.element, h("span", {}, nameOf(preset)));
  const press = () => element.setAttribute("aria-pressed", String(same(plain(state.settings), plain(known(preset.settings)))));
  const draw = (job) => {
    const url = thumbnail(job, 192);
    if (!url) return;
    picture.show(url).then(() => element.classList.add("ready"));
  };
  return { element, press, draw, wait: (url) => { element.classList.remove("ready"); picture.show(url); } };
}

/** Settings without those a look leaves alone, in the order of their names. */
const plain = (settings) => Object.entries(settings).filter(([name]) => !KEPT.includes(name)).sort();

const known = (settings) => Object.fromEntries(Object.entries(settings).filter(([name, value]) => {
  const field = state.schema.find((item) => item.name === name);
  return field && !same(field.default, value);
}));

function wear(preset) {
  const kept = Object.fromEntries(KEPT.filter((name) => name in state.settings).map((name) => [name, state.settings[name]]));
  replace({ ...kept, ...preset.settings });
}

/** Asks the server for the small pictures, once a pair. */
async function ask(tiles) {
  if (!ready()) return;
  const styles = state.styles.map(({ picture, weight, mask }) => ({ picture: picture.picture, weight, mask }));
  const body = { photo: state.photo.picture, styles, protect: state.protect };
  if (JSON.stringify(body) === latest) return;
  latest = JSON.stringify(body);
  tiles.forEach((tile) => tile.wait(pictureUrl(body.photo, 256)));
  try {
    const answer = await post("/looks", body);
    const made = answer.jobs.flat();
    byName = new Map(made.map((job) => [job.name, job.id]));
    for (const job of made) tiles.get(job.name)?.draw(note({ ...job, size: state.photo }));
  } catch {
    byName = new Map();
    latest = ""; // looks are a help; the next change asks again
  }
}


