// Asks for the past of the rows in sight: a few at a time, so many a minute, and again where it
// failed or something was missed. What the plan allows others need more: half of it stays theirs.

const FEW = 3;
// A day and the hour that runs; where there are but few, all of those in finer ones.
const ASKS = [
  ["1h", 25],
  ["5m", 37],
  ["1m", 16],
  ["1s", 30],
];
const AT_ONCE_MAX = 3;
const A_MINUTE_MAX = 120;
const MINUTE_MS = 60_000;
const AFTER_FAILURE_MS = 60_000;
const AFTER_ANSWER_MS = 3_600_000; // Of a market that trades seldom each trade ends a hole.

export class Recall {
  #app;
  #inSight;
  #againMs = new Map(); // key of a row -> before that it is not asked for
  #running = 0;
  #made = 0;
  #minuteMs = -Infinity; // when the minute began that they are counted in

  /** `inSight` gives the rows that somebody sees. */
  constructor(app, inSight) {
    this.#app = app;
    this.#inSight = inSight;
  }

  /** Asks for what is needed and may be asked for now. To be called now and then. */
  look() {
    for (const row of this.#inSight()) {
      const nowMs = performance.now();
      if (this.#running >= AT_ONCE_MAX || !this.#hasRoom(nowMs)) return;
      if (this.#isNeeded(row, nowMs)) this.#ask(row);
    }
  }

  #isNeeded(row, nowMs) {
    return (
      row.day.needsPast &&
      !(nowMs < this.#againMs.get(row.key)) &&
      this.#app.catalog.has(channelOf(row, "1h"))
    );
  }

  #hasRoom(nowMs) {
    if (nowMs - this.#minuteMs >= MINUTE_MS) [this.#minuteMs, this.#made] = [nowMs, 0];
    return this.#made < A_MINUTE_MAX && this.#app.rest.hasRoom;
  }

  async #ask(row) {
    this.#running += 1;
    this.#againMs.set(row.key, Infinity);
    let waitMs = AFTER_ANSWER_MS;
    try {
      row.recall(await this.#candles(row));
    } catch {
      waitMs = AFTER_FAILURE_MS;
    }
    this.#againMs.set(row.key, performance.now() + waitMs);
    this.#running -= 1;
    this.#app.painter.ask();
    this.look();
  }

  async #candles(row) {
    let candles = [];
    for (const [interval, limit] of ASKS) {
      const channel = channelOf(row, interval);
      if (!this.#app.catalog.has(channel)) continue;
      this.#made += 1;
      const { messages } = await this.#app.rest.get("/v1/candles", { channel, limit });
      // An hour in which a market began says that it began with the hour: its minutes know better.
      const isAll = messages.length > 0 && messages.length < limit;
      candles = isAll ? messages : [...candles, ...messages];
      if (messages.length > FEW) break;
    }
    return candles;
  }
}

const channelOf = ({ venue, symbol }, interval) => `candle.${interval}:${venue}:${symbol}`;
