// The public REST: history and lists. Few calls at a time, and none that is only nice to have
// where the plan is nearly used up.

const AT_ONCE_MAX = 3;
const LIMIT_MS = 10_000;
const SPARE_CALLS = 10; // Left to others with the same key, of each limit,
const SPARE_SHARES = { __proto__: null, minute: 0.5, month: 0.1 }; // and of its quota so much.

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
  #limits = []; // {left, spare, untilMs} of each, as the newest answer told

  /** `begun`: address -> what a GET answers that was begun already. */
  constructor(key, begun = new Map()) {
    this.#key = key;
    this.#begun = begun;
  }

  /** Whether a call that is only nice to have should be made. */
  get hasRoom() {
    const nowMs = performance.now();
    const isUsed = ({ left, spare, untilMs }) => left <= spare && nowMs < untilMs;
    return nowMs >= this.#againMs && !this.#limits.some(isUsed);
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
    this.#limits = limitsOf(answer.headers);
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

/** `"minute";r=59;t=23`, and of `"minute";q=60;w=60` how much is to be spared. */
function limitsOf(headers) {
  const items = (name) => (headers.get(name) ?? "").matchAll(/"(\w+)";[qr]=(\d+)(?:;[tw]=(\d+))?/g);
  const quotas = new Map([...items("RateLimit-Policy")].map(([, name, quota]) => [name, quota]));
  return [...items("RateLimit")].map(([, name, left, resetS = 60]) => ({
    left: Number(left),
    spare: Math.max(SPARE_CALLS, (SPARE_SHARES[name] ?? 0) * Number(quotas.get(name) ?? 0)),
    untilMs: performance.now() + 1_000 * Number(resetS),
  }));
}
