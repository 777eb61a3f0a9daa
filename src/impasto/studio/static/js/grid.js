/** A grid: one or two settings in several values each; a cell can be taken over. */

import { post } from "./api.js";
import { button, fill, h, iconButton } from "./dom.js";
import { dialog } from "./confirm.js";
import { fromSlider, rangeText, same, textOf } from "./fields.js";
import { finished, jobs, note, ofGroup, showJob, STATES, thumbnail } from "./jobs.js";
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
    "Paints this photo once for each value, at most 512 px large."),
  across.element, down.element, h("footer", {}, count, start));
  const tell = () => {
    const number = (across.values()?.length ?? 0) * (down.values()?.length ?? 1);
    count.textContent = number === 1 ? "1 picture" : `${number} pictures`;
    const wrong = [across.check(), down.check()].some(Boolean);
    start.disabled = wrong || number === 0 || !ready();
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
  const wrong = h("p", { class: "wrong small", id: `${id}-wrong`, role: "alert", hidden: true });
  const values = h("input", { type: "text", "aria-label": `Values of the setting ${title.toLowerCase()}`, placeholder: "1, 2, 4", "aria-describedby": wrong.id });
  const field = () => fields.find((item) => (item?.name ?? "") === list.value);
  const propose = () => {
    const chosen = field();
    values.hidden = !chosen;
    if (chosen) values.value = proposal(chosen).slice(0, MOST).map((value) => textOf(chosen, value)).join(", ");
  };
  list.value = first ?? "";
  list.addEventListener("change", propose);
  propose();
  return {
    element: h("div", { class: "axis" }, h("label", { for: id, class: "small soft" }, title), list, values, wrong),
    /** Says beside the values what is wrong with them, and returns it. */
    check() {
      const text = field() ? parse(field(), values.value).wrong : "";
      wrong.hidden = !text;
      if (wrong.textContent !== text) wrong.textContent = text;
      values.setAttribute("aria-invalid", String(Boolean(text)));
      return text;
    },
    name: () => field()?.name,
    values: () => (field() ? parse(field(), values.value).values : null),
  };
}

function proposal(field) {
  if (field.name === "init" && !state.start) return field.choices.filter((choice) => choice !== "picture");
  if (field.type === "choice") return field.choices;
  if (field.type === "switch") return [true, false];
  if (field.name === "strength") return [0.25, 0.5, 1, 2];
  return [...new Set([200, 400, 600, 800].map((place) => fromSlider(field.slider, place)))];
}

/** Reads "1, 2, 4": the values, and what is wrong with them. */
function parse(field, text) {
  const words = text.split(/[,;]\s*|\s+/).map((word) => word.trim()).filter(Boolean);
  const read = (word) => {
    if (field.type === "switch") return new Map([["yes", true], ["true", true], ["no", false], ["false", false]]).get(word);
    if (field.type === "choice") return field.choices.find((choice) => String(choice) === word);
    const value = Number(word);
    const fits = Number.isFinite(value) && (!field.whole || Number.isInteger(value));
    return fits && value >= (field.smallest ?? value) && value <= (field.largest ?? value) ? value : undefined;
  };
  const unknown = words.filter((word) => read(word) === undefined);
  const values = [...new Set(words.map(read))].filter((value) => value !== undefined);
  const fit = { switch: "yes or no", choice: field.choices?.join(", "), number: rangeText(field) }[field.type];
  if (unknown.length) return { values, wrong: `${unknown.join(", ")}: no value of ${field.title}${fit ? ` (${fit})` : ""}.` };
  return { values, wrong: values.length > MOST ? `At most ${MOST} values.` : "" };
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
      fill(element, table(all, cells));
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

function table(all, cells) {
  if (!all.length) return h("p", { class: "soft" }, "This grid has no pictures.");
  const [across = { values: [null] }, down] = axes(all);
  const name = (axisOf, value) => axisOf.name && `${fieldOf(axisOf.name)?.title ?? axisOf.name} ${textOf(fieldOf(axisOf.name) ?? {}, value)}`;
  const head = h("tr", {}, down ? h("td") : null, across.values.map((value) => h("th", { scope: "col" }, name(across, value))));
  const rows = (down?.values ?? [null]).map((row) => h("tr", {}, down ? h("th", { scope: "row" }, name(down, row)) : null,
    across.values.map((column) => {
      const job = all.find((item) => (!across.name || same(valueOf(item, across.name), column)) && (!down || same(valueOf(item, down.name), row)));
      const label = [name(across, column), down && name(down, row)].filter(Boolean).join(", ") || "the picture";
      return h("td", {}, job ? cell(job, label, cells) : null);
    })));
  return h("table", {}, h("caption", { class: "small soft" }, "Click a picture to see it large, and its arrow to use its settings."), h("thead", {}, head), h("tbody", {}, rows));
}

function cell(job, label, cells) {
  const picture = still("");
  const badge = h("span", { class: "badge small" });
  const element = h("button", { type: "button", class: "cell", data: { key: `cell-${job.id}` },
    onclick: () => showJob(job.id) }, picture.element, badge);
  function draw(now) {
    const url = thumbnail(now, 512);
    if (url) picture.show(url);
    badge.textContent = finished(now) ? "" : STATES[now.state];
    badge.hidden = finished(now);
    use.hidden = !finished(now);
    element.setAttribute("aria-label", `Open ${label}${badge.textContent ? `, ${badge.textContent}` : ""}`);
  }
  const whole = h("div", { class: "cell-part" }, element);
  const use = iconButton("again", `Use the settings of ${label}`, () => useAgain(jobs.get(job.id), ["size"]).catch((error) => refuse(whole, error)));
  whole.append(use);
  draw(job);
  cells.set(job.id, { draw });
  return whole;
}
