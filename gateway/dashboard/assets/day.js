// A price's last 24 hours, as points in time: what its change is measured from, and its line.
// Each point is a price that stood at that moment, from a candle or heard here, so that the window
// slides with the time of the messages for as long as the page is open. No clock is asked.

const DAY_MS = 86_400_000;
const NEAR_MS = 1_860_000; // Half an hour and a little: candles of before are an hour apart.
const HOLE_MS = 5_400_000; // Points are at most an hour apart where nothing was missed.
const FIRST_STEP_MS = 500;
const STEPS = 48; // Of the time that is covered; a day's are half an hour long.
export const POINTS_MAX = 96;

export class Day {
  #points = []; // [ms, price], oldest first
  #head = null; // the newest
  #isAnswered = false; // Whether it was said what was before.

  /** A price and the time at which it stood, both of any kind: whoever may publish may do so. */
  take(ms, price) {
    if (!Number.isFinite(ms) || !Number.isFinite(price)) return;
    if (this.#head !== null && ms < this.#head[0]) return;
    if (this.#head !== null && ms - this.#head[0] > HOLE_MS) this.#isAnswered = false;
    this.#head = [ms, price];
    const stepMs = Math.max(FIRST_STEP_MS, (ms - this.sinceMs) / STEPS);
    if (!(ms - this.#points.at(-1)?.[0] < stepMs)) this.#points.push(this.#head);
    this.#slide();
  }

  /** Candles, in any order: what is known of before. An empty list is an answer, too. */
  recall(candles) {
    this.#isAnswered = true;
    const opens = candles.map(({ start, open }) => [start / 1_000, Number(open)]);
    const known = new Map([...opens.filter((one) => one.every(Number.isFinite)), ...this.#points]);
    this.#points = [...known].sort(([one], [other]) => one - other);
    this.#slide();
  }

  /** Whether there may be more to know than is known. */
  get needsPast() {
    return !this.#isAnswered;
  }

  /** Since when the change is told; null where nothing is known. */
  get sinceMs() {
    return this.#points[0]?.[0] ?? null;
  }

  /** Whether that is a day, to half an hour. */
  get isWhole() {
    return this.#head !== null && Math.abs(this.#head[0] - DAY_MS - this.sinceMs) <= NEAR_MS;
  }

  /** As a fraction; NaN where nothing is known. */
  get change() {
    return this.#head === null ? NaN : this.#head[1] / this.#points[0][1] - 1;
  }

  /** [ms, price], oldest first, the newest price last. */
  get points() {
    const { length } = this.#points;
    if (this.#head === null || this.#points[length - 1] === this.#head) return this.#points;
    return [...this.#points, this.#head];
  }

  /** The first point is to be the nearest to a day ago, and none much older than that. */
  #slide() {
    const points = this.#points;
    const fromMs = (this.#head ?? points.at(-1) ?? [0])[0] - DAY_MS;
    while (points.length > 1) {
      const [[first], [second]] = points;
      const isNearer = Math.abs(second - fromMs) <= Math.abs(first - fromMs);
      if (!isNearer && first >= fromMs - NEAR_MS) break;
      points.shift();
    }
    if (points.length > POINTS_MAX) this.#points = thinned(points);
  }
}

/** The first, and of the others each that is far enough from the one before it. */
function thinned(points) {
  const step = (points.at(-1)[0] - points[0][0]) / (POINTS_MAX / 2);
  let keptMs = -Infinity;
  return points.filter(([ms]) => {
    if (ms - keptMs < step) return false;
    keptMs = ms;
    return true;
  });
}
