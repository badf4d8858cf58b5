// Which channels this key may see: asked often at first, as feeds come up, and seldom later.

const AT_MS = [0, 2_000, 5_000, 10_000, 20_000, 40_000, 80_000, 150_000, 300_000];
const LATER_MS = 600_000; // A call counts against the key's month.
const PAGES_MAX = 20;

export class Discovery {
  #rest;
  #found;
  #timer = 0;
  #round = 0;

  /** `found` is called with the names of channels. */
  constructor(rest, found) {
    this.#rest = rest;
    this.#found = found;
  }

  /** Now, and again later. */
  begin() {
    this.#round = 0;
    this.#wait();
  }

  #wait() {
    clearTimeout(this.#timer);
    const before = AT_MS[this.#round - 1] ?? 0;
    const waitMs = this.#round < AT_MS.length ? AT_MS[this.#round] - before : LATER_MS;
    this.#timer = setTimeout(() => this.#look(), waitMs);
  }

  async #look() {
    this.#round += 1;
    try {
      this.#found(await this.#names());
    } catch {
      // The next round asks again; the connection says what is the matter.
    }
    this.#wait();
  }

  async #names() {
    const names = [];
    let cursor = null;
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const { symbols, next } = await this.#rest.get("/v1/symbols", { limit: 1_000, cursor });
      for (const { channels } of symbols) names.push(...channels);
      if (next === null) break;
      cursor = next;
    }
    return names;
  }
}
