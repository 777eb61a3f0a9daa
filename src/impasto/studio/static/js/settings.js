/** The panel of settings: a few first, all others below "More", with a search. */

import { control } from "./control.js";
import { button, fill, h } from "./dom.js";
import { same } from "./fields.js";
import { emit, on, state } from "./store.js";

let controls = [];

/** Sets one setting; undefined resets it. What would override it is reset, as by the command line's presets. */
export function set(name, value) {
  const next = { ...state.settings };
  if (value === undefined) delete next[name];
  else next[name] = value;
  if (name === "quality") delete next.evaluations;
  replace(next);
}

/** Takes over settings, without those that are the defaults. */
export function replace(settings) {
  const kept = Object.entries(settings ?? {}).filter(([name, value]) => {
    const field = state.schema?.find((item) => item.name === name);
    return field ? !same(value, field.default) : false;
  });
  state.settings = Object.fromEntries(kept);
  emit("settings");
}

const read = (field) => state.settings[field.name];

/** Builds both parts of the panel; `below` are elements that stand below the controls of settings, by name. */
export function panel(below = {}) {
  const make = (field) => control(field, () => read(field), (value) => set(field.name, value));
  const main = h("div", { class: "fields main" });
  const more = h("details", { class: "more" });
  const made = state.schema.map(make);
  controls = made;
  for (const { element, field } of made) if (below[field.name]) element.querySelector(".wrong").before(below[field.name]);
  main.append(...made.filter((item) => item.field.main).map((item) => item.element));
  const rest = made.filter((item) => !item.field.main);
  const count = h("span", { class: "count" });
  const none = h("p", { class: "soft small", hidden: true }, "No setting has this word.");
  const search = h("input", { type: "search", placeholder: "Search settings", "aria-label": "Search settings" });
  const sections = groups(rest);
  search.addEventListener("input", () => { none.hidden = find(sections, search.value) > 0; });
  const resetAll = button("Reset all", () => replace({}), { class: "link small" });
  more.append(h("summary", {}, h("span", {}, "More settings"), count),
    h("div", { class: "more-tools" }, search, resetAll), none, ...sections.map((item) => item.element));
  const showAll = () => {
    for (const item of controls) item.show();
    const changed = rest.filter((item) => item.element.classList.contains("changed")).length;
    count.textContent = changed ? `${changed} changed` : "";
    resetAll.hidden = Object.keys(state.settings).length === 0;
  };
  on("settings", showAll);
  showAll();
  return [main, more];
}

function groups(made) {
  const names = [...new Set(made.map((item) => item.field.group))];
  return names.map((name) => {
    const members = made.filter((item) => item.field.group === name);
    const element = h("fieldset", { class: "group" }, h("legend", { class: "title" }, name), members.map((m) => m.element));
    return { element, members };
  });
}

/** Shows the settings that have all the words; returns how many. */
function find(sections, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const { element, members } of sections) {
    const fit = members.filter(({ element: item, field }) => {
      const where = `${field.title} ${field.flag} ${field.help} ${field.group} ${(field.choices ?? []).join(" ")}`.toLowerCase();
      const fits = words.every((word) => where.includes(word));
      item.hidden = !fits;
      return fits;
    });
    element.hidden = fit.length === 0;
    found += fit.length;
  }
  return found;
}

/** Shows a refusal of the server at the setting it is about; false where there is none. */
export function refuseAt(error) {
  const name = error.field?.split(".").at(-1)?.replace(/^--/, "").replaceAll("-", "_");
  const found = controls.find((item) => item.field.name === name);
  if (!found) return false;
  found.element.closest("details")?.setAttribute("open", "");
  found.refuse(error.message);
  found.element.scrollIntoView({ block: "nearest" });
  return true;
}

/** The settings that differ, as a list of "strength 2". */
export function differences(settings, write) {
  const names = Object.keys(settings ?? {});
  return fill(h("ul", { class: "chips" }), names.map((name) => {
    const field = state.schema.find((item) => item.name === name);
    return h("li", {}, field ? write(field, settings[name]) : `${name} ${settings[name]}`);
  }));
}
