/** The jobs that the page knows of, and what can be said of one. */

import { get, pictureUrl, post, previewUrl, remove, resultUrl } from "./api.js";
import { emit, show, state } from "./store.js";

export const jobs = new Map();
const pictures = new Map(); // id -> promise of what the server says of it

export const active = (job) => ["queued", "running", "paused"].includes(job.state);
export const finished = (job) => Boolean(job.result);

/** Notes what the server says of a job; what it leaves out, such as losses, stays. */
export function note(job) {
  const before = jobs.get(job.id);
  const late = before && !active(before) && job.state && active(job); // an answer that an event overtook
  const merged = late ? { ...job, ...before } : { ...before, ...job };
  if (before && job.losses === undefined) addLoss(merged);
  if (before?.version > (job.version ?? 0)) merged.version = before.version;
  jobs.set(job.id, merged);
  emit("job", merged);
  if (!before || before.state !== merged.state || before.star !== merged.star || before.name !== merged.name) {
    emit("jobs");
  }
  return merged;
}

function addLoss(job) {
  const { evaluation, loss } = job.progress ?? {};
  if (!Number.isFinite(loss)) return;
  const losses = job.losses ?? [];
  if (!losses.length || losses.at(-1)[0] < evaluation) job.losses = [...losses, [evaluation, loss]];
}

export function notePreview(id, version) {
  const job = jobs.get(id);
  if (!job || job.version >= version) return;
  job.version = version;
  emit("preview", job);
}

export function forget(id) {
  const job = jobs.get(id);
  if (!job) return;
  jobs.delete(id);
  if (state.draft === id) state.draft = null;
  emit("jobs");
  emit("gone", job);
}

/** Reads the history anew; jobs that the server no longer has are forgotten. */
export async function refresh() {
  const { jobs: full } = await get("/jobs?limit=500&kind=full");
  const here = new Set(full.map((job) => job.id));
  for (const job of [...jobs.values()]) if (job.kind === "full" && !here.has(job.id)) forget(job.id);
  full.forEach(note);
  const drafts = [...jobs.values()].filter((job) => job.kind === "draft" && active(job));
  await Promise.all(drafts.map(({ id }) => get(`/jobs/${id}`).then(note).catch(() => forget(id))));
}

/** Reads the whole job, with its curve. */
export async function whole(id) {
  return note(await get(`/jobs/${id}`));
}

/** What people see in the history: full runs, newest first, each grid once. */
export function history() {
  const seen = new Set();
  return [...jobs.values()]
    .filter((job) => job.kind === "full" && job.state !== "cancelled")
    .sort((a, b) => b.number - a.number)
    .filter((job) => !job.group || (!seen.has(job.group) && seen.add(job.group)));
}

export const ofGroup = (id) => [...jobs.values()].filter((job) => job.group === id).sort((a, b) => a.number - b.number);

/** How many full runs are painted before a job that waits. */
export function before(job) {
  return [...jobs.values()].filter((item) => item.kind === "full" && active(item) && item.state !== "paused" && item.number < job.number).length;
}

/** What the server says of a picture. */
export function picture(id) {
  if (!pictures.has(id)) {
    const answer = get(`/pictures/${id}`);
    pictures.set(id, answer);
    answer.catch(() => pictures.delete(id));
  }
  return pictures.get(id);
}

export function knowPicture(info) {
  pictures.set(info.picture, Promise.resolve(info));
  return info;
}

/** Width and height of a job's picture: of the result, else what it will be. */
export function frameOf(job) {
  if (job.result) return { width: job.result.width, height: job.result.height };
  const photo = job.size ?? (job.progress?.width ? job.progress : (state.photo ?? { width: 3, height: 2 }));
  const long = Math.max(photo.width, photo.height);
  const edge = job.settings?.size ?? Math.min(512, long);
  const scale = edge / long;
  return { width: Math.max(1, Math.round(photo.width * scale)), height: Math.max(1, Math.round(photo.height * scale)) };
}

/** The picture of a job as a source for a pane; null before its first preview. */
export function source(job) {
  const label = job.kind === "draft" ? "Draft" : "Result";
  const shape = { key: job.id, label, photo: job.photo, ...frameOf(job) };
  if (job.result) {
    const part = (region, edge) => resultUrl(job.id, edge, region);
    return { ...shape, url: (edge) => resultUrl(job.id, edge), part };
  }
  if (job.version) return { ...shape, url: (edge) => previewUrl(job.id, edge, job.version), part: null };
  return null;
}

export function photoSource(info, label = "Photo") {
  const { picture: id, width, height } = info;
  return { key: id, label, photo: id, width, height, url: (edge) => pictureUrl(id, edge), part: (region, edge) => pictureUrl(id, edge, region) };
}

export function thumbnail(job, edge = 256) {
  if (job.result) return resultUrl(job.id, edge);
  return job.version ? previewUrl(job.id, edge, job.version) : null;
}

export const STATES = {
  queued: "waiting", running: "painting", paused: "paused", done: "done", stopped: "stopped",
  failed: "failed", cancelled: "cancelled",
};

const WISHES = { pause: "Pausing", stop: "Stopping", cancel: "Cancelling", resume: "Continuing" };

/** True while a full run waits for a draft that is painted inside it. */
export const aside = (job) => job.kind === "full" && job.state === "running" &&
  [...jobs.values()].some((item) => item.kind === "draft" && item.state === "running");

/** The state of a job as a title, with what is wished for it. */
export function stateOf(job) {
  if (active(job) && job.wish) return WISHES[job.wish];
  if (aside(job)) return "Painting waits for the draft";
  return STATES[job.state].charAt(0).toUpperCase() + STATES[job.state].slice(1);
}

/** Changes the state of a job: pause, resume, stop, cancel. */
export async function steer(id, verb) {
  const before = jobs.get(id)?.state;
  const job = await post(`/jobs/${id}/${verb}`);
  return job?.id && jobs.get(id)?.state === before ? note(job) : null; // else an event overtook the answer
}

/** Deletes a job on the server and here. */
export async function destroy(id) {
  for (let tries = 0; ; tries += 1) {
    try {
      await remove(`/jobs/${id}`);
      break;
    } catch (error) {
      if (error.status !== 409 || tries > 20) throw error;
      if (tries === 0) await steer(id, "cancel"); // one that runs ends first, at its next evaluation
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
  forget(id);
}

export function showJob(id) {
  show({ kind: "job", id });
}

/** Shows a job, or the whole grid it belongs to. */
export const openJob = (job) => (job.group ? show({ kind: "grid", id: job.group }) : showJob(job.id));
