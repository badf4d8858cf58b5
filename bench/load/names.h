/* The channels' names, and their numbers by name: open addressing, at most half full. */

static char **names;
static uint32_t *places; /* 1 + a channel's number, or 0 */
static uint32_t places_mask;

static uint32_t place_of(const unsigned char *name, size_t size) {
  uint64_t hash = size;
  if (size >= 8) { /* both ends tell nearly all names apart: kinds here, symbols there */
    uint64_t head, tail;
    memcpy(&head, name, 8);
    memcpy(&tail, name + size - 8, 8);
    hash = (hash + head * 0x9E3779B97F4A7C15u) ^ tail;
  } else {
    for (size_t i = 0; i < size; i++) hash = hash * 131 + name[i];
  }
  hash *= 0xD6E8FEB86659FD93u;
  return (uint32_t)(hash >> 32) & places_mask;
}

static int channel_of(const unsigned char *name, size_t size) {
  for (uint32_t at = place_of(name, size); places[at]; at = (at + 1) & places_mask) {
    const char *known = names[places[at] - 1];
    if (memcmp(known, name, size) == 0 && known[size] == 0) return (int)places[at] - 1;
  }
  return -1;
}

static void read_names(void) {
  FILE *file = fopen(options.names, "r");
  if (!file) die("%s", options.names);
  char line[4096];
  for (options.channels = 0; fgets(line, sizeof line, file);) {
    line[strcspn(line, "\r\n")] = 0;
    if (!*line) continue;
    names = realloc(names, (size_t)(options.channels + 1) * sizeof *names);
    names[options.channels++] = strdup(line);
  }
  fclose(file);
}

static void make_names(void) {
  names = calloc((size_t)options.channels, sizeof *names);
  for (int i = 0; i < options.channels; i++)
    if (asprintf(&names[i], "trade:bench:C%05d", i) < 0) die("asprintf");
}

static void place_names(void) {
  uint32_t size = 16;
  while (size < 2 * (uint32_t)options.channels) size *= 2;
  places = calloc(size, sizeof *places);
  places_mask = size - 1;
  for (int i = 0; i < options.channels; i++) {
    size_t length = strlen(names[i]);
    /* Names are compared over the size of what came, which may be longer than they. */
    names[i] = realloc(names[i], length + 256);
    memset(names[i] + length, 0, 256);
    uint32_t at = place_of((unsigned char *)names[i], length);
    while (places[at]) at = (at + 1) & places_mask;
    places[at] = (uint32_t)i + 1;
  }
}
