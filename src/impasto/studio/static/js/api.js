/** Calls of the server. A refusal is a `Problem` with the sentence of the server. */

const ROOT = "/api/v1";

/** One for each load of the page: a new draft ends the one before of the same client. */
export const client = crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random()}`.replace(".", "");

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The studio answered with error ${status}.`);
    this.status = status;
    this.field = body.field || null;
  }
}

const GONE = "The studio does not answer. Is it still running?";

async function send(method, path, { json, form, signal, keepalive, key } = {}) {
  const headers = { "X-Client-Id": client };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const body = form ?? (json === undefined ? undefined : JSON.stringify(json));
  let response;
  try {
    response = await fetch(ROOT + path, { method, headers, body, signal, keepalive });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: GONE });
  }
  if (response.ok) return response;
  const refusal = await response.json().catch(() => ({}));
  throw new Problem(response.status, typeof refusal.detail === "string" ? refusal : { title: refusal.title });
}

async function call(method, path, options) {
  const response = await send(method, path, options);
  return response.status === 204 ? null : response.json().catch(() => null);
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, json, options = {}) => call("POST", path, { json: json ?? {}, ...options });
export const patch = (path, json) => call("PATCH", path, { json });
export const remove = (path) => call("DELETE", path);

export function upload(path, file, name = file.name) {
  const form = new FormData();
  form.append("file", file, name || "picture.png");
  return call("POST", path, { form });
}

/** Fetches a file; returns it with the name that the server gave it. */
export async function file(path) {
  const response = await send("GET", path);
  const about = response.headers.get("Content-Disposition") || "";
  const coded = /filename\*=UTF-8''([^;]+)/i.exec(about)?.[1];
  const plain = /filename="?([^";]+)"?/i.exec(about)?.[1];
  return { blob: await response.blob(), name: coded ? decodeURIComponent(coded) : plain || "picture" };
}

/** Addresses of pictures. A part is {x, y, width, height} in pixels of the whole picture. */
function address(path, values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== null && value !== undefined) query.set(name, value);
  return `${ROOT}${path}?${query}`;
}

export const pictureUrl = (id, edge, part = {}) => address(`/pictures/${id}/image`, { edge, ...part });
export const previewUrl = (id, edge, v) => address(`/jobs/${id}/preview`, { edge, v });
export const filmUrl = (id) => `${ROOT}/jobs/${id}/result`;
export const resultUrl = (id, edge, part = {}) => address(`/jobs/${id}/result`, { edge, ...part });
