/** Dialogs: a frame for all, and a question with two answers. */

import { button, h, iconButton } from "./dom.js";

/** Opens a dialog; returns it. It leaves the page when it is closed. */
export function dialog(title, ...content) {
  const element = h("dialog", { "aria-labelledby": "dialog-title" },
    h("header", {}, h("h2", { id: "dialog-title" }, title), iconButton("close", "Close", () => element.close())), ...content);
  element.addEventListener("close", () => element.remove());
  element.addEventListener("click", (event) => event.target === element && element.close());
  document.body.append(element);
  element.showModal();
  return element;
}

/** Asks; true where the answer is yes. */
export function ask(title, text, yes, no = "Keep") {
  return new Promise((resolve) => {
    const answer = (value) => () => { resolve(value); element.close(); };
    const element = dialog(title, h("p", {}, text), h("footer", {}, button(no, answer(false)),
      button(yes, answer(true), { class: "primary" })));
    element.addEventListener("close", () => resolve(false));
  });
}
