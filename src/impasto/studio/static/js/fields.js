/** The settings as the page needs them, made from the JSON Schema of the server. */

const EXPECTED = { size: [64, 2048], min_size: [32, 1024], evaluations: [1, 500], content_weight: [0.001, 1e5], style_weight: [0.001, 1e7],
  total_variation: [0, 1e10], laplacian: [0, 100], self_similarity: [0, 100], grain: [0, 100], seed: [0, 1000],
  history: [1, 100], line_search: [1, 100], adam_epsilon: [1e-10, 1] };
const WIDE = 50; // times: a range wider than that has a logarithmic slider

/** Makes a list of fields in the order of the schema: main ones first. */
export function fieldsOf(schema) {
  const defs = schema.$defs ?? {};
  return Object.entries(schema.properties)
    .map(([name, property]) => fieldOf(name, resolve(property, defs)))
    .sort((a, b) => a.order - b.order);
}

function resolve(property, defs) {
  const target = property.$ref && defs[property.$ref.split("/").at(-1)];
  return target ? { ...target, ...property } : property;
}

function fieldOf(name, property) {
  const kinds = property.anyOf ?? [property];
  const kind = kinds.find((item) => item.type !== "null") ?? property;
  const optional = kinds.some((item) => item.type === "null");
  const whole = kind.type === "integer";
  const limit = (key) => kind[key] ?? property[key];
  const smallest = limit("minimum") ?? limit("exclusiveMinimum") ?? null;
  const largest = limit("maximum") ?? limit("exclusiveMaximum") ?? null;
  const choices = kind.enum ?? property.enum ?? null;
  return {
    name, optional, whole, smallest, largest, choices,
    type: typeOf(kind, choices),
    title: property.title ?? name.replaceAll("_", " "),
    help: property.description ?? "",
    default: property.default ?? null,
    unit: property["x-unit"] ?? "",
    group: property["x-group"] ?? "",
    flag: property["x-flag"] ?? `--${name.replaceAll("_", "-")}`,
    main: Boolean(property["x-main"]),
    order: property["x-order"] ?? 1000,
    slider: slider(name, smallest, largest, whole),
  };
}

function typeOf(kind, choices) {
  if (choices) return "choice";
  return { integer: "number", number: "number", boolean: "switch", object: "layers" }[kind.type] ?? "text";
}

/** The ends of the slider: of the setting, or where people look for it when those are far away. */
function slider(name, smallest, largest, whole) {
  const [low, high] = EXPECTED[name] ?? [smallest ?? 0, largest ?? 100];
  const log = low > 0 ? high / low > WIDE : high > 1000;
  return { low, high, log, zero: log && low <= 0, whole };
}

const STEPS = 1000;
const DECADES = 6; // of a logarithmic slider that begins with 0

/** Where a value stands on its slider, 0 to 1000. */
export function toSlider({ low, high, log, zero }, value) {
  const inside = Math.min(Math.max(value, low), high);
  if (!log) return Math.round((STEPS * (inside - low)) / (high - low));
  if (zero && inside <= 0) return 0;
  const bottom = zero ? high / 10 ** DECADES : low;
  return Math.max(zero ? 1 : 0, Math.round((STEPS * Math.log(inside / bottom)) / Math.log(high / bottom)));
}

/** The value at a place of a slider, rounded to what people would type. */
export function fromSlider({ low, high, log, zero, whole }, place) {
  if (place <= 0) return low;
  if (place >= STEPS) return high;
  const bottom = zero ? high / 10 ** DECADES : low;
  const value = log ? bottom * (high / bottom) ** (place / STEPS) : low + ((high - low) * place) / STEPS;
  if (whole) return value > 256 ? 16 * Math.round(value / 16) : Math.round(value);
  return log ? Number(value.toPrecision(2)) : Number(value.toFixed(high - low > 10 ? 1 : 2));
}

/** A value as text, as the command line writes it. */
export function textOf(field, value) {
  if (value === null || value === undefined) return "not set";
  if (field.type === "layers") return layersText(value);
  if (field.type === "switch") return value ? "yes" : "no";
  return typeof value === "number" ? number(value) : String(value);
}

function number(value) {
  return String(Number(value.toPrecision(12)));
}

export function layersText(value) {
  return Object.entries(value).map(([layer, w]) => (w === 1 ? layer : `${layer}=${number(w)}`)).join(",");
}

/** Reads `relu1_1,relu2_1=0.5`; null where it is not that. */
export function layersOf(text) {
  const layers = {};
  for (const part of text.split(",").map((item) => item.trim()).filter(Boolean)) {
    const [, layer, weight] = /^([A-Za-z0-9_.]+)\s*(?:=\s*([0-9.eE+-]+))?$/.exec(part) ?? [];
    const amount = weight === undefined ? 1 : Number(weight);
    if (!layer || !Number.isFinite(amount)) return null;
    layers[layer] = amount;
  }
  return Object.keys(layers).length ? layers : null;
}

/** The range in words: "0.1 to 10 px". */
export function rangeText(field) {
  const unit = field.unit ? ` ${field.unit}` : "";
  const { smallest, largest } = field;
  if (field.type === "choice" || (smallest === null && largest === null)) return "";
  if (largest === null || largest > 1e15) return `${number(smallest)} or more${unit}`;
  return `${number(smallest)} to ${number(largest)}${unit}`;
}

export const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
