/** Messages that stand where something happened, with what one can do about it. */

import { announce, button, byId, h, iconButton } from "./dom.js";

/** Makes a message; `actions` are [text, function]. */
export function notice(text, actions = [], { wrong = false, onclose = null } = {}) {
  const element = h("div", { class: wrong ? "notice wrong" : "notice", role: wrong ? "alert" : null }, h("p", {}, text));
  for (const [label, act] of actions) element.append(button(label, () => act(element)));
  if (onclose) element.append(iconButton("close", "Close this message", onclose));
  return element;
}

/** Puts a message into a place, in the stead of the one before; returns a function that takes it away. */
export function say(place, text, actions = [], options = {}) {
  place.querySelector(":scope > .notice")?.remove();
  const element = notice(text, actions, { ...options, onclose: () => element.remove() });
  if (options.first) place.prepend(element);
  else place.append(element);
  if (!options.wrong) announce(text);
  return () => element.remove();
}

/** Puts an error into a place. */
export function refuse(place, error, actions = [], options = {}) {
  return say(place, error.message, actions, { wrong: true, ...options });
}

/** A message in the corner that leaves by itself unless it has actions. */
export function toast(text, actions = []) {
  const element = notice(text, actions.map(([label, act]) => [label, () => { element.remove(); act(); }]),
    { onclose: () => element.remove() });
  byId("toasts").append(element);
  announce(text);
  if (!actions.length) setTimeout(() => element.remove(), 5000);
  return () => element.remove();
}
