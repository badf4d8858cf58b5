// The pages that nobody sees first, and their style. They are fetched once there is a price to be
// seen, so that it waits for none of them; and before they are asked for, as a gateway may be gone.

const SOON_MS = 1_500;
const LATEST_MS = 5_000;

const MODULES = {
  pair: () => import("./pair.js"),
  signals: () => import("./signals.js"),
  health: () => import("./health.js"),
};

/** The module of a page, or null for a name that is none of these. */
export async function moduleOf(name) {
  if (!Object.hasOwn(MODULES, name)) return null;
  dress();
  return await MODULES[name]();
}

/** All of them, one after the other, when there is nothing better to do. */
export function fetchSoon() {
  const idle = globalThis.requestIdleCallback ?? ((act) => setTimeout(act, SOON_MS));
  setTimeout(() => idle(() => fetchAll(), { timeout: LATEST_MS }), SOON_MS);
}

async function fetchAll() {
  dress();
  try {
    for (const load of Object.values(MODULES)) await load();
    await import("./ask.js"); // A key that is refused is asked for again, whoever answers.
  } catch {
    // Whoever turns to that page asks again.
  }
}

/** Style sheets that apply to nothing are fetched last, and nothing waits for them. */
export function dress() {
  for (const link of document.querySelectorAll('link[media="not all"]')) link.media = "all";
}
