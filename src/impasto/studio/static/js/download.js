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
  const formats = state.about.formats.write;
  const rest = h("div", { class: "download-rest" });
  const save = button("Download", () => fetchFile(job, element, save), { class: "primary" });
  const draw = () => fill(rest, bits(formats, draw), quality(formats), metadata());
  const element = dialog("Download", radios("Format", "format", formats.map(({ name }) => [name, WORDS[name] ?? name]), draw),
    rest, h("footer", {}, save));
  element.classList.add("download");
  draw();
  save.focus();
  return element;
}

const format = (formats) => formats.find(({ name }) => name === chosen.format) ?? formats[0];

function radios(title, name, items, change = () => {}) {
  return h("fieldset", { class: `radios ${name}` }, h("legend", { class: "small soft" }, title), items.map(([value, label]) => {
    const box = h("input", { type: "radio", name, value, checked: chosen[name] === value, data: { key: `${name}-${value}` } });
    box.addEventListener("change", () => { chosen[name] = value; change(); });
    return h("label", {}, box, h("span", {}, label));
  }));
}

function bits(formats, draw) {
  const offered = format(formats).bits;
  if (!offered.includes(chosen.bits)) [chosen.bits] = offered;
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

async function fetchFile(job, place, save) {
  const query = new URLSearchParams({ format: chosen.format, bits: chosen.bits, metadata: chosen.metadata, download: 1 });
  if (format(state.about.formats.write).quality) query.set("quality", chosen.quality);
  save.disabled = true;
  save.textContent = "Preparing the file";
  try {
    const { blob, name } = await file(`/jobs/${job.id}/result?${query}`);
    const url = URL.createObjectURL(blob);
    const link = h("a", { href: url, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    place.close();
  } catch (error) {
    refuse(place, error);
    save.disabled = false;
    save.textContent = "Try again";
  }
}
