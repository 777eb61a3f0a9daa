/** What comes in: dropped, pasted or chosen files. Finds out what each of them is. */

import { Problem, upload } from "./api.js";
import { isClip, isGif, setFilm, takeClip } from "./clips.js";
import { byId, h } from "./dom.js";
import { knowPicture, picture } from "./jobs.js";
import { toast } from "./notices.js";
import { replace } from "./settings.js";
import { emit, makeStyle, state } from "./store.js";

const READ = "image/*,video/*,.mkv,.heic,.heif,.avif,.tif,.tiff,.jp2,.ppm,.toml";

/** Opens the file dialog of the browser. */
export function choose(multiple, take) {
  const input = h("input", { type: "file", accept: READ, multiple, hidden: true });
  input.addEventListener("change", () => { take([...input.files]); input.remove(); });
  document.body.append(input);
  input.click();
}

/** Takes files in; `role` is "photo", "painting", "start" or null: find out. Throws the first refusal. */
export async function takeIn(files, role = null) {
  let refused = null;
  for (const file of files) {
    try {
      if (/\.toml$/i.test(file.name)) await settingsFile(file);
      else if (isClip(file) && (role === "photo" || (!role && !(state.photo && isGif(file))))) await clipFile(file, role);
      else await pictureFile(file, role);
    } catch (error) {
      if (error.status !== 0 && !error.message.includes(file.name)) error.message = `${file.name}: ${error.message}`;
      refused ??= error;
    }
    if (role === "photo") role = null; // more files than one: the others are paintings
  }
  if (refused) throw refused;
}

async function settingsFile(file) {
  const { settings } = await upload("/settings", file);
  replace(settings);
  toast(`Settings of ${file.name} are set.`);
}

/** A clip takes the place of the photo; a GIF that does not move is a picture. */
async function clipFile(file, role) {
  let found;
  try {
    found = await takeClip(file);
  } catch (error) {
    if (!isGif(file)) throw error;
    return void (await pictureFile(file, role));
  }
  setPhoto(found.frame);
  setFilm(found.clip);
  emit("pictures");
  for (const text of found.clip.notes) toast(`${found.clip.name}: ${text}`);
}

async function pictureFile(file, role) {
  if (state.about && file.size > state.about.limits.bytes) throw new Problem(413, { detail: "The file is too large." });
  const info = knowPicture(await upload("/pictures", file));
  if (info.recipe && role !== "start") await earlierResult(info, role);
  else use(info, role);
  for (const text of info.notes ?? []) toast(`${info.name}: ${text}`);
}

/** Puts a picture into its place. */
export function use(info, role = null) {
  const what = role ?? (state.photo ? "painting" : "photo");
  if (what === "photo") setPhoto(info);
  else if (what === "start") state.start = info;
  else state.styles.push(makeStyle(info));
  emit("pictures");
}

/** A new photo: masks belong to the one before. */
export function setPhoto(info) {
  if (state.photo?.picture !== info.picture) {
    state.protect = null;
    for (const style of state.styles) style.mask = null;
    setFilm(null);
    emit("newphoto");
  }
  state.photo = info;
}

/** An earlier result: its settings come back, and its pictures where the studio still has them. */
async function earlierResult(info, role) {
  const { recipe } = info;
  const known = async (item) => (item?.picture ? picture(item.picture).catch(() => null) : null);
  const [photo, start] = await Promise.all([known(recipe.photo), known(recipe.init_picture)]);
  const styles = await Promise.all((recipe.styles ?? []).map(known));
  if (photo) setPhoto(photo);
  const found = styles.flatMap((item, index) => (item ? [makeStyle(item, recipe.styles[index].weight ?? 1)] : []));
  if (found.length) state.styles = found;
  if (recipe.init_picture) state.start = start;
  replace(recipe.settings);
  emit("pictures");
  const names = [!photo && nameOf(recipe.photo), !start && nameOf(recipe.init_picture), ...styles.map((item, index) => !item && nameOf(recipe.styles[index]))];
  const missing = names.filter(Boolean);
  const more = missing.length ? ` Add ${missing.join(" and ")} to paint it again.` : "";
  toast(`Settings of ${info.name} are back.${more}`, [["Use it as a picture", () => use(info, role)]]);
}

const nameOf = (item) => item?.name ?? null;

/** Lets files be dropped on an element; `take(files)` gets them. */
export function dropOn(element, take) {
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    element.classList.add("over");
  });
  element.addEventListener("dragleave", () => element.classList.remove("over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    element.classList.remove("over");
    byId("veil").hidden = true;
    take([...event.dataTransfer.files]);
  });
}

/** Anywhere else on the page, and from the clipboard. */
export function dropAnywhere(take) {
  const veil = byId("veil");
  let depth = 0;
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (carries(event)) depth += 1;
    veil.hidden = depth === 0 || Boolean(event.target.closest?.(".zone"));
  });
  document.addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (depth === 0) veil.hidden = true;
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) take(files);
  });
}
