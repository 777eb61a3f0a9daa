/** The dialog that downloads a result: format, bits, quality, metadata. */

import { file } from "./api.js";
import { button, fill, h } from "./dom.js";
import { dialog } from "./confirm.js";
import { refuse } from "./notices.js";
import { state } from "./store.js";

const METADATA = [["minimal", "Settings, color profile and resolution"], ["keep", "Also what the photo has, with place and camera"],
  ["strip", "Nothing"]];
const WORDS = { png: "PNG", tiff: "TIFF", jpeg: "JPEG", webp: "WebP", avif: "AVIF" };
const chosen = { format: "png", bits: 8, quality: 95, metadata: "minimal" }; // as the last time

export function download(job) {
  if (job.result.film) return void save(`/api/v1/jobs/${job.id}/result?download=1`);
  const formats = state.about.formats.write;
  const rest = h("div", { class: "download-rest" });
  const begin = button("Download", () => fetchFile(job, element, begin), { class: "primary" });
  const draw = () => fill(rest, bits(formats, draw), quality(formats), metadata());
  const element = dialog("Download", radios("Format", "format", formats.map(({ name }) => [name, WORDS[name] ?? name]), draw),
    rest, h("footer", {}, begin));
  element.classList.add("download");
  draw();
  begin.focus();
  return element;
}

const format = (formats) => formats.find(({ name }) => name === chosen.format) ?? formats[0];
const depth = ({ bits: offered }) => (offered.includes(chosen.bits) ? chosen.bits : offered[0]);

function radios(title, name, items, change = () => {}) {
  return h("fieldset", { class: `radios ${name}` }, h("legend", { class: "small soft" }, title), items.map(([value, label]) => {
    const box = h("input", { type: "radio", name, value, checked: chosen[name] === value, data: { key: `${name}-${value}` } });
    box.addEventListener("change", () => { chosen[name] = value; change(); });
    return h("label", {}, box, h("span", {}, label));
  }));
}

function bits(formats, draw) {
  const offered = format(formats).bits;
  if (offered.length < 2) return null;
  return radios("Bits for each color", "bits", offered.map((count) => [count, String(count)]), draw);
}

function quality(formats) {
  if (!format(formats).quality) return null;
  const text = h("output", { class: "number" }, String(chosen.quality));
  const range = h("input", { type: "range", min: 1, max: 100, value: chosen.quality, id: "download-quality", data: { key: "quality" } });
  const show = () => range.style.setProperty("--fill", `${range.value}%`);
  range.addEventListener("input", () => { chosen.quality = Number(range.value); text.textContent = range.value; show(); });
  show();
  return h("div", { class: "download-quality" }, h("label", { for: "download-quality", class: "small soft" }, "Quality"), range, text);
}

const metadata = () => radios("What the file says about itself", "metadata", METADATA);

/** Has the browser save a file; its name is the server's unless there is one. */
export function save(url, name = "") {
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

async function fetchFile(job, place, begin) {
  const query = new URLSearchParams({ format: chosen.format, bits: depth(format(state.about.formats.write)), metadata: chosen.metadata, download: 1 });
  if (format(state.about.formats.write).quality) query.set("quality", chosen.quality);
  begin.disabled = true;
  begin.textContent = "Preparing the file";
  try {
    const { blob, name } = await file(`/jobs/${job.id}/result?${query}`);
    const url = URL.createObjectURL(blob);
    save(url, name);
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    place.close();
  } catch (error) {
    refuse(place, error);
    begin.disabled = false;
    begin.textContent = "Try again";
  }
}
