/* The load client of the benchmarks: many WebSocket subscribers in one thread, cheap per message.
 *
 *   load --host H --port P --connections N --channels C --each K --expected N --limit-s S
 *        [--key K] [--dialect tickgate|plain|nats|mqtt|centrifugo] [--path /v1/stream] [--rate all]
 *        [--first I] [--receive-buffer BYTES] [--names FILE]
 *
 * Connection i subscribes to K of C channels trade:bench:C00000… (or of those that FILE names, one
 * a line), beginning at (I + i) * K. Prints "ready" when every ack has come; ends when EXPECTED
 * messages have come, S seconds after that, at SIGTERM or when the server has closed everything
 * (EXPECTED 0: not for the number of messages). Ends by printing one JSON object.
 *
 * Checks each message: its seq is the channel's next on that connection. Latency is from the
 * message's tx (microseconds) to the moment when the read that brought it returned; a message from
 * before "ready" is checked but not counted. At a rate, or of a message that stands for others,
 * seqs passed over are "skipped"; otherwise they are "holes".
 *
 * The dialects are how one subscribes and what a message is wrapped in: tickgate (protocol 1),
 * plain ({"op":"subscribe","channels":[…]} answered by {"type":"ack"…}, or, with a %s in the path,
 * the channels' names there, divided by commas), nats and mqtt (their bytes in binary frames),
 * centrifugo (lines of JSON).
 */
#include "load.h"
#include "histogram.h"
#include "names.h"
#include "hearing.h"
#include "asking.h"

/* Connecting. ---------------------------------------------------------------------------------- */

static int connected_socket(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
  if (inet_pton(AF_INET, options.host, &to.sin_addr) != 1) die("not an address: %s", options.host);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  int size = options.receive_buffer;
  if (size && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size)) die("SO_RCVBUF");
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) die("connect");
  return fd;
}

static void send_request(int fd, int connection) {
  static char text[TEXT_BYTES];
  size_t at = 0;
  const char *mark = named_in_path() ? strstr(options.path, "%s") : NULL;
  append(text, &at, "GET %.*s", (int)(mark ? mark - options.path : (long)strlen(options.path)),
         options.path);
  for (int i = 0; mark && i < options.each; i++)
    append(text, &at, "%s%s", i ? "," : "", nth(connection, i));
  append(text, &at, "%s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
         mark ? mark + 2 : "", options.host, options.port);
  append(text, &at, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n");
  if (*options.key) append(text, &at, "X-API-Key: %s\r\n", options.key);
  if (options.dialect == MQTT) append(text, &at, "Sec-WebSocket-Protocol: mqtt\r\n");
  append(text, &at, "\r\n");
  send_all(fd, text, at);
}

/* Reads the answer's header; what came behind it is kept. */
static void await_upgrade(struct peer *p) {
  p->rest_size = 4096;
  p->rest = malloc(p->rest_size);
  for (;;) {
    ssize_t got = read(p->fd, p->rest + p->kept, p->rest_size - p->kept);
    if (got <= 0) die("no answer");
    p->kept += (uint32_t)got;
    unsigned char *end = memmem(p->rest, p->kept, "\r\n\r\n", 4);
    if (!end && p->kept < p->rest_size) continue;
    errno = 0;
    if (!end || memcmp(p->rest, "HTTP/1.1 101", 12)) die("refused: %.*s", (int)p->kept, p->rest);
    p->kept -= (uint32_t)(end + 4 - p->rest);
    memmove(p->rest, end + 4, p->kept);
    if (p->kept < 256) p->rest = realloc(p->rest, p->rest_size = 512);
    return;
  }
}

static struct peer *connected(int connection) {
  struct peer *p = calloc(1, sizeof *p);
  p->open = 1;
  p->fd = connected_socket();
  p->last = calloc((size_t)options.channels, sizeof *p->last);
  send_request(p->fd, connection);
  return p;
}

/* Several at once, and each asks for all before it hears: a server that takes its time does it for
 * all of them. More than these would overflow the backlog that some servers listen with. */
#define AT_ONCE 100

static void subscribe(int poll_fd, int from, int count) {
  struct peer *peers[AT_ONCE];
  for (int i = 0; i < count; i++) peers[i] = connected(from + i);
  for (int i = 0; i < count; i++) {
    await_upgrade(peers[i]);
    ask(peers[i], from + i);
    hear(peers[i], peers[i]->rest, peers[i]->kept, 0);
  }
  for (int i = 0; i < count; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peers[i]};
    await_replies(peers[i]);
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, peers[i]->fd, &event)) die("epoll_ctl");
  }
}

