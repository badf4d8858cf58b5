// Who gets how many of the plan's subscriptions: the one place that divides them. What is wanted
// beyond the plan is left out here, so that the gateway never has to refuse a command for it.

const STATUSES_MOST = 0.25; // Of the plan, so that a small one still has prices.
const PAGE_LEAST = 0.3; // For a page other than the watchlist,
const PAGE_ENOUGH = 28; // which needs no more than this to be whole: a pair's.

/** Of `limit` subscriptions, how many the statuses and the watchlist may have. */
export function shares(limit, statuses) {
  const forStatuses = Math.min(statuses, Math.floor(limit * STATUSES_MOST));
  const forPage = Math.min(PAGE_ENOUGH, Math.floor(limit * PAGE_LEAST));
  return { statuses: forStatuses, watchlist: Math.max(0, limit - forStatuses - forPage) };
}

/**
 * Maps of channels to rates, the most urgent first; `most[at]` is how many channels each may have,
 * and together they have `limit`. What one wants that another has already costs it nothing.
 */
export function divided(limit, wants, most) {
  const taken = new Set();
  return wants.map((wanted, at) => {
    const room = Math.min(most[at], limit - taken.size);
    let used = 0;
    const given = new Map();
    for (const [channel, rate] of wanted) {
      if (!taken.has(channel) && used === room) continue;
      used += !taken.has(channel);
      taken.add(channel);
      given.set(channel, rate);
    }
    return given;
  });
}
