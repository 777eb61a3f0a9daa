/** A grid: one or two settings in several values each; a cell can be taken over. */

import { post } from "./api.js";
import { button, fill, h } from "./dom.js";
import { dialog } from "./confirm.js";
import { fromSlider, same, textOf } from "./fields.js";
import { finished, jobs, note, ofGroup, STATES, thumbnail } from "./jobs.js";
import { refuse } from "./notices.js";
import { useAgain } from "./reuse.js";
import { jobBody, on, ready, show, state } from "./store.js";
import { still } from "./still.js";

const MOST = 6; // values of a setting

/** Opens the dialog that begins a grid. */
export function gridDialog() {
  const able = state.schema.filter((field) => ["number", "choice", "switch"].includes(field.type));
  const across = axis("Across", able, "strength");
  const down = axis("Down", [null, ...able], null);
  const start = button("Paint the grid", begin, { class: "primary" });
  const count = h("p", { class: "small soft", role: "status" });
  const element = dialog("A grid of settings", h("p", { class: "soft" },
    "Paints this photo once for each value, at most 512 px large. Click a picture to take its settings over."),
  across.element, down.element, h("footer", {}, count, start));
  const tell = () => {
    const number = (across.values()?.length ?? 0) * (down.values()?.length ?? 1);
    count.textContent = number === 1 ? "1 picture" : `${number} pictures`;
    start.disabled = number === 0 || !ready();
  };
  element.addEventListener("input", tell);
  element.addEventListener("change", tell);
  tell();
  async function begin() {
    const vary = [down, across].filter((item) => item.values()).map((item) => ({ setting: item.name(), values: item.values() }));
    start.disabled = true;
    const job = { kind: "full", ...jobBody() };
    if (vary.some((item) => item.setting === "init")) job.init_picture = state.start?.picture ?? null;
    try {
      const answer = await post("/grids", { job, vary });
      for (const job of answer.jobs.flat()) note({ ...job, size: state.photo });
      element.close();
      show({ kind: "grid", id: answer.group });
    } catch (error) {
      refuse(element, error);
      start.disabled = false;
    }
  }
}

/** The choice of one setting and its values. */
function axis(title, fields, first) {
  const id = `grid-${title.toLowerCase()}`;
  const list = h("select", { id }, fields.map((field) => h("option", { value: field?.name ?? "" }, field?.title ?? "only one row")));
  const values = h("input", { type: "text", "aria-label": `Values of the setting ${title.toLowerCase()}`, placeholder: "1, 2, 4" });
  const field = () => fields.find((item) => (item?.name ?? "") === list.value);
  const propose = () => {
    const chosen = field();
    values.hidden = !chosen;
    if (chosen) values.value = proposal(chosen).map((value) => textOf(chosen, value)).join(", ");
  };
  list.value = first ?? "";
  list.addEventListener("change", propose);
  propose();
  return {
    element: h("div", { class: "axis" }, h("label", { for: id, class: "small soft" }, title), list, values),
    name: () => field()?.name,
    values: () => (field() ? parse(field(), values.value) : null),
  };
}

function proposal(field) {
  if (field.name === "init" && !state.start) return field.choices.filter((choice) => choice !== "picture");
  if (field.type === "choice") return field.choices;
  if (field.type === "switch") return [true, false];
  if (field.name === "strength") return [0.25, 0.5, 1, 2];
  return [...new Set([200, 400, 600, 800].map((place) => fromSlider(field.slider, place)))];
}

/** Reads "1, 2, 4"; the values that make sense. */
function parse(field, text) {
  const words = text.split(/[,;]\s*|\s+/).map((word) => word.trim()).filter(Boolean);
  const read = (word) => {
    if (field.type === "switch") return word === "yes" || word === "true";
    if (field.type === "choice") return field.choices.find((choice) => String(choice) === word);
    return Number.isFinite(Number(word)) ? Number(word) : undefined;
  };
  return [...new Set(words.map(read))].filter((value) => value !== undefined).slice(0, MOST);
}

/** Builds the view of a grid on the stage. */
export function gridView() {
  const element = h("div", { class: "grid-view", hidden: true });
  const cells = new Map();
  let drawn = "";
  const draw = () => {
    element.hidden = state.shown?.kind !== "grid";
    if (element.hidden) return;
    const all = ofGroup(state.shown.id);
    const kind = `${state.shown.id} ${all.map((job) => job.id)}`;
    if (kind !== drawn) {
      drawn = kind;
      cells.clear();
      fill(element, table(all, cells, element));
    }
    for (const job of all) cells.get(job.id)?.draw(job);
  };
  on("shown jobs", draw);
  on("job preview", (job) => !element.hidden && cells.get(job.id)?.draw(jobs.get(job.id)));
  return element;
}

/** The names that differ within a grid, the one that changes last first, with their values. */
function axes(all) {
  const names = [...new Set(all.flatMap((job) => Object.keys(job.settings)))];
  const varied = names
    .map((name) => ({ name, values: all.reduce((found, job) => (found.some((v) => same(v, valueOf(job, name))) ? found : [...found, valueOf(job, name)]), []) }))
    .filter(({ values }) => values.length > 1);
  const firstChange = ({ name }) => all.findIndex((job) => !same(valueOf(job, name), valueOf(all[0], name)));
  return varied.sort((a, b) => firstChange(a) - firstChange(b)).slice(0, 2).map(({ name, values }) => ({ name, values: ordered(values) }));
}

const ordered = (values) => (values.every((value) => typeof value === "number") ? [...values].sort((a, b) => a - b) : values);
const fieldOf = (name) => state.schema.find((field) => field.name === name);
const valueOf = (job, name) => job.settings[name] ?? fieldOf(name)?.default ?? null;

function table(all, cells, place) {
  const [across, down] = axes(all);
  if (!across) return h("p", { class: "soft" }, "This grid has no pictures.");
  const name = (axisOf, value) => `${fieldOf(axisOf.name)?.title ?? axisOf.name} ${textOf(fieldOf(axisOf.name) ?? {}, value)}`;
  const head = h("tr", {}, down ? h("td") : null, across.values.map((value) => h("th", { scope: "col" }, name(across, value))));
  const rows = (down?.values ?? [null]).map((row) => h("tr", {}, down ? h("th", { scope: "row" }, name(down, row)) : null,
    across.values.map((column) => {
      const job = all.find((item) => same(valueOf(item, across.name), column) && (!down || same(valueOf(item, down.name), row)));
      const label = [name(across, column), down && name(down, row)].filter(Boolean).join(", ");
      return h("td", {}, job ? cell(job, label, cells, place) : null);
    })));
  return h("table", {}, h("caption", { class: "small soft" }, "Click a picture to take its settings over."), h("thead", {}, head), h("tbody", {}, rows));
}

function cell(job, label, cells, place) {
  const picture = still("");
  const badge = h("span", { class: "badge small" });
  const element = h("button", { type: "button", class: "cell", data: { key: `cell-${job.id}` },
    onclick: () => useAgain(jobs.get(job.id), ["size"]).catch((error) => refuse(place, error, [], { first: true })) }, picture.element, badge);
  function draw(now) {
    const url = thumbnail(now, 512);
    if (url) picture.show(url);
    badge.textContent = finished(now) ? "" : STATES[now.state];
    badge.hidden = finished(now);
    element.setAttribute("aria-label", `Take over ${label}${badge.textContent ? `, ${badge.textContent}` : ""}`);
  }
  draw(job);
  cells.set(job.id, { draw });
  return element;
}
