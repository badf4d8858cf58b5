// The time here and at the gateway. Times are milliseconds UTC, with fractions.

/** This machine's clock, finer than Date.now(), and never stepping back while the page lives. */
export const now = () => performance.timeOrigin + performance.now();

const SAMPLES_MAX = 12;

/** How far the gateway's clock is ahead of ours: from the ping that was answered fastest. */
export class ServerClock {
  #samples = [];

  heard(sentMs, receivedMs, serverUs) {
    const tripMs = receivedMs - sentMs;
    const aheadMs = serverUs / 1000 - (sentMs + receivedMs) / 2;
    this.#samples.push({ tripMs, aheadMs });
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
  }

  get best() {
    return this.#samples.reduce(
      (best, one) => (best === null || one.tripMs < best.tripMs ? one : best),
      null,
    );
  }

  get isKnown() {
    return this.#samples.length > 0;
  }

  /** Now, as the gateway's clock has it. */
  now() {
    return now() + (this.best?.aheadMs ?? 0);
  }

  /** A time of ours, on the gateway's clock. */
  there(ms) {
    return ms + (this.best?.aheadMs ?? 0);
  }

  forget() {
    this.#samples = [];
  }
}
