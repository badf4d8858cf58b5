/* What the parts of the load client share: its options, its connections, its counts. One program
 * is made of one source file: all of this is static. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES (1 << 20)
#define TEXT_BYTES (1 << 18)
#define COMMAND_CHANNELS 50 /* the protocol's limit for one command */

enum dialect { TICKGATE, PLAIN, NATS, MQTT, CENTRIFUGO };
static const char *const DIALECTS[] = {"tickgate", "plain", "nats", "mqtt", "centrifugo"};

static struct {
  const char *host, *key, *path, *rate, *names;
  int port, connections, channels, each, first, receive_buffer;
  uint64_t expected;
  double limit_s;
  enum dialect dialect;
} options = {.host = "127.0.0.1", .key = "", .path = "/v1/stream", .rate = "all", .channels = 1,
             .connections = 1, .each = 1, .limit_s = 10};

struct peer {
  int fd;
  int replies;        /* still to come before it is subscribed */
  int open;
  uint32_t inner;     /* bytes of an unfinished NATS or MQTT message, at the start of rest */
  uint32_t kept;      /* those and, behind them, an unfinished frame */
  uint32_t rest_size; /* allocated */
  unsigned char *rest;
  uint64_t *last; /* by channel index: the last seq */
};

static uint64_t messages, early, bytes_in, reads, holes, skipped, disorder, gaps, conflated, closed;
static uint64_t strangers; /* messages of channels that nobody subscribed to */
static int64_t ready_us = INT64_MAX, first_us, last_us;
static uint32_t close_codes[65536];
static int at_a_rate;
static volatile sig_atomic_t stopped;

static void die(const char *what, ...) {
  va_list arguments;
  va_start(arguments, what);
  fprintf(stderr, "load: ");
  vfprintf(stderr, what, arguments);
  fprintf(stderr, "%s%s\n", errno ? ": " : "", errno ? strerror(errno) : "");
  va_end(arguments);
  exit(2);
}

static int64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static double cpu_s(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}
