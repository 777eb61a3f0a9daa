/** The picture that a painting starts from, below the setting `init`. */

import { pictureUrl } from "./api.js";
import { fill, h, icon, iconButton } from "./dom.js";
import { choose, dropOn, takeIn } from "./intake.js";
import { refuse } from "./notices.js";
import { emit, on, startMissing, state } from "./store.js";

/** Builds the part; it is empty unless `init` is "picture". */
export function startPart() {
  const element = h("div", { class: "start" });
  const take = (files) => takeIn(files.slice(0, 1), "start").catch((error) => refuse(element, error, [["Choose another", open]]));
  const open = () => choose(false, take);
  let drawn = null;
  const draw = () => {
    const now = state.settings.init === "picture" ? (state.start?.picture ?? "none") : "";
    if (now === drawn) return;
    drawn = now;
    if (now) fill(element, state.start ? chosen(state.start, open) : missing(open));
    else fill(element);
  };
  dropOn(element, take);
  on("pictures settings", draw);
  on("startmissing", (asked) => demand(element, asked));
  draw();
  return element;
}

function missing(open) {
  return h("button", { type: "button", class: "zone start-zone", data: { key: "start" }, onclick: open }, icon("file"),
    h("span", {}, "Drop or choose the picture to start from. Nothing is painted without it."));
}

function chosen(info, open) {
  const remove = () => {
    state.start = null;
    emit("pictures");
  };
  return h("div", { class: "work" },
    h("button", { type: "button", class: "thumb", onclick: open, title: "Choose another picture to start from",
      "aria-label": `Choose another picture to start from than ${info.name}`, data: { key: "start" } },
    h("img", { src: pictureUrl(info.picture, 256), alt: "" })),
    h("div", { class: "work-text" }, h("p", { class: "name", title: info.name }, info.name),
      h("p", { class: "soft small number" }, `${info.width} × ${info.height}`)),
    iconButton("close", `Remove ${info.name}`, remove, { class: "icon small-icon", data: { key: "remove-start" } }));
}

/** Shows where the picture is missing; `asked`: by somebody who wants to paint. */
function demand(element, asked) {
  const more = element.closest("details");
  if (!startMissing() || (more?.open && !asked)) return;
  more?.setAttribute("open", "");
  element.scrollIntoView({ block: "center" });
  if (asked) element.querySelector("button")?.focus();
}