/* The run. ------------------------------------------------------------------------------------- */

static void on_signal(int number) { (void)number, stopped = 1; }

static void listen_to_all(int poll_fd) {
  static struct epoll_event events[1024];
  int64_t end = ready_us + (int64_t)(options.limit_s * 1e6);
  while (!stopped && closed < (uint64_t)options.connections && now_us() < end) {
    int n = epoll_wait(poll_fd, events, 1024, 100);
    for (int i = 0; i < n; i++) readable(events[i].data.ptr);
    if (options.expected && messages >= options.expected) break;
  }
}

static void tell(double used_s) {
  printf("{\"messages\":%lu,\"expected\":%lu,\"early\":%lu,\"bytes\":%lu,\"reads\":%lu,", messages,
         options.expected, early, bytes_in, reads);
  printf("\"holes\":%lu,\"skipped\":%lu,\"disorder\":%lu,\"gaps\":%lu,\"conflated\":%lu,"
         "\"strangers\":%lu,",
         holes, skipped, disorder, gaps, conflated, strangers);
  printf("\"closed\":%lu,\"close_codes\":{", closed);
  const char *comma = "";
  for (int code = 0; code < 65536; code++) {
    if (!close_codes[code]) continue;
    printf("%s\"%d\":%u", comma, code, close_codes[code]);
    comma = ",";
  }
  printf("},\"span_s\":%.6f,\"cpu_s\":%.6f,\"p50_us\":%lu,\"p90_us\":%lu,\"p99_us\":%lu,"
         "\"p999_us\":%lu,\"max_us\":%lu,\"buckets\":[",
         (double)(last_us - first_us) / 1e6, used_s, quantile(0.5), quantile(0.9), quantile(0.99),
         quantile(0.999), late_us_max);
  comma = "";
  for (unsigned i = 0; i < OCTAVES * SUB; i++) {
    if (!buckets[i]) continue;
    printf("%s[%lu,%lu]", comma, value_of(i), buckets[i]);
    comma = ",";
  }
  printf("]}\n");
}

static void read_options(int argc, char **argv) {
  static const char *const known[] = {"host", "port", "connections", "channels", "each", "expected",
                                      "limit-s", "key", "dialect", "path", "rate", "first",
                                      "receive-buffer", "names"};
  struct option table[sizeof known / sizeof *known + 1] = {0};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    table[i] = (struct option){known[i], required_argument, NULL, (int)i};
  for (int option; (option = getopt_long(argc, argv, "", table, NULL)) != -1;) {
    switch (option) {
      case 0: options.host = optarg; break;
      case 1: options.port = atoi(optarg); break;
      case 2: options.connections = atoi(optarg); break;
      case 3: options.channels = atoi(optarg); break;
      case 4: options.each = atoi(optarg); break;
      case 5: options.expected = strtoull(optarg, NULL, 10); break;
      case 6: options.limit_s = atof(optarg); break;
      case 7: options.key = optarg; break;
      case 8:
        while (options.dialect <= CENTRIFUGO && strcmp(optarg, DIALECTS[options.dialect]))
          options.dialect++;
        if (options.dialect > CENTRIFUGO) die("no such dialect: %s", optarg);
        break;
      case 9: options.path = optarg; break;
      case 10: options.rate = optarg; break;
      case 11: options.first = atoi(optarg); break;
      case 12: options.receive_buffer = atoi(optarg); break;
      case 13: options.names = optarg; break;
      default: exit(64);
    }
  }
  at_a_rate = strcmp(options.rate, "all") != 0;
}

static void allow_files(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  rlim_t wanted = (rlim_t)options.connections + 64;
  if (files.rlim_cur >= wanted) return;
  files.rlim_cur = wanted;
  if (files.rlim_max < wanted) files.rlim_max = wanted;
  if (setrlimit(RLIMIT_NOFILE, &files)) die("%d connections need more open files", (int)wanted);
}

int main(int argc, char **argv) {
  read_options(argc, argv);
  if (options.names) read_names(); else make_names();
  errno = 0;
  if (options.each < 1 || options.each > options.channels) die("--each is 1 to the channels");
  place_names();
  allow_files();
  signal(SIGTERM, on_signal);
  int poll_fd = epoll_create1(0);
  for (int from = 0; from < options.connections && !stopped; from += AT_ONCE) {
    int left = options.connections - from;
    subscribe(poll_fd, from, left < AT_ONCE ? left : AT_ONCE);
  }
  ready_us = now_us();
  double before_s = cpu_s();
  printf("ready\n");
  fflush(stdout);
  listen_to_all(poll_fd);
  tell(cpu_s() - before_s);
  return 0;
}
