/* What comes in: frames, and in them what each dialect makes of a message. */

static void send_all(int fd, const void *data, size_t size) {
  if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size && errno != EPIPE && errno != ECONNRESET)
    die("write");
}

static void send_frame(int fd, int opcode, const void *data, size_t size) {
  static unsigned char frame[TEXT_BYTES + 14];
  size_t at = 0;
  frame[at++] = (unsigned char)(0x80 | opcode);
  if (size < 126) {
    frame[at++] = 0x80 | (unsigned char)size;
  } else if (size < 65536) {
    frame[at++] = 0x80 | 126;
    frame[at++] = (unsigned char)(size >> 8);
    frame[at++] = (unsigned char)size;
  } else {
    frame[at++] = 0x80 | 127;
    for (int shift = 56; shift >= 0; shift -= 8) frame[at++] = (unsigned char)(size >> shift);
  }
  memset(frame + at, 0, 4); /* a mask of zeros changes nothing */
  at += 4;
  memcpy(frame + at, data, size);
  send_all(fd, frame, at + size);
}

static void leave(struct peer *p, unsigned code) {
  if (!p->open) return;
  p->open = 0;
  closed++;
  close_codes[code]++;
  close(p->fd);
}

static uint64_t number(const unsigned char *at) {
  uint64_t n = 0;
  while (*at >= '0' && *at <= '9') n = n * 10 + (uint64_t)(*at++ - '0');
  return n;
}

/* When it was published; 0 if it doesn't say. `…"tx":1234567890123456,"gw":1234567890123456}` is
 * how it ends, nearly always. */
static int64_t published_us(const unsigned char *text, size_t size) {
  const unsigned char *at = text + size - 1 - 16 - 6 - 16;
  if (memcmp(at - 5, "\"tx\":", 5) == 0) return (int64_t)number(at);
  at = memmem(text, size, "\"tx\":", 5);
  return at ? (int64_t)number(at + 5) : 0;
}

/* An announcement or a reply. */
static void heed(struct peer *p, const unsigned char *text, size_t size) {
  if (size > 14 && memcmp(text, "{\"type\":\"gap\"", 13) == 0) gaps++;
  if (!p->replies) return;
  errno = 0;
  if (memmem(text, size, "\"type\":\"error\"", 14)) die("refused: %.*s", (int)size, text);
  if (memmem(text, size, "\"err\":[{", 8)) die("not subscribed: %.*s", (int)size, text);
  if (memmem(text, size, "\"welcome\"", 9) || memmem(text, size, "\"ack\"", 5)) p->replies--;
}

/* One text message. */
static void take(struct peer *p, const unsigned char *text, size_t size, int64_t read_us) {
  if (size < 80 || memcmp(text, "{\"ch\":\"", 7) != 0) {
    heed(p, text, size);
    return;
  }
  const unsigned char *name = text + 7, *quote = memchr(name, '"', size < 256 ? size - 7 : 249);
  int channel = quote ? channel_of(name, (size_t)(quote - name)) : -1;
  if (channel < 0) {
    strangers++;
    return;
  }
  uint64_t seq = number(quote + 8); /* ","seq": */
  uint64_t last = p->last[channel];
  /* The stamps of the plain path end the text; whatever stands for others has "n" besides. */
  int plain = !at_a_rate && memcmp(text + size - 17 - 6, ",\"gw\":", 6) == 0;
  int several = !plain && memmem(text, size, "\"n\":", 4) != NULL;
  if (last && seq != last + 1) {
    if (seq <= last) disorder++;
    else if (at_a_rate || several) skipped += seq - last - 1;
    else holes += seq - last - 1;
  }
  p->last[channel] = seq;
  int64_t tx_us = published_us(text, size);
  if (tx_us < ready_us) { /* from before the run, or a newest value kept from then */
    early++;
    return;
  }
  uint64_t late_us = read_us > tx_us ? (uint64_t)(read_us - tx_us) : 0;
  if (late_us > late_us_max) late_us_max = late_us;
  buckets[bucket_of(late_us)]++;
  conflated += (uint64_t)several;
  messages++;
}

/* Whole NATS messages; how many bytes they took. */
static size_t take_nats(struct peer *p, const unsigned char *data, size_t size, int64_t read_us) {
  size_t at = 0;
  for (;;) {
    const unsigned char *line = data + at, *end = memchr(line, '\n', size - at);
    if (!end) return at;
    size_t taken = (size_t)(end + 1 - line);
    if (memcmp(line, "MSG ", 4) == 0) { /* MSG <subject> <sid> <bytes>\r\n */
      const unsigned char *last_word = end - 1;
      while (last_word[-1] != ' ') last_word--;
      size_t length = number(last_word);
      if (size - at < taken + length + 2) return at;
      take(p, end + 1, length, read_us);
      taken += length + 2;
    } else if (memcmp(line, "PING", 4) == 0) {
      send_frame(p->fd, 2, "PONG\r\n", 6);
    } else if (memcmp(line, "PONG", 4) == 0) {
      p->replies--;
    } else if (memcmp(line, "-ERR", 4) == 0) {
      fprintf(stderr, "load: %.*s\n", (int)taken, line);
    }
    at += taken;
  }
}

