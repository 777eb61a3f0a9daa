/** The regions of a photo: one for each painting, and what is protected. Colors and order. */

import { state } from "./store.js";

// Told apart without color too: they differ in lightness.
const COLORS = ["#2f7fd1", "#e8a33d", "#3a9a6a", "#b659a8", "#d8593b", "#58b7c4", "#8c7ae6", "#9aa832"];
export const PROTECT = "#f3efe6";

export function colorOf(key) {
  if (key === "protect") return PROTECT;
  const index = state.styles.findIndex((style) => style.key === key);
  return COLORS[Math.max(0, index) % COLORS.length];
}

/** Red, green and blue of a color such as #2f7fd1. */
export function channels(color) {
  return [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
}

/** The regions of the setup: [{key, label}], paintings first. */
export function regions() {
  const paintings = state.styles.map(({ key, picture }, index) => ({ key, label: picture.name ?? `Painting ${index + 1}` }));
  return [...paintings, { key: "protect", label: "Protect the photo" }];
}
