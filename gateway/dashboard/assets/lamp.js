// A state as a person sees it: a colour, a shape and a word, so that no one of them is needed.

import { h, setAttribute, write } from "./dom.js";
import { duration } from "./format.js";

const WHO = {
  venue: "the venue",
  feed: "our feed",
  bus: "Redis",
  gateway: "the gateway",
  slow: "this browser, which reads too slowly",
  plan: "the plan of this key",
  connection: "the connection to the gateway",
  late: "it comes late",
  away: "this page was away",
  unannounced: "nobody said so: a fault of the gateway",
};

/** Whose doing something is, in words. */
export const who = (by) => WHO[by] ?? by ?? "";

export function lamp() {
  return h(
    "span",
    { class: "lamp", "data-state": "waiting" },
    h("i", { "aria-hidden": "true" }),
    h("b", {}, "waiting"),
  );
}

/** `standing` is of Market: {state, by, why, since, lateMs}. */
export function setLamp(node, standing, nowMs) {
  setAttribute(node, "data-state", standing.state);
  write(node.lastChild, standing.state);
  setAttribute(node, "title", sentence(standing, nowMs));
}

/** `stale for 12 s, by the venue: connection refused`. */
export function sentence({ state, by, why, since, lateMs }, nowMs) {
  let text = state;
  if (since && state !== "live") text += ` for ${duration(Math.max(0, nowMs - since / 1_000))}`;
  if (lateMs) text += `: ${duration(lateMs)} late on arrival`;
  else if (by && state !== "live") text += `, by ${who(by)}`;
  if (why) text += `: ${why}`;
  return text;
}
