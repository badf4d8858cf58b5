// What the page wants to be subscribed to, what it is, and the commands that lead from one to the
// other: one at a time, so that no limit of commands is run into.

const RATES = ["all", "latest", "50ms", "100ms", "200ms", "500ms", "1s", "2s", "5s"];
const CHANNELS_MAX = 50; // What one command may name.
const CHANNELS_FIRST = 16; // The first is answered the sooner: a price is waited for.
const RETRY_MS = 5_000;
const REPLAY_LATER_MS = 300;
const BACK_MAX = 1_000;
const NO_ROOM = "too_many_subscriptions";
const NEVER_CONFLATED = /^(candle|signal|outcome)\b/;

const faster = (one, other) => (RATES.indexOf(one) <= RATES.indexOf(other) ? one : other);
const slower = (one, other) => (RATES.indexOf(one) >= RATES.indexOf(other) ? one : other);

export class Subscriptions {
  #wants = []; // of Map(channel -> rate)
  #has = new Map(); // channel -> the rate that was asked for, acked
  #served = new Map(); // channel -> the rate that it is served at
  #refused = new Map(); // channel -> {code, message, againMs}
  #pending = null; // the command that waits for its answer
  #pauseUntilMs = 0;
  #slowest = "all";
  #id = 0;
  #timer = 0;

  /** `send` takes a command; `positions` is asked for `since`. */
  constructor(send, positions) {
    this.send = send;
    this.positions = positions;
    this.isOpen = false;
  }

  /** All that is wanted from now on: Maps of channels to rates, the most urgent first. */
  want(wants) {
    const before = this.#wanted();
    this.#wants = wants;
    const wanted = this.#wanted();
    if ([...before.keys()].some((channel) => !wanted.has(channel))) this.#hasRoomAgain();
    this.step();
  }

  /** Nothing faster than this: for a tab that nobody looks at. */
  slowTo(rate) {
    this.#slowest = rate;
    this.step();
  }

  rateOf(channel) {
    return this.#served.get(channel) ?? null;
  }

  get refused() {
    return this.#refused;
  }

  get count() {
    return this.#has.size;
  }

  opened() {
    this.isOpen = true;
    this.#has.clear();
    this.#served.clear();
    this.#refused.clear();
    this.#pending = null;
    this.#pauseUntilMs = 0;
    this.step();
  }

  closed() {
    this.isOpen = false;
    this.#pending = null;
    clearTimeout(this.#timer);
  }

  /** Sends the next command that is needed, unless one is under way. */
  step() {
    if (!this.isOpen || this.#pending !== null) return;
    const nowMs = performance.now();
    if (nowMs < this.#pauseUntilMs) {
      this.#later(this.#pauseUntilMs - nowMs);
      return;
    }
    const wanted = this.#wanted();
    const gone = [...this.#has.keys()].filter((channel) => !wanted.has(channel));
    if (gone.length > 0) {
      this.#command({ op: "unsubscribe", channels: gone.slice(0, CHANNELS_MAX) });
      return;
    }
    const [rate, missing] = this.#missing(wanted, nowMs);
    if (missing.length === 0) return;
    const since = this.positions.since(missing);
    this.#command({ op: "subscribe", channels: missing, rate, ...(has(since) && { since }) });
  }

  /** An ack or an error that answers our command; gives whether it did. */
  answered(message) {
    const pending = this.#pending;
    if (pending === null || message.id !== pending.id) return false;
    this.#pending = null;
    if (message.type === "error") this.#failed(pending, message);
    else if (pending.op === "unsubscribe") this.#left(pending.channels);
    else this.#joined(pending, message);
    this.step();
    return true;
  }

  #wanted() {
    const all = new Map();
    for (const channels of this.#wants) {
      for (const [channel, rate] of channels) {
        const served = NEVER_CONFLATED.test(channel) ? "all" : slower(rate, this.#slowest);
        all.set(channel, all.has(channel) ? faster(all.get(channel), served) : served);
      }
    }
    return all;
  }

  /** Up to a command's worth of channels of one rate that are wanted and not had. */
  #missing(wanted, nowMs) {
    let rate = null;
    const missing = [];
    const most = this.#has.size === 0 ? CHANNELS_FIRST : CHANNELS_MAX;
    for (const [channel, wantedRate] of wanted) {
      if (this.#has.get(channel) === wantedRate || (rate !== null && rate !== wantedRate)) continue;
      const refusal = this.#refused.get(channel);
      if (refusal !== undefined && nowMs < refusal.againMs) continue;
      rate = wantedRate;
      missing.push(channel);
      if (missing.length === most) break;
    }
    return [rate, missing];
  }

  #command(command) {
    this.#id += 1;
    this.#pending = { ...command, id: this.#id };
    this.send(this.#pending);
  }

  #joined(pending, { ok, err }) {
    for (const { ch, rate } of ok) {
      this.#has.set(ch, pending.rate);
      this.#served.set(ch, rate ?? pending.rate);
      this.#refused.delete(ch);
    }
    for (const { ch, code, message, retry } of err) {
      const waitMs = code === "replay_later" ? REPLAY_LATER_MS : RETRY_MS;
      const againMs = retry ? performance.now() + waitMs : Infinity;
      if (this.#refused.size < BACK_MAX) this.#refused.set(ch, { code, message, againMs });
      if (retry) this.#later(waitMs);
    }
  }

  #left(channels) {
    for (const channel of channels) {
      this.#has.delete(channel);
      this.#served.delete(channel);
      this.positions.forget(channel);
    }
    this.#hasRoomAgain();
  }

  /** There are fewer than when the plan's end was met: what it kept out is asked for again. */
  #hasRoomAgain() {
    for (const [channel, { code }] of this.#refused) {
      if (code === NO_ROOM) this.#refused.delete(channel);
    }
  }

  /** A command that was refused as a whole. */
  #failed(pending, { code, message, retry, after_ms: afterMs }) {
    if (code === "rate_limited") {
      this.#pauseUntilMs = performance.now() + (afterMs ?? 1_000);
    } else if (pending.op === "unsubscribe") {
      this.#left(pending.channels);
    } else {
      const againMs = retry ? performance.now() + RETRY_MS : Infinity;
      for (const ch of pending.channels) this.#refused.set(ch, { code, message, againMs });
    }
  }

  #later(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.step(), ms + 20);
  }
}

const has = (object) => Object.keys(object).length > 0;
