/** What is known of the picture on the stage: name, size, curve, settings, command. */

import { patch } from "./api.js";
import { button, clock, fill, h, number, seconds } from "./dom.js";
import { same, textOf } from "./fields.js";
import { active, finished, jobs, note, picture, STATES, stateOf, whole } from "./jobs.js";
import { curve } from "./curve.js";
import { refuse, toast } from "./notices.js";
import { differences } from "./settings.js";
import { on, state } from "./store.js";

/** Builds the part on the right. */
export function about() {
  const element = h("section", { class: "about", "aria-label": "This picture", hidden: true });
  const plot = curve();
  let drawn = null;
  const draw = async (changed) => {
    const job = state.shown?.kind === "job" ? jobs.get(state.shown.id) : null;
    element.hidden = !job;
    if (!job || (changed?.id && changed.id !== job.id)) return;
    const kind = `${job.id} ${job.state} ${job.wish} ${job.name} ${job.star} ${Boolean(job.command)}`;
    if (kind !== drawn) {
      drawn = kind;
      const made = await parts(job, plot, element);
      if (kind !== drawn) return;
      fill(element, made);
      if (finished(job) && !(job.losses?.length > 1)) whole(job.id).catch(() => {});
    }
    plot.draw(job.losses);
  };
  on("job shown jobs", draw);
  return element;
}

async function parts(job, plot, place) {
  return [title(job, await titleOf(job), place), h("p", { class: "soft small number" }, facts(job)),
    plot.element, changes(job), job.command ? command(job) : null];
}

/** The name of a job: its own, else those of its pictures. */
export async function titleOf(job) {
  if (job.name) return job.name;
  try {
    const [photo, style] = await Promise.all([job.film ?? picture(job.photo), picture(job.styles[0].picture)]);
    return `${stem(photo.name)} after ${stem(style.name)}${job.styles.length > 1 ? ` and ${job.styles.length - 1} more` : ""}`;
  } catch {
    return job.kind === "draft" ? "Draft" : "Picture";
  }
}

/** The names of jobs side by side: the settings in which they differ, after the title where that differs or is all. */
export async function namesOf(pair) {
  const titles = await Promise.all(pair.map(titleOf));
  const value = (job, field) => job.settings?.[field.name] ?? field.default;
  const apart = state.schema.filter((field) => pair.some((job) => !same(value(job, field), value(pair[0], field))));
  const titled = !apart.length || titles.some((title) => title !== titles[0]);
  return pair.map((job, index) => [...(titled ? [titles[index]] : []), ...apart.map((field) => `${field.title} ${textOf(field, value(job, field))}`)].join(", "));
}

const stem = (name) => (name ?? "picture").replace(/\.[A-Za-z0-9]{2,5}$/, "");

function title(job, text, place) {
  if (job.kind === "draft") return h("h2", {}, "Draft");
  const box = h("input", { type: "text", class: "title", value: text, "aria-label": job.film ? "Name of the film" : "Name of the picture", maxlength: 200, data: { key: "name" } });
  box.addEventListener("change", () => patch(`/jobs/${job.id}`, { name: box.value.trim() || null })
    .then((answer) => note(answer?.id ? answer : { id: job.id, name: box.value.trim() || null }))
    .catch((error) => refuse(place, error)));
  box.addEventListener("keydown", (event) => event.key === "Enter" && box.blur());
  return box;
}

function facts(job) {
  const { result } = job;
  const took = result?.seconds ?? job.progress?.seconds;
  const film = result?.film;
  return [result && `${result.width} × ${result.height}`, film && `${film.frames} frames, ${number(Number(film.seconds.toFixed(2)))} s`, took && !active(job) && (film ? `painted in ${seconds(took)}` : seconds(took)),
    job.state !== "done" && (job.wish ? stateOf(job).toLowerCase() : STATES[job.state]), job.kind === "full" && clock(job.created)].filter(Boolean).join(" · ");
}

function changes(job) {
  const settings = job.kind === "draft" ? state.settings : (job.settings ?? {});
  const parts = [job.protect && "protected part", job.styles.some(({ mask }) => mask) && "masks"].filter(Boolean);
  if (!Object.keys(settings).length && !parts.length) return h("p", { class: "small soft" }, "All settings are the defaults.");
  const chips = differences(settings, (field, value) => `${field.title} ${textOf(field, value)}`);
  chips.append(...parts.map((text) => h("li", {}, text)));
  return chips;
}

function command(job) {
  const text = h("code", { class: "command", tabindex: 0 }, job.command);
  const copy = button("Copy command", async () => {
    try {
      await navigator.clipboard.writeText(job.command);
      toast("The command is copied.");
    } catch {
      getSelection().selectAllChildren(text);
      toast("The browser does not let the page copy; the command is selected.");
    }
  }, { class: "link small", data: { key: "copy" } });
  return h("details", { class: "command-part" }, h("summary", { class: "small" }, "Command line"), text, copy);
}
