/** Photo and paintings of the setup, at the top of the controls. */

import { pictureUrl } from "./api.js";
import { clipFacts, rangeControl } from "./clips.js";
import { fill, h, icon, iconButton } from "./dom.js";
import { choose, dropOn, takeIn } from "./intake.js";
import { refuse } from "./notices.js";
import { emit, on, state } from "./store.js";
import { colorOf } from "./regions.js";

/** Builds the part; `openMasks(key)` opens the editor. */
export function setup(openMasks) {
  const element = h("div", { class: "setup" });
  const draw = () => {
    if (!state.photo) return fill(element);
    return fill(element, photo(openMasks), paintings(openMasks));
  };
  on("pictures masks", draw);
  on("film", () => { // the range stays as it is, for a hand may be on it
    element.querySelector("[data-key=photo] img")?.setAttribute("src", pictureUrl(state.photo.picture, 256));
  });
  on("weights", () => element.querySelectorAll(".share output").forEach((output, index) => {
    output.textContent = percent(state.styles[index]);
  }));
  draw();
  return element;
}

function taking(place, role) {
  const take = (files) => takeIn(files, role).catch((error) => refuse(place, error, [["Choose another", open]]));
  const open = () => choose(role === "painting", take);
  dropOn(place, take);
  return open;
}

function photo(openMasks) {
  const info = state.photo;
  const { film } = state;
  const name = film ? film.clip.name : info.name;
  const other = film ? "Choose another clip or photo" : "Choose another photo";
  const place = h("section", { class: "work", "aria-label": film ? "Clip" : "Photo" });
  const open = taking(place, "photo");
  place.append(h("button", { type: "button", class: "thumb", onclick: open, "aria-label": other,
    title: other, data: { key: "photo" } }, h("img", { src: pictureUrl(info.picture, 256), alt: "" }), film && icon("play")),
    h("div", { class: "work-text" }, h("h2", { class: "label" }, film ? "Clip" : "Photo"), h("p", { class: "name", title: name }, name),
      h("p", { class: "soft small number" }, film ? clipFacts(film) : facts(info)),
      h("button", { type: "button", class: "link small", data: { key: "protect" }, onclick: () => openMasks("protect") },
        state.protect ? "Protected parts" : "Protect a part")));
  if (film) place.append(rangeControl());
  return place;
}

function facts({ width, height, bits, alpha }) {
  return [`${width} × ${height}`, bits === 16 && "16 bits", alpha && "transparent"].filter(Boolean).join(" · ");
}

function paintings(openMasks) {
  const place = h("section", { class: "paintings", "aria-label": "Paintings" });
  const open = taking(place, "painting");
  const several = state.styles.length > 1;
  const limit = state.about?.limits.styles ?? 16;
  place.append(h("div", { class: "row" }, h("h2", { class: "label" }, several ? "Paintings" : "Painting"),
    h("button", { type: "button", class: "link small", onclick: open, disabled: state.styles.length >= limit,
      data: { key: "add" } }, "Add another")));
  state.styles.forEach((style, index) => place.append(painting(style, index, several, openMasks)));
  return place;
}

function painting(style, index, several, openMasks) {
  const { picture: info, key } = style;
  const remove = () => {
    state.styles = state.styles.filter((item) => item !== style);
    emit("pictures");
  };
  const swap = () => choose(false, async (files) => {
    const before = state.styles.length;
    await takeIn(files, "painting").catch((error) => refuse(place, error));
    if (state.styles.length > before) {
      style.picture = state.styles.pop().picture;
      emit("pictures");
    }
  });
  const place = h("div", { class: "work", data: { style: key } },
    h("button", { type: "button", class: "thumb", onclick: swap, title: "Choose another painting",
      "aria-label": `Choose another painting than ${info.name}`, data: { key: `swap-${key}` } },
      h("img", { src: pictureUrl(info.picture, 256), alt: "" })),
    h("div", { class: "work-text" }, h("p", { class: "name", title: info.name }, info.name),
      several ? share(style, index) : h("p", { class: "soft small number" }, facts(info)),
      h("button", { type: "button", class: "link small", data: { key: `mask-${key}` }, onclick: () => openMasks(key) },
        h("span", { class: "swatch", style: { "--swatch": colorOf(key) } }),
        style.mask ? "Painted in its mask" : "Only in a part")),
    iconButton("close", `Remove ${info.name}`, remove, { class: "icon small-icon", data: { key: `remove-${key}` } }));
  return place;
}

/** How much a painting counts among the others. */
function share(style, index) {
  const range = h("input", { type: "range", min: 0.05, max: 1, step: 0.05, value: Math.min(style.weight, 1),
    "aria-label": `Share of painting ${index + 1}, ${style.picture.name}`, data: { key: `share-${style.key}` } });
  const fillUp = () => range.style.setProperty("--fill", `${((range.value - 0.05) / 0.95) * 100}%`);
  range.addEventListener("input", () => {
    style.weight = Number(range.value);
    fillUp();
    emit("weights");
  });
  fillUp();
  return h("div", { class: "share" }, range, h("output", { class: "number small soft" }, percent(style)));
}

/** The share of a painting in words. */
function percent(style) {
  const total = state.styles.reduce((sum, item) => sum + item.weight, 0);
  return `${Math.round((100 * style.weight) / total)} %`;
}

