/** Keys, and the dialog that lists them. */

import { h } from "./dom.js";
import { dialog } from "./confirm.js";

const KEYS = [["Ctrl + Enter", "Paint at full size"], ["1  2  3  4", "Result, before and after, side by side, photo"],
  ["Space", "Hold to see the photo"], ["+  −  0", "Zoom in, out, fit"], ["Shift + 1", "100 %"], ["Arrows", "Move the picture when it is zoomed"],
  ["L", "Loupe at 100 %"], ["M", "Masks"], ["B  E", "Brush, eraser"], ["[  ]", "Size of the brush"], ["I", "Invert the mask"],
  ["Ctrl + Z", "Undo in masks, with Shift redo"], ["D", "Download"], ["Esc", "Leave masks, close"], ["?", "This list"]];

export function helpDialog() {
  dialog("Keys", h("dl", { class: "keys" }, KEYS.map(([keys, text]) => h("div", {}, h("dt", {}, keys.split("  ").map((key) => h("kbd", {}, key))), h("dd", {}, text)))),
    h("p", { class: "small soft" }, "The wheel zooms, dragging moves, a double click changes between the whole picture and 100 %. Drop or paste files anywhere."));
}

const typing = (element) => element.matches?.("input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select");

/** `act` has functions by name. */
export function listenKeys(stage, act) {
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") return void act.paint();
    if (document.querySelector("dialog[open]") || typing(event.target)) return;
    if (stage.masks.open && stage.masks.onKey(event)) return void event.preventDefault();
    if (event.ctrlKey || event.metaKey || event.altKey || document.body.dataset.page !== "work") {
      if (event.key === "?") helpDialog();
      return;
    }
    if (key(event, stage, act)) event.preventDefault();
  });
  document.addEventListener("keyup", (event) => event.key === " " && stage.peek(false));
}

function key(event, stage, act) {
  const { viewer } = stage;
  const free = !event.target.matches("button, a, input, summary, video, [role=slider], [role=radio]");
  if (event.shiftKey && event.code === "Digit1") return viewer.zoomTo(100) ?? true;
  const mode = { 1: "result", 2: "slider", 3: "side", 4: "photo" }[event.key];
  if (mode) return stage.setMode(mode) ?? true;
  const move = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
  if (move && free && stage.loupe.on) {
    stage.loupe.move(stage.loupe.at.u - move[0] / 1000, stage.loupe.at.v - move[1] / 1000);
    return true;
  }
  if (move && free && !viewer.view.fit) return viewer.moveBy(...move) ?? true;
  switch (event.key) {
    case " ": if (free) stage.peek(true); return free;
    case "+": case "=": return viewer.zoomBy(1.5) ?? true;
    case "-": return viewer.zoomBy(1 / 1.5) ?? true;
    case "0": return viewer.fit() ?? true;
    case "l": return stage.toggleLoupe() ?? true;
    case "m": return act.masks() ?? true;
    case "d": return act.download() ?? true;
    case "?": return helpDialog() ?? true;
    default: return false;
  }
}

