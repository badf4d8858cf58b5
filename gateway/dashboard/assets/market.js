// What was heard: the newest message of each channel, how each stands, and what was missed.
// Everything that grows has a limit.

import { now } from "./clock.js";
import { Latency } from "./latency.js";

const GAPS_MAX = 200;
const TRADES_MAX = 60;
const SIGNALS_MAX = 200;
const LAG_MS = 5_000; // For so long after the gateway has said so, we count as too slow.
const LATE_MS = 2_000; // Older than this on arrival is no longer live.
const STATUS_SILENCE_MS = 4_000; // A venue's status comes every second.

export const partsOf = (channel) => {
  const [kind, venue, symbol] = channel.split(":");
  return { kind, venue, symbol };
};

export class Market {
  constructor(clock) {
    this.clock = clock;
    this.latest = new Map();
    this.states = new Map();
    this.trades = new Map(); // symbol -> newest first, of all venues
    this.signals = []; // newest first
    this.gaps = []; // newest first
    this.missedCount = 0;
    this.statusHeardMs = new Map();
    this.rates = new Map(); // venue -> messages in this second and the last
    this.lagMs = -Infinity;
    this.late = new Map(); // channel -> how old its newest message was on arrival, where too old
    this.latency = new Latency();
    this.firsts = new Set(); // channels just subscribed to: what comes first may be of long ago
    this.messages = 0;
    this.messagesPerS = 0;
    this.history = []; // messages of each of the last seconds
    this.replayed = 0;
    this.liveFromMs = 0;
  }

  data(message, arrivedMs, isImmediate) {
    const { ch } = message;
    const { kind, venue, symbol } = partsOf(ch);
    this.messages += 1;
    this.#count(venue);
    if (kind === "status") this.statusHeardMs.set(venue, arrivedMs);
    else if (kind === "trade") this.#trade(symbol, message);
    else if (kind === "signal") this.#signal(message);
    if (this.latest.get(ch)?.start > message.start) return; // A correction of an older candle.
    this.latest.set(ch, message);
    const state = this.states.get(ch);
    if (state === undefined || state.state === "waiting") this.states.set(ch, { state: "live" });
    const sentMs = message.tx / 1_000;
    if (sentMs < this.liveFromMs) this.replayed += 1;
    // What was sent while we were away says nothing of how fast it is now.
    if (this.firsts.delete(ch) || sentMs < this.liveFromMs) return;
    this.#lateness(ch, kind, this.clock.there(arrivedMs) - sentMs);
    this.latency.heard(message, this.clock.there(arrivedMs), isImmediate);
  }

  told(message) {
    if (message.type === "state") this.states.set(message.ch, message);
    else if (message.type === "lag") this.lagMs = now();
    else if (message.type === "ack") {
      for (const { ch, state } of message.ok) {
        if (state) this.states.set(ch, { state });
        this.firsts.add(ch);
      }
    }
  }

  missed({ ch, from, to, by }) {
    const count = from === null ? null : to - from + 1;
    this.missedCount += count ?? 1;
    this.gaps.unshift({ atMs: now(), ch, from, to, by, count });
    if (this.gaps.length > GAPS_MAX) this.gaps.pop();
  }

  /** A connection stands again; what was sent before is replayed. */
  cameBack() {
    this.replayed = 0;
    this.liveFromMs = this.clock.now();
    this.missedBefore = this.missedCount;
    this.late.clear();
  }

  /** Once a second. */
  second() {
    this.messagesPerS = 0;
    for (const rate of this.rates.values()) {
      rate.perS = rate.count;
      this.messagesPerS += rate.count;
      rate.count = 0;
    }
    this.history.push(this.messagesPerS);
    if (this.history.length > 300) this.history.shift();
    this.latency.second(now());
  }

  isSimulated(channel) {
    const { venue } = partsOf(channel);
    if (venue === "sim" || venue === "replay") return true;
    const message = this.latest.get(channel);
    if (message?.simulated === true) return true;
    return message?.venues?.length > 0 && message.venues.every(isGenerated);
  }

  /** How a channel stands: {state, by, why}, in the lamp's words. `connection` is ours. */
  standing(channel, connection) {
    if (connection.state === "connecting") return { state: "waiting" };
    if (connection.state !== "open") {
      return {
        state: connection.state === "stopped" ? "closed" : "reconnecting",
        by: "connection",
      };
    }
    const told = this.states.get(channel);
    if (told === undefined || told.state === "waiting") return { state: "waiting", by: told?.by };
    if (told.state === "resync") return { state: "reconnecting", by: told.by, since: told.since };
    if (told.state !== "live") return { state: told.state, by: told.by, since: told.since };
    const message = this.latest.get(channel);
    if (message?.state === "stale" || message?.state === "waiting") {
      return { state: message.state, by: "venue", why: message.why };
    }
    if (now() - this.lagMs < LAG_MS) return { state: "lagging", by: "slow" };
    const late = this.late.get(channel);
    if (late !== undefined) return { state: "lagging", by: "late", lateMs: late };
    return { state: "live" };
  }

  /** The newest of a channel, and how that stands: {message, standing}. */
  newest(channel, connection) {
    return { message: this.latest.get(channel), standing: this.standing(channel, connection) };
  }

  /** How a venue stands, by its status: {state, by, why, since}. */
  venueStanding(venue, connection) {
    if (connection.state !== "open") return this.standing("", connection);
    const channel = `status:${venue}:VENUE`;
    const status = this.latest.get(channel);
    if (status === undefined) return { state: "waiting" };
    const told = this.states.get(channel);
    const silentMs = now() - Math.max(connection.sinceMs, this.statusHeardMs.get(venue));
    if (told?.state === "stale") return { state: "stale", by: told.by, since: told.since };
    if (silentMs > STATUS_SILENCE_MS && !document.hidden) {
      return { state: "stale", by: "feed", why: "its feed says nothing" };
    }
    const { state, by, since, reason, channels } = status;
    const word = state === "resync" ? "reconnecting" : state;
    return { state: word, by, since, why: reason, channels };
  }

  #count(venue) {
    let rate = this.rates.get(venue);
    if (rate === undefined) this.rates.set(venue, (rate = { count: 0, perS: 0 }));
    rate.count += 1;
  }

  #trade(symbol, message) {
    let ring = this.trades.get(symbol);
    if (ring === undefined) this.trades.set(symbol, (ring = []));
    ring.unshift(message);
    if (ring.length > TRADES_MAX) ring.pop();
  }

  #signal(message) {
    if (this.signals.some((one) => one.id === message.id)) return;
    this.signals.unshift(message);
    if (this.signals.length > SIGNALS_MAX) this.signals.pop();
  }

  #lateness(channel, kind, ageMs) {
    if (kind === "candle" || kind === "signal" || !this.clock.isKnown) return;
    if (ageMs > LATE_MS + 5_000 * document.hidden) this.late.set(channel, ageMs);
    else if (this.late.size > 0) this.late.delete(channel);
  }
}

const isGenerated = ({ venue }) => venue === "sim" || venue === "replay";
