/* What a connection asks for, in each dialect, and the answers to it. */

static void append(char *text, size_t *at, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  *at += (size_t)vsnprintf(text + *at, TEXT_BYTES - *at, format, arguments);
  va_end(arguments);
  errno = 0;
  if (*at >= TEXT_BYTES) die("too many channels a connection");
}

static const char *nth(int connection, int i) {
  return names[((int64_t)(options.first + connection) * options.each + i) % options.channels];
}

static void ask_in_text(struct peer *p, int connection, int from, int to) {
  static char text[TEXT_BYTES];
  size_t at = 0;
  append(text, &at, "{\"op\":\"subscribe\",\"id\":1,");
  if (options.dialect == TICKGATE) append(text, &at, "\"rate\":\"%s\",", options.rate);
  append(text, &at, "\"channels\":[");
  for (int i = from; i < to; i++)
    append(text, &at, "%s\"%s\"", i > from ? "," : "", nth(connection, i));
  append(text, &at, "]}");
  p->replies++;
  send_frame(p->fd, 1, text, at);
}

static void ask_tickgate(struct peer *p, int connection) {
  p->replies = 1; /* the welcome */
  for (int from = 0; from < options.each; from += COMMAND_CHANNELS) {
    int to = from + COMMAND_CHANNELS;
    ask_in_text(p, connection, from, to < options.each ? to : options.each);
  }
}

static void ask_nats(struct peer *p, int connection) {
  static char text[TEXT_BYTES];
  size_t at = 0;
  append(text, &at, "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c\","
                    "\"version\":\"1\",\"protocol\":1,\"echo\":false}\r\n");
  for (int i = 0; i < options.each; i++)
    append(text, &at, "SUB %s %d\r\n", nth(connection, i), i + 1);
  append(text, &at, "PING\r\n");
  p->replies = 1;
  send_frame(p->fd, 2, text, at);
}

static size_t mqtt_packet(unsigned char *packet, int type, const unsigned char *body, size_t size) {
  size_t at = 0, left = size;
  packet[at++] = (unsigned char)type;
  do {
    packet[at++] = (unsigned char)((left & 127) | (left > 127 ? 128 : 0));
    left >>= 7;
  } while (left);
  memcpy(packet + at, body, size);
  return at + size;
}

static void ask_mqtt(struct peer *p, int connection) {
  static unsigned char body[TEXT_BYTES], packet[TEXT_BYTES];
  char id[32];
  size_t id_size = (size_t)snprintf(id, sizeof id, "load-%d-%d", getpid(), connection);
  /* MQTT 3.1.1, clean session, no keep-alive. */
  static const unsigned char head[] = {0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0};
  memcpy(body, head, sizeof head);
  body[sizeof head] = (unsigned char)id_size;
  memcpy(body + sizeof head + 1, id, id_size);
  send_frame(p->fd, 2, packet, mqtt_packet(packet, 0x10, body, sizeof head + 1 + id_size));
  size_t at = 0;
  body[at++] = 0;
  body[at++] = 1; /* the packet's number */
  for (int i = 0; i < options.each; i++) {
    const char *name = nth(connection, i);
    size_t size = strlen(name);
    errno = 0;
    if (at + size + 3 > TEXT_BYTES - 8) die("too many channels a connection");
    body[at++] = (unsigned char)(size >> 8);
    body[at++] = (unsigned char)size;
    memcpy(body + at, name, size);
    at += size;
    body[at++] = 0; /* QoS 0 */
  }
  p->replies = 2;
  send_frame(p->fd, 2, packet, mqtt_packet(packet, 0x82, body, at));
}

static void ask_centrifugo(struct peer *p, int connection) {
  static char text[TEXT_BYTES];
  size_t at = 0;
  append(text, &at, "{\"id\":1,\"connect\":{}}");
  for (int i = 0; i < options.each; i++)
    append(text, &at, "\n{\"id\":%d,\"subscribe\":{\"channel\":\"%s\"}}", i + 2,
           nth(connection, i));
  p->replies = 1 + options.each;
  send_frame(p->fd, 1, text, at);
}

static int named_in_path(void) { return options.dialect == PLAIN && strstr(options.path, "%s"); }

static void ask(struct peer *p, int connection) {
  switch (options.dialect) {
    case TICKGATE: ask_tickgate(p, connection); break;
    case PLAIN:
      if (!named_in_path()) ask_in_text(p, connection, 0, options.each);
      break;
    case NATS: ask_nats(p, connection); break;
    case MQTT: ask_mqtt(p, connection); break;
    case CENTRIFUGO: ask_centrifugo(p, connection);
  }
}

static void await_replies(struct peer *p) {
  while (p->replies > 0) {
    readable(p);
    errno = 0;
    if (!p->open) die("closed by the server while subscribing");
  }
}
