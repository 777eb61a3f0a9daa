/** The curve of the loss over the evaluations. */

import { h, loadScript, number } from "./dom.js";

/** Builds the plot; `draw(losses)` shows points [evaluation, loss]. */
export function curve() {
  const place = h("div", { class: "curve", role: "img", "aria-label": "Loss" });
  let plot = null;
  let newest = null;
  let starting = null;
  async function start() {
    document.head.querySelector("[href='vendor/uplot.css']") ?? document.head.append(h("link", { rel: "stylesheet", href: "vendor/uplot.css" }));
    await loadScript("vendor/uplot.js");
    const css = getComputedStyle(document.documentElement);
    const color = (name) => css.getPropertyValue(name).trim();
    const probe = (name) => { place.style.color = `var(${name})`; const found = getComputedStyle(place).color; place.style.color = ""; return found; };
    const axis = { stroke: probe("--soft"), grid: { show: false }, ticks: { show: false },
      font: `11px ${color("--plain") || "sans-serif"}` };
    plot = new window.uPlot({
      width: Math.max(120, place.clientWidth), height: 110, legend: { show: false }, cursor: { show: false },
      padding: [6, 10, 0, 0],
      scales: { x: { time: false }, y: { distr: 3 } },
      axes: [{ ...axis, size: 22, space: 60 }, { ...axis, size: 44, space: 28, values: (_, all) => all.map((value) => (value === null ? "" : short(value))) }],
      series: [{}, { stroke: probe("--accent"), width: 1.75, points: { show: false } }],
    }, [[], []], place);
    new ResizeObserver(() => plot?.setSize({ width: Math.max(120, place.clientWidth), height: 110 })).observe(place);
  }
  async function draw(losses) {
    newest = (losses ?? []).filter(([, loss]) => loss > 0);
    place.hidden = newest.length < 2;
    if (place.hidden) return;
    const [first, last] = [newest[0], newest.at(-1)];
    place.setAttribute("aria-label", `Loss, from ${number(first[1])} to ${number(last[1])} in ${last[0]} evaluations`);
    starting ??= start();
    await starting;
    plot.setData([newest.map(([at]) => at), newest.map(([, loss]) => loss)]);
  }
  function restart() { // colors of the other theme
    plot?.destroy();
    plot = null;
    starting = null;
    if (newest) draw(newest);
  }
  return { element: place, draw, restart };
}

const short = (value) => (value >= 1e4 || value < 0.01 ? value.toExponential(0).replace("e+", "e") : String(Number(value.toPrecision(2))));
