/** The draft that follows the controls, and the full run. */

import { post } from "./api.js";
import { active, jobs, note, showJob } from "./jobs.js";
import { fullBody, jobBody, emit, on, ready, startMissing, state } from "./store.js";
import { refuseAt } from "./settings.js";

const PAUSE = 250; // ms without a change before a draft begins
const DRAFT_EDGE = 512; // px; of a draft, at most
let timer = 0;
let last = ""; // body of the newest draft
let sending = false;
const AGAIN = 4000; // ms until an estimate is asked for again
let asking = 0;

export const live = { error: null, estimate: null, flush: async () => {} }; // `flush` sends masks that wait
let painted = 0; // when the newest full run began

/** Begins a draft soon; one a moment ago is replaced. `now` does not wait. */
export function draftSoon(now = false) {
  clearTimeout(timer);
  if (!ready()) return;
  timer = setTimeout(draft, now ? 0 : PAUSE);
}

/** A draft has few evaluations at small sizes, whatever the settings of the full run are. */
function draftBody() {
  const { evaluations, ...settings } = state.settings;
  const edge = Math.min(settings.size ?? Math.max(state.photo.width, state.photo.height), DRAFT_EDGE);
  return { kind: "draft", ...jobBody(), settings: { ...settings, size: edge, quality: "instant" } };
}

async function draft() {
  if (startMissing()) return void emit("startmissing");
  const body = draftBody();
  const text = JSON.stringify(body);
  if (text === last && !live.error) return void (jobs.get(state.draft)?.result && estimate());
  if (sending) return void draftSoon();
  sending = true;
  const began = performance.now();
  last = text;
  try {
    const job = note(await post("/jobs", body, { key: newKey() }));
    live.error = null;
    state.draft = job.id;
    note({ id: job.id, size: state.photo });
    if (began > painted) showJob(job.id); // else the full run stays on the stage
    live.estimate = null;
    emit("draft");
    emit("estimate");
  } catch (error) {
    last = "";
    live.error = error;
    refuseAt(error);
    emit("draft");
  } finally {
    sending = false;
  }
}

/** Begins the same draft again. */
export function draftAgain() {
  last = "";
  draftSoon(true);
}

/** How long the full run will take, and its size; read when the draft is done, for it takes measurements. */
export async function estimate() {
  clearTimeout(asking);
  if (startMissing() || !ready()) return;
  const text = last;
  try {
    const found = await post("/estimate", fullBody());
    if (text === last) live.estimate = found;
  } catch (error) {
    live.estimate = null; // a wish, not a need: the run itself says what is wrong
    if (error.status === 503 && text === last) asking = setTimeout(estimate, AGAIN);
  }
  emit("estimate");
}

/** Puts the full run into the queue and shows it. */
export async function paint() {
  await live.flush();
  clearTimeout(timer);
  painted = performance.now();
  const job = note(await post("/jobs", { kind: "full", ...fullBody(), parent: state.draft }, { key: newKey() }));
  note({ id: job.id, size: state.photo });
  showJob(job.id);
  return job;
}

const newKey = () => `${Date.now()}-${Math.random().toString(36).slice(2)}`;

/** Begins drafts when pictures and settings change; ends one that nobody sees any more. */
export function follow() {
  on("pictures masks", () => draftSoon(true));
  on("settings weights", () => draftSoon());
  on("film", (what) => (what === "from" ? draftSoon(true) : estimate()));
  let done = null;
  on("job", (job) => {
    if (job.id !== state.draft || !job.result || done === job.id) return;
    done = job.id;
    estimate();
  });
  on("gone", (job) => { if (job.id === state.draft) last = ""; });
  window.addEventListener("pagehide", () => {
    const job = state.draft && jobs.get(state.draft);
    if (job && active(job)) post(`/jobs/${job.id}/cancel`, {}, { keepalive: true }).catch(() => {});
    last = "";
  });
  on("connection", () => {
    const job = state.draft && jobs.get(state.draft);
    if ((!job || live.error) && ready()) draftAgain();
  });
}

