// Dark or light, before the first paint. What was chosen here stays; else the system says.
// A plain script: a module would come after the page was painted once.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("theme");
  } catch {
    // No storage is allowed here: the system's choice it is.
  }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
