/** The stream of events: one a tab, opened again whenever it breaks. */

import { client, get } from "./api.js";
import { button, byId, fill, h } from "./dom.js";
import { forget, note, notePreview, refresh } from "./jobs.js";
import { emit, state } from "./store.js";

let stream = null;
let server = null;
let lost = 0; // failures since the last open
let timer = 0;

export function listen() {
  clearTimeout(timer);
  stream?.close();
  stream = new EventSource(`/api/v1/events?client=${client}`);
  stream.onopen = opened;
  stream.onerror = broken;
  const handle = (name, act) => stream.addEventListener(name, (event) => act(JSON.parse(event.data)));
  handle("job", note);
  handle("preview", ({ job, version }) => notePreview(job, version));
  handle("deleted", ({ job }) => forget(job));
  handle("queue", (queue) => emit("queue", queue));
  handle("hello", (hello) => {
    if (hello.missed || (server !== null && server !== hello.server)) refresh().catch(() => {});
    server = hello.server;
  });
}

function opened() {
  const again = lost > 0;
  lost = 0;
  byId("connection").hidden = true;
  if (again) {
    refresh().catch(() => {});
    emit("connection", true);
  }
}

async function broken() {
  lost += 1;
  if (stream.readyState === EventSource.CLOSED) timer = setTimeout(listen, Math.min(500 * lost, 4000));
  if (lost < 2 && stream.readyState !== EventSource.CLOSED) {
    timer = setTimeout(() => stream.readyState !== EventSource.OPEN && gone(), 1500);
    return;
  }
  gone();
}

async function gone() {
  const place = byId("connection");
  const refused = await get("/about").then((about) => { state.about = about; return null; }, (error) => error);
  if (stream.readyState === EventSource.OPEN) return;
  const out = refused && (refused.status === 401 || refused.status === 403);
  const text = out
    ? "This page is no longer signed in. Open the studio again with the address it printed."
    : "The studio does not answer. Your pictures are safe; the page continues as soon as it is back.";
  fill(place, h("div", { class: "notice wrong" }, h("p", {}, text), button("Try now", listen)));
  place.hidden = false;
}

/** A sleeping laptop or a page from the browser's memory: look at once, not at the next try. */
export function watchSleep() {
  window.addEventListener("online", listen);
  window.addEventListener("pageshow", (event) => event.persisted && (listen(), refresh().catch(() => {})));
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && stream?.readyState === EventSource.CLOSED) listen();
  });
}