/* Whole MQTT packets; how many bytes they took. */
static size_t take_mqtt(struct peer *p, const unsigned char *data, size_t size, int64_t read_us) {
  size_t at = 0;
  for (;;) {
    size_t length = 0, header = 1;
    for (int shift = 0;; shift += 7) {
      if (size - at < header + 1) return at;
      unsigned char byte = data[at + header++];
      length |= (size_t)(byte & 127) << shift;
      if (!(byte & 128)) break;
    }
    if (size - at < header + length) return at;
    const unsigned char *body = data + at + header;
    switch (data[at] >> 4) {
      case 2: /* CONNACK */
        errno = 0;
        if (body[1]) die("refused: MQTT code %d", body[1]);
        p->replies--;
        break;
      case 9: p->replies--; break; /* SUBACK */
      case 3: { /* PUBLISH, QoS 0 */
        size_t topic = (size_t)body[0] << 8 | body[1];
        take(p, body + 2 + topic, length - 2 - topic, read_us);
      }
    }
    at += header + length;
  }
}

/* Lines of JSON: replies, pings, and pushes, which end `…,"pub":{"data":{…}}}`. */
static void take_lines(struct peer *p, const unsigned char *text, size_t size, int64_t read_us) {
  const unsigned char *end = text + size, *next;
  for (; text < end; text = next + 1) {
    next = memchr(text, '\n', (size_t)(end - text));
    if (!next) next = end;
    size_t length = (size_t)(next - text);
    const unsigned char *data = memmem(text, length, "\"data\":{\"ch\":", 13);
    if (data) {
      take(p, data + 7, (size_t)(next - 3 - (data + 7)), read_us);
    } else if (length == 2) {
      send_frame(p->fd, 1, "{}", 2);
    } else if (p->replies) {
      errno = 0;
      if (memmem(text, length, "\"error\":", 8)) die("refused: %.*s", (int)length, text);
      p->replies -= memcmp(text, "{\"id\":", 6) == 0;
    }
  }
}

/* Whole frames, from `at` on. The payloads of NATS and MQTT, whose messages know no frames, are
 * moved together to data + p->inner, which grows. Returns where the unfinished frame begins. */
static size_t frames(struct peer *p, unsigned char *data, size_t at, size_t size, int64_t read_us) {
  while (size - at >= 2 && p->open) {
    size_t length = data[at + 1] & 127, header = 2;
    if (length == 126) {
      if (size - at < 4) break;
      length = (size_t)data[at + 2] << 8 | data[at + 3];
      header = 4;
    } else if (length == 127) {
      if (size - at < 10) break;
      length = 0;
      for (int i = 0; i < 8; i++) length = length << 8 | data[at + 2 + i];
      header = 10;
    }
    if (size - at < header + length) break;
    unsigned char *payload = data + at + header;
    switch (data[at] & 15) {
      case 8: leave(p, length < 2 ? 1005 : (unsigned)payload[0] << 8 | payload[1]); break;
      case 9: send_frame(p->fd, 10, payload, length); break;
      case 10: break;
      default:
        if (options.dialect == TICKGATE || options.dialect == PLAIN) {
          take(p, payload, length, read_us);
        } else if (options.dialect == CENTRIFUGO) {
          take_lines(p, payload, length, read_us);
        } else {
          memmove(data + p->inner, payload, length);
          p->inner += (uint32_t)length;
        }
    }
    at += header + length;
  }
  return at;
}

static void keep(struct peer *p, const unsigned char *inner, const unsigned char *outer,
                 size_t outer_size) {
  p->kept = p->inner + (uint32_t)outer_size;
  errno = 0;
  if (p->kept > READ_BYTES) die("a frame of more than 1 MiB");
  if (p->kept > p->rest_size) {
    p->rest_size = p->kept + 512;
    p->rest = realloc(p->rest, p->rest_size);
  }
  memmove(p->rest, inner, p->inner);
  memmove(p->rest + p->inner, outer, outer_size);
}

static void hear(struct peer *p, unsigned char *data, size_t size, int64_t read_us) {
  size_t at = frames(p, data, p->inner, size, read_us), taken = 0;
  if (options.dialect == NATS) taken = take_nats(p, data, p->inner, read_us);
  if (options.dialect == MQTT) taken = take_mqtt(p, data, p->inner, read_us);
  p->inner -= (uint32_t)taken;
  keep(p, data + taken, data + at, size - at);
}

static void readable(struct peer *p) {
  static unsigned char buffer[READ_BYTES * 2];
  memcpy(buffer, p->rest, p->kept);
  ssize_t got = read(p->fd, buffer + p->kept, READ_BYTES);
  if (got <= 0) {
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    leave(p, 1006);
    return;
  }
  reads++;
  bytes_in += (uint64_t)got;
  int64_t read_us = now_us();
  uint64_t before = messages;
  hear(p, buffer, p->kept + (size_t)got, read_us);
  if (messages == before) return;
  if (!before) first_us = read_us;
  last_us = read_us;
}
