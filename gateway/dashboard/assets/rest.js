// The public REST: history and lists. Few calls at a time, and none that is only nice to have
// where the plan is nearly used up.

const AT_ONCE_MAX = 3;
const LIMIT_MS = 10_000;
const SPARE_CALLS = 10; // Left to others with the same key.

export class RestError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Rest {
  #key;
  #begun;
  #running = 0;
  #waiting = [];
  #againMs = 0;

  /** `begun`: address -> what a GET answers that was begun already. */
  constructor(key, begun = new Map()) {
    this.#key = key;
    this.#begun = begun;
    this.remaining = Infinity;
  }

  /** Whether a call that is only nice to have should be made. */
  get hasRoom() {
    return this.remaining > SPARE_CALLS && performance.now() >= this.#againMs;
  }

  /**
   * What a GET answers, decoded. `isUrgent`: before those that wait already. Throws RestError; its
   * status is 0 where no answer came.
   */
  async get(path, parameters = {}, { isUrgent = false } = {}) {
    const address = new URL(path, location.href);
    for (const [name, value] of Object.entries(parameters)) {
      if (value !== null && value !== undefined) address.searchParams.set(name, String(value));
    }
    await this.#turn(isUrgent);
    try {
      return await this.#ask(address);
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #turn(isUrgent) {
    if (this.#running >= AT_ONCE_MAX) {
      await new Promise((go) => (isUrgent ? this.#waiting.unshift(go) : this.#waiting.push(go)));
    }
    this.#running += 1;
  }

  async #ask(address) {
    const place = address.pathname + address.search;
    const begun = this.#begun.get(place);
    this.#begun.delete(place);
    let answer;
    try {
      answer = await (begun ?? this.#fetch(address));
    } catch {
      throw new RestError(0, "no answer");
    }
    const left = /\br=(\d+)/.exec(answer.headers.get("RateLimit") ?? "");
    if (left !== null) this.remaining = Number(left[1]);
    if (answer.status === 429) {
      this.#againMs = performance.now() + 1_000 * Number(answer.headers.get("Retry-After") ?? 10);
    }
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      throw new RestError(answer.status, body.detail ?? body.message ?? `answer ${answer.status}`);
    }
    return body;
  }

  #fetch(address) {
    return fetch(address, {
      headers: { "X-API-Key": this.#key },
      signal: AbortSignal.timeout(LIMIT_MS),
    });
  }
}
