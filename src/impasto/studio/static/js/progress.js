/** How far a job is, how long it still takes, and what ends it. */

import { announce, fill, h, icon, iconButton, seconds } from "./dom.js";
import { active, aside, before, jobs, stateOf, steer } from "./jobs.js";
import { refuse } from "./notices.js";
import { on, state } from "./store.js";

/** Builds the part below the picture. */
export function progress() {
  const bar = h("div", { class: "bar" });
  const meter = h("div", { class: "meter", role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0, "aria-valuemax": 100 }, bar);
  const text = h("p", { class: "progress-text number small" });
  const buttons = h("div", { class: "progress-buttons" });
  const element = h("div", { class: "progress", hidden: true }, meter, text, buttons);
  let drawn = "";
  const draw = () => {
    const job = state.shown?.kind === "job" ? jobs.get(state.shown.id) : null;
    element.hidden = !job || !active(job);
    if (element.hidden) return;
    const share = shareOf(job);
    bar.style.setProperty("--share", `${100 * share}%`);
    meter.setAttribute("aria-valuenow", Math.round(100 * share));
    element.classList.toggle("waiting", job.state === "queued");
    text.textContent = sentence(job);
    const kind = `${job.id} ${job.state} ${job.wish}`;
    if (kind !== drawn) fill(buttons, controls(job, element));
    drawn = kind;
    tell(job, share);
  };
  on("job shown jobs", draw);
  return element;
}

/** How much of the time is over, 0 to 1. */
export function shareOf(job) {
  const { seconds: over, remaining_seconds: left, evaluation, evaluations } = job.progress ?? {};
  if (over > 0 && Number.isFinite(left)) return over / (over + left);
  return evaluations ? evaluation / evaluations : 0;
}

export function sentence(job) {
  const { frame, frames, scale, scales, evaluation, evaluations, remaining_seconds: left, width, height } = job.progress ?? {};
  if (job.state === "queued") return job.kind === "draft" ? "Beginning" : waiting(job);
  const parts = [job.state === "paused" && "Paused", aside(job) && "Waits for the draft", frames && `Frame ${frame} of ${frames}`, !frames && scales > 1 && `Scale ${scale} of ${scales}`,
    evaluations && !frames && `evaluation ${evaluation} of ${evaluations}`, width && `${width} × ${height} px`,
    Number.isFinite(left) && job.state === "running" && `about ${seconds(left)} left`].filter(Boolean);
  return parts.length ? parts.join(" · ") : "Beginning";
}

function waiting(job) {
  const ahead = before(job);
  return ahead === 0 ? "Next in the queue" : `Waits in the queue, ${ahead} before it`;
}

function controls(job, place) {
  const act = (verb) => () => steer(job.id, verb).catch((error) => refuse(place, error));
  const labeled = (name, text, verb, title) => h("button", { type: "button", class: "quiet", title, onclick: act(verb) }, icon(name), text);
  if (job.wish) return [h("p", { class: "small soft" }, stateOf(job))];
  if (job.kind === "draft") return [iconButton("stop", "Stop the draft and keep it", act("stop"))];
  const pause = job.state === "paused"
    ? labeled("play", "Continue", "resume", "Continue painting")
    : labeled("pause", "Pause", "pause", "Stop for now, and continue later");
  const running = job.state !== "queued";
  return [running && pause, running && labeled("stop", "Stop and keep", "stop", `End now and keep ${job.film ? "the frames" : "the best picture"} so far`),
    labeled("close", "Cancel", "cancel", "End now and keep nothing")];
}

let latest = "";

/** Tells screen readers of every quarter, not of every evaluation. */
function tell(job, share) {
  if (job.kind === "draft") return;
  const quarter = Math.floor(share * 4);
  const text = `${job.id} ${job.state} ${quarter}`;
  if (text === latest) return;
  latest = text;
  announce(job.state === "running" && quarter > 0 ? `${quarter * 25} % painted` : sentence(job));
}
