/** What the page knows, and who wants to hear of changes. */

const topics = new EventTarget();

export const state = {
  about: null,
  schema: null, // properties of the settings
  presets: [],
  samples: [],
  photo: null, // what the server says of a picture; of a film, its first frame
  film: null, // {clip: what the server says, from, to, steadiness, every}, where a clip is painted
  styles: [], // {key, picture, weight, mask: id or null}
  protect: null, // id of a mask
  start: null, // what the server says of the picture to start from
  settings: {}, // what differs from the defaults
  output: {},
  draft: null, // id of the job that follows the controls
  shown: null, // {kind: "job", id} | {kind: "pair", ids} | {kind: "grid", id} | null
};

/** Topics: pictures, film, settings, masks, startmissing, shown, jobs, job, preview, queue, connection. */
export function on(names, handler) {
  for (const name of names.split(" ")) topics.addEventListener(name, (event) => handler(event.detail));
}

export function emit(name, detail) {
  topics.dispatchEvent(new CustomEvent(name, { detail }));
}

export function show(what) {
  state.shown = what;
  emit("shown");
}

let keys = 0;

/** A painting of the setup. */
export function makeStyle(picture, weight = 1, mask = null) {
  keys += 1;
  return { key: `s${keys}`, picture, weight, mask };
}

/** The setup in words the server reads: the body of POST /jobs without its kind. */
export function jobBody() {
  return {
    photo: state.photo.picture,
    styles: state.styles.map(({ picture, weight, mask }) => ({ picture: picture.picture, weight, mask })),
    protect: state.protect,
    init_picture: state.settings.init === "picture" ? (state.start?.picture ?? null) : null,
    settings: state.settings,
    output: state.output,
  };
}

export const ready = () => Boolean(state.photo && state.styles.length);

/** True where the settings need a picture to start from, and there is none. */
export const startMissing = () => state.settings.init === "picture" && !state.start;

/** The body of a full run, which is a film where there is a clip. */
export function fullBody() {
  const { photo, ...body } = jobBody();
  if (!state.film) return { photo, ...body };
  const { clip, from, to, steadiness, every } = state.film;
  return { film: { clip: clip.clip, from: from || null, to, steadiness, every }, ...body };
}

const KEPT = "impasto.setup";

/** Keeps the setup of this tab over a reload. */
export function keepSetup() {
  const styles = state.styles.map(({ picture, weight, mask }) => ({ picture: picture.picture, weight, mask }));
  const film = state.film && { ...state.film, clip: state.film.clip.clip };
  const kept = { photo: state.photo?.picture ?? null, film, styles, protect: state.protect, start: state.start?.picture ?? null,
    settings: state.settings };
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(kept));
  } catch {
    // a browser without storage: the setup is lost with a reload, the history is not
  }
}

export function keptSetup() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null;
  }
}
