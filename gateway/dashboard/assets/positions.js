// Where this client stands in each channel, and what it must have missed.
// Every seq of a channel is delivered once, or lies in a gap that was announced; the rest is found
// here. Data carries no epoch, so each position is anchored by an ack, or by the state
// before a channel's first message.

const UNKNOWN = "";

class Place {
  constructor(epoch, seq, delivered) {
    this.epoch = epoch;
    this.seq = seq;
    this.delivered = delivered; // Whether the message of `seq` came; an ack names one to come.
    this.acked = seq;
  }

  holeBefore(ch, seq) {
    if (seq <= this.seq + 1) return null;
    const away = seq - 1 <= this.acked;
    return { ch, from: this.seq + 1, to: seq - 1, by: away ? "away" : "unannounced" };
  }
}

export class Positions {
  #places = new Map();

  /** What a subscribe command says of channels that were heard before. */
  since(names) {
    const told = {};
    for (const name of names) {
      const place = this.#places.get(name);
      if (place !== undefined && place.epoch !== UNKNOWN) told[name] = [place.epoch, place.seq];
    }
    return told;
  }

  /** An ack's word of where a channel is; gives what came while we were away. */
  accepted({ ch, epoch = UNKNOWN, seq = 0, recovered }) {
    const place = this.#places.get(ch);
    if (place === undefined) {
      this.#places.set(ch, new Place(epoch, seq, false));
      return null;
    }
    if (recovered === true || epoch === UNKNOWN) return null;
    if (place.epoch !== epoch && place.epoch !== UNKNOWN) {
      this.#places.set(ch, new Place(epoch, seq, false));
      return { ch, from: null, to: null, by: "bus" };
    }
    place.epoch = epoch;
    if (seq <= place.seq) return null;
    // `recovered: false` comes with the newest value: that one is not missed.
    const last = recovered === undefined ? seq : seq - 1;
    place.acked = seq;
    const missed = place.holeBefore(ch, last + 1);
    place.seq = last;
    place.delivered = false;
    return missed;
  }

  /** The first message of a channel that had none follows. */
  begins({ ch, epoch }) {
    const place = this.#places.get(ch);
    if (place !== undefined && place.epoch === UNKNOWN) place.epoch = epoch;
  }

  /** A message that stands for `count`: whether it is new, and what is missing before it. */
  came(ch, seq, count) {
    const place = this.#places.get(ch);
    if (place === undefined) {
      this.#places.set(ch, new Place(UNKNOWN, seq, true));
      return [true, null];
    }
    if (seq <= place.seq) {
      const isNew = !place.delivered && seq === place.seq;
      place.delivered = true;
      return [isNew, null];
    }
    const missed = place.holeBefore(ch, seq - count + 1);
    place.seq = seq;
    place.delivered = true;
    return [true, missed];
  }

  /** A gap that the gateway announces: whether it is new. */
  announced({ ch, from, to }) {
    const place = this.#places.get(ch) ?? new Place(UNKNOWN, from - 1, true);
    this.#places.set(ch, place);
    if (to <= place.seq) {
      const isNew = !place.delivered;
      place.delivered = true;
      return isNew;
    }
    place.seq = to;
    place.delivered = true;
    return true;
  }

  beganAnew({ ch, epoch, seq }) {
    this.#places.set(ch, new Place(epoch, seq, false));
  }

  forget(ch) {
    this.#places.delete(ch);
  }
}
