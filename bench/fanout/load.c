/* The load client of bench.fanout: many WebSocket subscribers in one thread, cheap per message.
 *
 *   load HOST PORT KEY CONNECTIONS CHANNELS CHANNELS_EACH EXPECTED LIMIT_S
 *
 * Connection i subscribes to CHANNELS_EACH of CHANNELS channels trade:bench:C00000…, beginning at
 * i * CHANNELS_EACH. Prints "ready" when every ack has come; ends when EXPECTED messages have come
 * or LIMIT_S seconds after that. Checks each message: its seq is the channel's next on that
 * connection. Latency is from the message's tx (microseconds, the last member but one) to the
 * moment when the read that brought it returned. Ends by printing one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (1 << 20)

/* A histogram of microseconds: 64 buckets an octave, so that a bucket is within 1.6 %. */
#define SUB 64
#define OCTAVES 32
static uint64_t buckets[OCTAVES * SUB];
static uint64_t messages, bytes_in, reads, holes, disorder, late_us_max;

struct peer {
  int fd;
  uint32_t kept;      /* bytes of an unfinished frame, at the start of rest */
  uint32_t rest_size; /* allocated */
  unsigned char *rest;
  uint64_t *last; /* by channel index: the last seq */
};

static void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(2);
}

static int64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static unsigned bucket_of(uint64_t us) {
  if (us < SUB) return (unsigned)us;
  int octave = 63 - __builtin_clzll(us);
  unsigned at = (unsigned)((octave - 5) * SUB + (us >> (octave - 6)) - SUB);
  return at < OCTAVES * SUB ? at : OCTAVES * SUB - 1;
}

static uint64_t value_of(unsigned bucket) {
  if (bucket < SUB) return bucket;
  unsigned octave = bucket / SUB + 5, within = bucket % SUB;
  return (uint64_t)(SUB + within) << (octave - 6);
}

static uint64_t quantile(double q) {
  uint64_t wanted = (uint64_t)(q * messages), seen = 0;
  for (unsigned i = 0; i < OCTAVES * SUB; i++) {
    seen += buckets[i];
    if (seen > wanted) return value_of(i);
  }
  return late_us_max;
}

static uint64_t number(const unsigned char *at) {
  uint64_t n = 0;
  while (*at >= '0' && *at <= '9') n = n * 10 + (uint64_t)(*at++ - '0');
  return n;
}

/* One text message: a data message is counted and checked, an announcement is a hole or nothing. */
static void take(struct peer *p, const unsigned char *text, uint64_t size, int64_t read_us) {
  static const char head[] = "{\"ch\":\"trade:bench:C";
  if (size < 90 || memcmp(text, head, sizeof head - 1) != 0) {
    if (size > 14 && memcmp(text, "{\"type\":\"gap\"", 13) == 0) holes++;
    return;
  }
  const unsigned char *index = text + sizeof head - 1;
  uint64_t channel = number(index);
  uint64_t seq = number(index + 5 + 8); /* 5 digits, then ","seq": */
  uint64_t last = p->last[channel];
  if (last && seq != last + 1) {
    if (seq > last) holes += seq - last - 1; else disorder++;
  }
  p->last[channel] = seq;
  /* …"tx":1234567890123456,"gw":1234567890123456} */
  int64_t late = read_us - (int64_t)number(text + size - 1 - 16 - 6 - 16);
  if (late < 0) late = 0;
  if ((uint64_t)late > late_us_max) late_us_max = (uint64_t)late;
  buckets[bucket_of((uint64_t)late)]++;
  messages++;
}

/* Whole frames of data; returns how many bytes they took. */
static uint64_t frames(struct peer *p, const unsigned char *data, uint64_t size, int64_t read_us) {
  uint64_t at = 0;
  while (size - at >= 2) {
    uint64_t length = data[at + 1] & 127, header = 2;
    if (length == 126) {
      if (size - at < 4) break;
      length = (uint64_t)data[at + 2] << 8 | data[at + 3];
      header = 4;
    } else if (length == 127) {
      if (size - at < 10) break;
      length = 0;
      for (int i = 0; i < 8; i++) length = length << 8 | data[at + 2 + i];
      header = 10;
    }
    if (size - at < header + length) break;
    unsigned char opcode = data[at] & 15;
    if (opcode == 1) take(p, data + at + header, length, read_us);
    if (opcode == 8) {
      fprintf(stderr, "load: closed by the server\n");
      exit(3);
    }
    at += header + length;
  }
  return at;
}

