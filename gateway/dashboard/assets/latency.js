// How long messages take from hop to hop, by their own stamps: t at the venue, rx at the feed,
// tx to Redis, gw at the gateway, and here. Each second becomes one p50 and one p99 a hop.

const SAMPLES_MAX = 400; // A second's, of one hop.
export const SECONDS_MAX = 300;

const FROM_VENUES = /^(trade|quote|book)\b/; // What is derived waits for more than the feed.

export const HOPS = [
  { name: "venue → feed", title: "from the venue’s clock to our feed (its clock may be off)" },
  { name: "feed → Redis", title: "in the feed, until it is sent to Redis" },
  { name: "Redis → gateway", title: "through Redis, until the gateway has it in hand" },
  { name: "gateway → here", title: "over the socket, until this page has it in hand" },
];

class Hop {
  constructor() {
    this.samples = [];
    this.seen = 0;
    this.p50 = []; // one a second, milliseconds; null where nothing came
    this.p99 = [];
  }

  add(ms) {
    this.seen += 1;
    if (this.samples.length < SAMPLES_MAX) this.samples.push(ms);
    else if (Math.random() < SAMPLES_MAX / this.seen) {
      this.samples[Math.floor(Math.random() * SAMPLES_MAX)] = ms;
    }
  }

  second() {
    const sorted = this.samples.sort((one, other) => one - other);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
    this.p50.push(sorted.length ? at(0.5) : null);
    this.p99.push(sorted.length ? at(0.99) : null);
    if (this.p50.length > SECONDS_MAX) {
      this.p50.shift();
      this.p99.shift();
    }
    this.samples = [];
    this.seen = 0;
  }
}

export class Latency {
  constructor() {
    this.hops = HOPS.map(() => new Hop());
    this.times = [];
  }

  /** `isImmediate`: the gateway did not hold it back to send one for several. */
  heard({ ch, t, rx, tx, gw }, arrivedMs, isImmediate) {
    const [venue, feed, redis, socket] = this.hops;
    if (rx !== undefined && FROM_VENUES.test(ch)) {
      if (t !== undefined) venue.add((rx - t) / 1_000);
      feed.add((tx - rx) / 1_000);
    }
    redis.add((gw - tx) / 1_000);
    if (isImmediate) socket.add(arrivedMs - gw / 1_000);
  }

  second(nowMs) {
    for (const hop of this.hops) hop.second();
    this.times.push(nowMs / 1_000);
    if (this.times.length > SECONDS_MAX) this.times.shift();
  }

  /** The newest second that had anything: [p50, p99] in ms, or null. */
  newest(index) {
    const { p50, p99 } = this.hops[index];
    for (let at = p50.length - 1; at >= Math.max(0, p50.length - 10); at -= 1) {
      if (p50[at] !== null) return [p50[at], p99[at]];
    }
    return null;
  }
}
