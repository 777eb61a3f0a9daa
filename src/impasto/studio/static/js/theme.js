/* Sets light or dark before the first paint. Not a module, for modules run later. */
document.documentElement.dataset.theme = (() => {
  try {
    return localStorage.getItem("theme") || "auto";
  } catch {
    return "auto";
  }
})();
