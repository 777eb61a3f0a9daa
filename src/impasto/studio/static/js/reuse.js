/** Takes the pictures, masks and settings of a job back into the controls. */

import { clipOf, setFilm } from "./clips.js";
import { picture } from "./jobs.js";
import { setPhoto } from "./intake.js";
import { live } from "./live.js";
import { toast } from "./notices.js";
import { replace } from "./settings.js";
import { emit, fullBody, makeStyle, state } from "./store.js";

/** As `reuse`; says where nothing changes. */
export async function useAgain(job, without = []) {
  await live.flush();
  const before = setup();
  await reuse(job, without);
  if (setup() === before) toast("These are the settings already.");
}

const setup = () => state.photo && JSON.stringify([fullBody(), Object.entries(state.settings).sort()], (key, value) => (key === "settings" ? 0 : value));

/** `without` are names of settings that stay as they are now. */
export async function reuse(job, without = []) {
  const [photo, ...paintings] = await Promise.all([picture(job.photo), ...job.styles.map((style) => picture(style.picture))]);
  const same = state.photo?.picture === photo.picture && (state.protect ?? null) === (job.protect ?? null)
    && JSON.stringify(state.styles.map(plain)) === JSON.stringify(job.styles.map(sent));
  if (!same) {
    setPhoto(photo);
    emit("newphoto"); // masks in the editor are those of another setup
    state.styles = paintings.map((info, index) => makeStyle(info, job.styles[index].weight ?? 1, job.styles[index].mask ?? null));
    state.protect = job.protect ?? null;
  }
  setFilm(job.film ? await clipOf(job.film.clip) : null, job.film ?? {});
  if (job.init_picture) state.start = await picture(job.init_picture);
  const kept = Object.fromEntries(without.filter((name) => name in state.settings).map((name) => [name, state.settings[name]]));
  const taken = Object.fromEntries(Object.entries(job.settings ?? {}).filter(([name]) => !without.includes(name)));
  replace({ ...taken, ...kept });
  emit("pictures");
}

const plain = ({ picture: info, weight, mask }) => [info.picture, weight, mask ?? null];
const sent = ({ picture: id, weight, mask }) => [id, weight ?? 1, mask ?? null];
