/** The page before there is a picture: two places to drop, and examples. */

import { pictureUrl } from "./api.js";
import { byId, fill, h, icon } from "./dom.js";
import { choose, dropOn, setPhoto, takeIn } from "./intake.js";
import { history, picture } from "./jobs.js";
import { refuse } from "./notices.js";
import { emit, makeStyle, state } from "./store.js";

const trouble = h("div", { class: "trouble" });

/** Shows what went wrong with a file, below the places to drop. */
export function refuseHere(error, again) {
  refuse(trouble, error, again ? [["Choose another", again]] : []);
}

/** Shows or hides the welcome, as the pictures are. */
export function welcome(openHistory) {
  const place = byId("welcome");
  const here = document.body.dataset.page === "welcome";
  place.hidden = !here;
  if (!here) return;
  const photo = zone("photo", "Your photo", state.photo);
  const painting = zone("painting", "A painting", state.styles[0]?.picture);
  if (state.photo) painting.classList.add("next");
  else if (state.styles.length) photo.classList.add("next");
  const title = heading();
  fill(place, h("h2", { id: "welcome-title" }, title[0]), h("p", {}, title[1]),
    h("div", { class: "zones" }, photo, painting), trouble, examples(), earlier(openHistory));
}

function heading() {
  if (state.photo) return ["Now a painting", "Any picture with a style of its own will do. The first draft begins at once."];
  if (state.styles.length) return ["Now a photo", "The first draft begins at once."];
  return ["Paint a photo in the style of a painting",
    "Drop two pictures, and watch the first draft appear. Nothing leaves this computer."];
}

function zone(role, title, info) {
  const take = (files) => {
    fill(trouble);
    return takeIn(files, role).catch((error) => refuseHere(error, open));
  };
  const open = () => choose(role === "painting", take);
  const element = h("button", { type: "button", class: "zone", data: { role, key: role }, onclick: open });
  if (info) {
    element.classList.add("full");
    element.append(h("img", { src: pictureUrl(info.picture, 768), alt: "" }), h("span", { class: "label" },
      h("span", { class: "unseen" }, `${title}: `), (role === "photo" && state.film?.clip.name) || (info.name ?? `${info.width} × ${info.height}`)));
  } else {
    element.append(icon(role === "photo" ? "photo" : "brush"), h("b", {}, title),
      h("span", {}, role === "photo" ? "Or a clip: drop, paste or click" : "One or several"));
  }
  dropOn(element, take);
  return element;
}

function examples() {
  const photo = state.photo ?? sample("photo");
  const paintings = state.samples.filter((item) => item.role === "painting");
  if (!photo || !paintings.length || (state.styles.length && !state.photo)) {
    return state.styles.length && sample("photo") ? only(sample("photo")) : null;
  }
  const list = paintings.map((item) => h("li", {}, h("button", { type: "button", class: "example", onclick: () => begin(photo, item) },
    h("span", { class: "pair" }, h("img", { src: pictureUrl(photo.picture, 384), alt: "" }),
      h("img", { src: pictureUrl(item.picture, 384), alt: "" })),
    h("span", {}, h("span", { class: "unseen" }, "Begin with the example: "), item.title, h("small", {}, item.credit)))));
  return h("div", { class: "examples" }, h("h3", {}, state.photo ? "Or one of these" : "Or begin with an example"),
    h("ul", {}, list));
}

/** The example photo, where only a painting is there. */
function only(photo) {
  const start = async () => { setPhoto(await picture(photo.picture)); emit("pictures"); };
  return h("div", { class: "examples" }, h("h3", {}, "Or the example photo"), h("ul", {}, h("li", {},
    h("button", { type: "button", class: "example", onclick: start },
      h("span", { class: "pair" }, h("img", { src: pictureUrl(photo.picture, 384), alt: "" })), h("span", {}, photo.title)))));
}

const sample = (role) => state.samples.find((item) => item.role === role);

async function begin(photo, painting) {
  try {
    const [first, second] = await Promise.all([photo, painting].map((item) => picture(item.picture)));
    setPhoto(first);
    state.styles = [makeStyle(second)];
    emit("pictures");
  } catch (error) {
    refuseHere(error);
  }
}

function earlier(openHistory) {
  const count = history().length;
  if (!count) return null;
  return h("div", { class: "earlier" }, h("button", { type: "button", class: "quiet", onclick: openHistory },
    count === 1 ? "Open your earlier picture" : `Open your ${count} earlier pictures`));
}

