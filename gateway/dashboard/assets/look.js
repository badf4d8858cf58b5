// Dark or light: what is shown, the switch, and the colours for what draws by itself.

const system = matchMedia("(prefers-color-scheme: light)");
const listeners = new Set();

export const isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function themeName() {
  return document.documentElement.dataset.theme ?? (system.matches ? "light" : "dark");
}

export function switchTheme() {
  const next = themeName() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("theme", next);
  } catch {
    // It holds until the page is left.
  }
  for (const listener of listeners) listener();
}

/** Calls `listener` after each change; gives the way to end that. */
export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

system.addEventListener("change", () => {
  for (const listener of listeners) listener();
});

/** A colour of the style sheet, for canvases: `colour("up")`. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
