/** A picture that is replaced without a flash: the next one is decoded before it is shown. */

import { h } from "./dom.js";

export function still(alt, props = {}) {
  const element = h("span", { class: "still", ...props });
  let wanted = "";
  let shown = "";
  let busy = false;
  async function work() {
    busy = true;
    while (wanted !== shown) {
      const url = wanted;
      const image = h("img", { src: url, alt, decoding: "sync", draggable: "false" });
      try {
        await image.decode();
        element.replaceChildren(image);
      } catch {
        if (wanted === url) break; // it stays as it was; the next event asks again
        continue;
      }
      shown = url;
    }
    busy = false;
  }
  async function show(url) {
    wanted = url;
    if (!busy) await work();
  }
  return { element, show };
}
