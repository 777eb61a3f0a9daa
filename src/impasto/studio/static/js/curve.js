/** The curve of the loss over the evaluations, in SVG with a logarithmic axis. Its colors are in side.css. */

import { h, number } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 110; // px
const [LEFT, RIGHT, TOP, BOTTOM] = [44, 10, 8, 20]; // px around the curve
const APART = { x: 52, y: 15 }; // px between two labels, at least

/** Builds the plot; `draw(losses)` shows points [evaluation, loss]. */
export function curve() {
  const place = h("div", { class: "curve", role: "img", "aria-label": "Loss" });
  const mark = make("circle", { r: 3.5, class: "mark" });
  const value = make("text", { class: "value" });
  let points = [];
  let drawn = []; // the same in px
  function plot() {
    const width = place.clientWidth;
    if (points.length < 2 || width < 120) return;
    const x = scale(points.map(([at]) => at), LEFT, width - RIGHT);
    const y = scale(points.map(([, loss]) => Math.log10(loss)), HEIGHT - BOTTOM, TOP);
    drawn = points.map(([at, loss]) => [x.px(at), y.px(Math.log10(loss))]);
    const line = drawn.map((point) => point.map((part) => part.toFixed(1)).join(" ")).join("L");
    const picture = make("svg", { width, height: HEIGHT, "aria-hidden": "true" });
    for (const at of even(x)) picture.append(text(short(at), x.px(at), HEIGHT - 4, "middle"));
    for (const loss of decades(y)) picture.append(text(short(loss), LEFT - 8, y.px(Math.log10(loss)) + 4, "end"));
    picture.append(make("path", { d: `M${line}` }), mark, value);
    place.replaceChildren(picture);
    point(null);
  }
  /** Shows the value below the pointer. */
  function point(event) {
    for (const item of [mark, value]) item.setAttribute("visibility", event ? "visible" : "hidden");
    if (!event || !drawn.length) return;
    const at = event.clientX - place.getBoundingClientRect().left;
    const near = drawn.reduce((best, [x], index) => (Math.abs(x - at) < Math.abs(drawn[best][0] - at) ? index : best), 0);
    const [x, y] = drawn[near];
    set(mark, { cx: x, cy: y });
    const late = x > place.clientWidth - 100; // above the curve, which falls
    set(value, { x: late ? x - 8 : x + 8, y: Math.max(12, y - 8), "text-anchor": late ? "end" : "start" });
    value.textContent = `${number(points[near][1])} at ${points[near][0]}`;
  }
  function draw(losses) {
    points = (losses ?? []).filter(([, loss]) => loss > 0);
    place.hidden = points.length < 2;
    if (place.hidden) return;
    const [first, last] = [points[0], points.at(-1)];
    place.setAttribute("aria-label", `Loss, from ${number(first[1])} to ${number(last[1])} in ${last[0]} evaluations`);
    plot();
  }
  place.addEventListener("pointermove", point);
  place.addEventListener("pointerleave", () => point(null));
  new ResizeObserver(plot).observe(place);
  return { element: place, draw };
}

function set(element, values) {
  for (const [name, item] of Object.entries(values)) element.setAttribute(name, item);
  return element;
}

const make = (tag, values) => set(document.createElementNS(SVG, tag), values);

function text(words, x, y, anchor) {
  const element = make("text", { x, y, "text-anchor": anchor });
  element.textContent = words;
  return element;
}

/** Maps values to px between two ends. */
function scale(values, from, to) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const span = high - low || 1;
  return { low, high, room: Math.abs(to - from), px: (item) => from + ((item - low) / span) * (to - from) };
}

/** Round numbers of a linear axis, as many as have room. */
function even({ low, high, room }) {
  const least = ((high - low) * APART.x) / room;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = Math.max(1, [1, 2, 5, 10].find((factor) => factor * power >= least) * power);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) found.push(at);
  return found;
}

/** Round numbers of a logarithmic axis: decades, with 2 and 5 or all between where there is room. */
function decades(axis) {
  const apart = (found) => found.every((item, index) => !index || axis.px(Math.log10(found[index - 1])) - axis.px(Math.log10(item)) >= APART.y);
  let best = [];
  for (const digits of [[1], [1, 3], [1, 2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) {
    const found = [];
    for (let power = Math.floor(axis.low); power <= axis.high; power += 1) {
      for (const digit of digits) {
        const at = power + Math.log10(digit);
        if (at >= axis.low && at <= axis.high) found.push(digit * 10 ** power);
      }
    }
    if (!best.length || apart(found)) best = found;
  }
  return apart(best) ? best : best.filter((item, index) => index % Math.ceil((best.length * APART.y) / axis.room) === 0);
}

const short = (value) => (value >= 1e4 || value < 0.01 ? value.toExponential(0).replace("e+", "e") : String(Number(value.toPrecision(2))));
