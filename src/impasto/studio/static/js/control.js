/** One control of a setting: label, value, range, default, and a button that resets it. */

import { h, icon, number } from "./dom.js";
import { fromSlider, layersOf, layersText, rangeText, same, textOf, toSlider } from "./fields.js";

/** Makes the control of a field. `read()` is the value or undefined, `write(value)` sets it, undefined resets. */
export function control(field, read, write) {
  const id = `f-${field.name}`;
  const reset = h("button", { type: "button", class: "icon reset", onclick: () => write(undefined),
    "aria-label": `Reset ${field.title} to ${textOf(field, field.default)}`, title: `Reset to ${textOf(field, field.default)}` },
    icon("reset"));
  const wrong = h("p", { class: "wrong small", id: `${id}-wrong`, role: "alert", hidden: true });
  const change = (value) => {
    wrong.hidden = true;
    write(same(value, field.default) ? undefined : value);
  };
  const refuse = (text) => {
    wrong.textContent = text;
    wrong.hidden = false;
  };
  const kind = KINDS[field.type](field, id, change, refuse);
  const element = h("div", { class: `field ${field.type}`, data: { name: field.name, key: id } },
    h("div", { class: "field-head" }, h(kind.labeled ? "label" : "span", { for: kind.labeled ? id : null, id: `${id}-label` },
      capital(field.title)), reset, kind.value ?? null), kind.body, wrong);
  if (!field.main) element.append(about(field, id));
  else element.title = field.help;
  function show() {
    const value = read();
    const changed = value !== undefined && !same(value, field.default);
    element.classList.toggle("changed", changed);
    reset.hidden = !changed;
    kind.show(value === undefined ? field.default : value);
  }
  show();
  return { element, show, refuse, field };
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function about(field, id) {
  const facts = [rangeText(field), `default ${textOf(field, field.default)}`, field.flag].filter(Boolean);
  return h("p", { class: "field-about small soft", id: `${id}-about` }, field.help, " ",
    h("span", { class: "facts" }, facts.join(" · ")));
}

const describes = (field, id) => (field.main ? null : `${id}-about`);

/** A slider and a box for the number. */
function numberField(field, id, change, refuse) {
  const label = { "aria-labelledby": `${id}-label`, "aria-describedby": describes(field, id) };
  const range = h("input", { type: "range", min: 0, max: 1000, step: 1, ...label });
  const box = h("input", { type: "number", id, step: "any", inputmode: "decimal", placeholder: "auto",
    min: field.smallest, max: field.largest, "aria-describedby": describes(field, id) });
  range.addEventListener("input", () => {
    const value = fromSlider(field.slider, Number(range.value));
    box.value = value;
    paint(value);
    change(value);
  });
  box.addEventListener("change", () => {
    if (box.value === "" && !box.validity.badInput) return change(field.optional ? null : field.default);
    const value = Number(box.value);
    const low = field.smallest !== null && value < field.smallest;
    const high = field.largest !== null && value > field.largest;
    if (box.validity.badInput || low || high) return refuse(`${field.flag} must be ${rangeText(field)}.`);
    if (field.whole && !Number.isInteger(value)) return refuse(`${field.flag} must be a whole number.`);
    return change(value);
  });
  function paint(value) {
    const unset = value === null || value === undefined;
    range.classList.toggle("unset", unset);
    range.style.setProperty("--fill", unset ? "0%" : `${toSlider(field.slider, value) / 10}%`);
    const unit = field.unit ? ` ${field.unit}` : "";
    range.setAttribute("aria-valuetext", unset ? "automatic" : `${number(value)}${unit}`);
  }
  function show(value) {
    const unset = value === null || value === undefined;
    if (document.activeElement !== box) box.value = unset ? "" : value;
    if (document.activeElement !== range || unset) range.value = unset ? middle(field) : toSlider(field.slider, value);
    paint(value);
  }
  const unit = field.unit && field.unit.length < 4 ? h("span", { class: "unit soft small" }, field.unit) : null;
  return { labeled: true, value: h("span", { class: "box" }, box, unit), body: range, show };
}

/** Where the thumb of a number that is not set stands. */
const middle = (field) => toSlider(field.slider, field.name === "size" ? 512 : 1);

/** Few choices are a row of buttons, many a list. */
function choiceField(field, id, change) {
  const long = field.choices.length > 4 || field.choices.join("").length > 28;
  if (long) {
    const list = h("select", { id, "aria-describedby": describes(field, id), onchange: () => change(list.value) },
      field.choices.map((choice) => h("option", { value: choice }, String(choice))));
    return { labeled: true, body: list, show: (value) => { list.value = value; } };
  }
  const row = h("div", { class: "segments", role: "radiogroup", "aria-labelledby": `${id}-label` });
  const buttons = field.choices.map((choice) => h("button", { type: "button", role: "radio", "aria-checked": "false",
    onclick: () => change(choice) }, String(choice)));
  row.append(...buttons);
  row.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const here = buttons.indexOf(document.activeElement);
    const next = (here + step + buttons.length) % buttons.length;
    buttons[next].focus();
    change(field.choices[next]);
  });
  const show = (value) => buttons.forEach((item, index) => {
    const checked = field.choices[index] === value;
    item.setAttribute("aria-checked", String(checked));
    item.tabIndex = checked ? 0 : -1;
  });
  return { body: row, show };
}

function switchField(field, id, change) {
  const box = h("input", { type: "checkbox", id, "aria-describedby": describes(field, id),
    onchange: () => change(box.checked) });
  return { labeled: true, value: box, body: "", show: (value) => { box.checked = Boolean(value); } };
}

function textField(field, id, change, refuse) {
  const layers = field.type === "layers";
  const box = h("input", { type: "text", id, spellcheck: "false", autocomplete: "off", placeholder: "not set",
    "aria-describedby": describes(field, id) });
  box.addEventListener("change", () => {
    const text = box.value.trim();
    if (!layers) return change(text || null);
    const value = layersOf(text);
    return value ? change(value) : refuse(`${field.flag} is written like relu1_1,relu2_1=0.5.`);
  });
  const show = (value) => { box.value = value ? (layers ? layersText(value) : value) : ""; };
  return { labeled: true, body: box, show };
}

const KINDS = { number: numberField, choice: choiceField, switch: switchField, text: textField, layers: textField };
