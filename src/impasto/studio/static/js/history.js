/** Every picture that was painted: open, star, compare two, delete. */

import { get, patch } from "./api.js";
import { button, bytes, clock, fill, h, icon, iconButton } from "./dom.js";
import { active, destroy, finished, forget, history, jobs, note, ofGroup, openJob, STATES, stateOf, thumbnail } from "./jobs.js";
import { ask } from "./confirm.js";
import { refuse } from "./notices.js";
import { shareOf } from "./progress.js";
import { emit, on, show, state } from "./store.js";
import { still } from "./still.js";
import { titleOf } from "./about.js";

const picked = new Set();
const cards = new Map(); // id -> card

/** Builds the history. */
export function historyPart(openGrid) {
  const list = h("ul", { class: "cards" });
  const tools = h("div", { class: "history-tools" });
  const disk = h("p", { class: "disk small soft number" });
  const onlyStars = iconButton("star", "Only pictures with a star", () => {
    onlyStars.setAttribute("aria-pressed", String(onlyStars.getAttribute("aria-pressed") !== "true"));
    draw();
  }, { "aria-pressed": "false", data: { key: "stars" } });
  const element = h("section", { class: "history", "aria-label": "History" },
    h("div", { class: "row" }, h("h2", {}, "History"), h("div", {}, onlyStars, iconButton("grid", "Paint a grid of settings", openGrid))),
    tools, list, disk);
  const drawTools = () => fill(tools, toolsFor(element, draw));
  const draw = () => {
    const stars = onlyStars.getAttribute("aria-pressed") === "true";
    const all = history().filter((job) => !stars || job.star);
    const ids = new Set(all.map((job) => job.id));
    for (const id of cards.keys()) if (!ids.has(id)) cards.delete(id);
    for (const id of picked) if (!ids.has(id)) picked.delete(id);
    const items = all.map((job) => {
      if (!cards.has(job.id)) cards.set(job.id, makeCard(job, element, drawTools));
      cards.get(job.id).draw();
      return cards.get(job.id).element;
    });
    if (!same(list, items)) fill(list, items.length ? items : h("li", { class: "soft small none" }, stars ? "No picture has a star." : "What you paint at full size stays here."));
    drawTools();
    diskSoon(disk);
  };
  on("jobs shown", draw);
  on("job preview", (job) => cards.forEach((card, id) => (id === job.id || (job.group && jobs.get(id)?.group === job.group)) && card.draw()));
  draw();
  return element;
}

const same = (list, items) => items.length > 0 && list.children.length === items.length && items.every((item, index) => list.children[index] === item);

let timer = 0;

/** Shows the disk space, read a moment after a change. */
function diskSoon(place) {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    try {
      state.about = await get("/about");
    } catch {
      return;
    }
    const { used, quota, free } = state.about.disk;
    const room = quota ? ` of ${bytes(quota)}` : "";
    place.textContent = `The studio takes ${bytes(used)}${room}; the disk has ${bytes(free)} free.`;
  }, 300);
}

function makeCard(job, place, drawTools) {
  const { id } = job;
  const picture = still("");
  const label = h("span", { class: "card-label" });
  const badge = h("span", { class: "badge small" });
  const open = h("button", { type: "button", class: "card-open", data: { key: `open-${id}` },
    onclick: () => openJob(job) }, picture.element, job.film && h("span", { class: "film-mark" }, icon("play")), badge);
  const pick = h("input", { type: "checkbox", class: "pick", data: { key: `pick-${id}` }, onchange: () => {
    if (pick.checked) picked.add(id);
    else picked.delete(id);
    place.classList.toggle("picking", picked.size > 0);
    drawTools();
  } });
  const star = iconButton("star", "Star", () => {
    const now = !jobs.get(id).star;
    patch(`/jobs/${id}`, { star: now }).then((answer) => note(answer?.id ? answer : { id, star: now })).catch((error) => refuse(place, error));
  }, { class: "icon star", data: { key: `star-${id}` } });
  const element = h("li", { class: "card", data: { job: id } }, open, pick, star, label);
  async function draw() {
    const now = jobs.get(id);
    if (!now) return;
    const url = thumbnail(now);
    if (url) picture.show(url);
    const shown = state.shown?.id === id || (now.group && state.shown?.id === now.group);
    open.setAttribute("aria-current", String(Boolean(shown)));
    badge.textContent = badgeOf(now);
    badge.hidden = !badge.textContent;
    element.dataset.state = now.state;
    element.style.setProperty("--share", `${100 * shareOf(now)}%`);
    star.setAttribute("aria-pressed", String(Boolean(now.star)));
    pick.checked = picked.has(id);
    label.textContent = clock(now.created);
    const title = await titleOf(now);
    open.setAttribute("aria-label", `${now.film ? "Film: " : ""}${title}, ${clock(now.created)}${badge.textContent ? `, ${badge.textContent}` : ""}`);
    open.title = title;
    pick.setAttribute("aria-label", `Select ${title}, ${clock(now.created)}`);
    star.setAttribute("aria-label", `Star for ${title}`);
  }
  return { element, draw };
}

function badgeOf(job) {
  if (job.group) {
    const all = ofGroup(job.group);
    return `grid, ${all.filter(finished).length} of ${all.length}`;
  }
  if (job.wish && active(job)) return stateOf(job).toLowerCase();
  if (job.state === "running") return `${Math.round(100 * shareOf(job))} %`;
  return job.state === "done" ? "" : STATES[job.state];
}

/** What can be done with the pictures that are selected. */
function toolsFor(place, draw) {
  const ids = [...picked];
  if (!ids.length) return [];
  const clear = () => { picked.clear(); place.classList.remove("picking"); draw(); };
  const ready = ids.length === 2 && ids.every((id) => finished(jobs.get(id)));
  return [button("Compare", () => { show({ kind: "pair", ids }); clear(); }, { class: "primary", disabled: !ready,
    title: "Select two finished pictures", data: { key: "compare" } }),
  h("button", { type: "button", data: { key: "delete" }, onclick: () => erase(ids, place).then((gone) => gone && clear()) }, icon("trash"), `Delete ${ids.length}`),
  button("Cancel", clear, { class: "quiet", data: { key: "clear" } })];
}

/** Deletes pictures after a question that says how much space they take. */
export async function erase(ids, place) {
  const all = ids.flatMap((id) => (jobs.get(id)?.group ? ofGroup(jobs.get(id).group) : [jobs.get(id)])).filter(Boolean);
  const size = all.reduce((sum, job) => sum + (job.result?.bytes ?? 0), 0);
  const what = all.length > 1 ? `${all.length} pictures` : all[0]?.film ? "this film" : "this picture";
  const running = all.some(active) ? " What is being painted ends." : "";
  const yes = await ask(`Delete ${what}?`, `${size ? `This frees ${bytes(size)}. ` : ""}It cannot be undone.${running}`, "Delete");
  if (!yes) return false;
  for (const job of all) {
    try {
      await destroy(job.id);
    } catch (error) {
      if (error.status === 404) forget(job.id);
      else {
        refuse(place, error, [["Try again", (note_) => { note_.remove(); erase(ids, place); }]], { first: true });
        return false;
      }
    }
  }
  emit("jobs");
  return true;
}
