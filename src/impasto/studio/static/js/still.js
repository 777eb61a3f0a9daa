/** A picture that is replaced without a flash: the next one is decoded before it is shown. */

import { h } from "./dom.js";

export function still(alt, props = {}) {
  const element = h("span", { class: "still", ...props });
  let next = "";
  let shown = "";
  let busy = false;
  async function work() {
    busy = true;
    while (next !== shown) {
      const url = next;
      const image = h("img", { src: url, alt, decoding: "sync", draggable: "false" });
      try {
        await image.decode();
        element.replaceChildren(image);
      } catch {
        if (next === url) break; // it stays as it was; the next event asks again
        continue;
      }
      shown = url;
    }
    busy = false;
  }
  async function show(url) {
    next = url;
    if (!busy) await work();
  }
  return { element, show };
}