static void readable(struct peer *p) {
  static unsigned char buffer[BUFFER * 2];
  memcpy(buffer, p->rest, p->kept);
  ssize_t got = read(p->fd, buffer + p->kept, BUFFER);
  if (got <= 0) {
    if (got < 0 && errno == EAGAIN) return;
    fprintf(stderr, "load: the connection ended\n");
    exit(3);
  }
  reads++;
  bytes_in += (uint64_t)got;
  uint64_t size = p->kept + (uint64_t)got, took = frames(p, buffer, size, now_us());
  p->kept = (uint32_t)(size - took);
  if (p->kept > p->rest_size) {
    p->rest_size = p->kept + 512;
    p->rest = realloc(p->rest, p->rest_size);
  }
  memcpy(p->rest, buffer + took, p->kept);
}

static void send_all(int fd, const void *data, size_t size) {
  if (write(fd, data, size) != (ssize_t)size) die("write");
}

static void send_text(int fd, const char *text) {
  unsigned char frame[65536];
  size_t size = strlen(text), at = 0;
  frame[at++] = 0x81;
  if (size < 126) {
    frame[at++] = 0x80 | (unsigned char)size;
  } else {
    frame[at++] = 0x80 | 126;
    frame[at++] = (unsigned char)(size >> 8);
    frame[at++] = (unsigned char)size;
  }
  memset(frame + at, 0, 4); /* a mask of zeros changes nothing */
  at += 4;
  memcpy(frame + at, text, size);
  send_all(fd, frame, at + size);
}

/* Reads until `mark` has come. Nothing of interest follows it yet: nobody publishes. */
static void expect(int fd, const char *mark) {
  static char seen[1 << 18];
  size_t size = 0;
  while (size < sizeof seen - 1) {
    ssize_t got = read(fd, seen + size, sizeof seen - 1 - size);
    if (got <= 0) die(mark);
    size += (size_t)got;
    if (memmem(seen, size, mark, strlen(mark))) return;
  }
  die("too much before the mark");
}

static struct peer *connected(const char *host, int port, const char *key, int channels, int each,
                              int number_of) {
  struct peer *p = calloc(1, sizeof *p);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &to.sin_addr);
  p->fd = socket(AF_INET, SOCK_STREAM, 0);
  p->last = calloc((size_t)channels, sizeof *p->last);
  p->rest_size = 512;
  p->rest = malloc(p->rest_size);
  if (connect(p->fd, (struct sockaddr *)&to, sizeof to)) die("connect");
  char text[65536];
  snprintf(text, sizeof text,
           "GET /v1/stream HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
           "X-API-Key: %s\r\n\r\n",
           host, port, key);
  send_all(p->fd, text, strlen(text));
  expect(p->fd, "\"welcome\"");
  size_t at = (size_t)sprintf(text, "{\"op\":\"subscribe\",\"id\":1,\"channels\":[");
  for (int i = 0; i < each; i++)
    at += (size_t)sprintf(text + at, "%s\"trade:bench:C%05d\"", i ? "," : "",
                          (int)(((int64_t)number_of * each + i) % channels));
  sprintf(text + at, "]}");
  send_text(p->fd, text);
  expect(p->fd, "\"err\":[]");
  return p;
}

int main(int argc, char **argv) {
  if (argc != 9) return 64;
  int port = atoi(argv[2]), count = atoi(argv[4]), channels = atoi(argv[5]), each = atoi(argv[6]);
  uint64_t expected = strtoull(argv[7], NULL, 10);
  double limit_s = atof(argv[8]);
  struct rlimit files = {(rlim_t)count + 64, (rlim_t)count + 64};
  setrlimit(RLIMIT_NOFILE, &files);
  int poll_fd = epoll_create1(0);
  for (int i = 0; i < count; i++) {
    struct peer *p = connected(argv[1], port, argv[3], channels, each, i);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = p};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, p->fd, &event)) die("epoll_ctl");
  }
  printf("ready\n");
  fflush(stdout);
  struct epoll_event events[1024];
  int64_t started = now_us(), first = 0, last = 0, end = started + (int64_t)(limit_s * 1e6);
  while (messages < expected && now_us() < end) {
    int n = epoll_wait(poll_fd, events, 1024, 100);
    for (int i = 0; i < n; i++) readable(events[i].data.ptr);
    if (messages) last = now_us();
    if (messages && !first) first = last;
  }
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double cpu_s = (double)used.ru_utime.tv_sec + (double)used.ru_stime.tv_sec +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
  printf("{\"messages\":%lu,\"expected\":%lu,\"bytes\":%lu,\"reads\":%lu,\"holes\":%lu,"
         "\"disorder\":%lu,\"span_s\":%.6f,\"cpu_s\":%.6f,\"p50_us\":%lu,\"p90_us\":%lu,"
         "\"p99_us\":%lu,\"p999_us\":%lu,\"max_us\":%lu}\n",
         messages, expected, bytes_in, reads, holes, disorder, (double)(last - first) / 1e6, cpu_s,
         quantile(0.5), quantile(0.9), quantile(0.99), quantile(0.999), late_us_max);
  return 0;
}
