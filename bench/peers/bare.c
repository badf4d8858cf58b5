/* The bare C sender of bench.peers: the least that a fan-out from Redis to WebSockets can cost.
 *
 *   bare REDIS_SOCKET each|joined
 *
 * Tells its port of 127.0.0.1. Subscribes to Redis for what its connections ask for, frames each
 * tick once and sends it: `each` with one send(2) a tick and subscriber, `joined` with one
 * writev(2) for all ticks that one read of the Redis socket brought a subscriber. It has no keys,
 * limits, pings or closes, and believes what its peers send. What a socket doesn't take is kept.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define CHANNELS 4096
#define READ_BYTES (1 << 18)
#define PIECES 1024 /* of one writev: IOV_MAX */
#define OWED_BYTES_MAX (64 << 20)

struct connection {
  int fd, upgraded;
  char asked[1 << 12]; /* what came and isn't whole yet */
  size_t asked_size;
  char *owed; /* what the socket didn't take */
  size_t owed_size, owed_room;
  struct iovec *pieces; /* of this read of Redis; in `joined` only */
  int pieces_size;
};

struct channel {
  char name[64];
  struct connection **subscribers;
  int size, room;
};

static struct channel channels[CHANNELS];
static int channels_size, joined, redis, poll_fd, listener;
static struct connection **dirty;
static int dirty_size, dirty_room;

static void die(const char *what) {
  perror(what);
  exit(2);
}

static void send_whole(int fd, const char *data, size_t size) {
  while (size) {
    ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) continue; /* small answers while nothing else is sent */
    if (sent <= 0) return;
    data += sent, size -= (size_t)sent;
  }
}

/* Sending ticks. ------------------------------------------------------------------------------- */

static void watch(struct connection *c, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static void owe(struct connection *c, const char *data, size_t size) {
  if (c->owed_size + size > OWED_BYTES_MAX) die("a subscriber is 64 MiB behind");
  if (c->owed_size + size > c->owed_room) {
    c->owed_room = 2 * (c->owed_size + size);
    c->owed = realloc(c->owed, c->owed_room);
  }
  if (!c->owed_size) watch(c, EPOLLIN | EPOLLOUT);
  memcpy(c->owed + c->owed_size, data, size);
  c->owed_size += size;
}

static void send_tick(struct connection *c, const char *frame, size_t size) {
  ssize_t sent = c->owed_size ? 0 : send(c->fd, frame, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) sent = 0;
  if ((size_t)sent < size) owe(c, frame + sent, size - (size_t)sent);
}

static void send_pieces(struct connection *c) {
  ssize_t sent = c->owed_size ? 0 : writev(c->fd, c->pieces, c->pieces_size);
  if (sent < 0) sent = 0;
  for (int i = 0; i < c->pieces_size; i++) {
    size_t size = c->pieces[i].iov_len, gone = (size_t)sent < size ? (size_t)sent : size;
    if (gone < size) owe(c, (char *)c->pieces[i].iov_base + gone, size - gone);
    sent -= (ssize_t)gone;
  }
  c->pieces_size = 0;
}

/* Frames of one read lie one behind the other: neighbours become one piece. */
static void add_piece(struct connection *c, char *frame, size_t size) {
  if (!c->pieces_size) {
    if (dirty_size == dirty_room)
      dirty = realloc(dirty, (size_t)(dirty_room = 2 * dirty_room + 64) * sizeof *dirty);
    dirty[dirty_size++] = c;
    if (!c->pieces) c->pieces = malloc(PIECES * sizeof *c->pieces);
  }
  struct iovec *last = c->pieces + c->pieces_size - 1;
  if (c->pieces_size && (char *)last->iov_base + last->iov_len == frame) {
    last->iov_len += size;
    return;
  }
  if (c->pieces_size == PIECES) {
    send_pieces(c);
    c->pieces_size = 0;
  }
  c->pieces[c->pieces_size++] = (struct iovec){frame, size};
}

static void send_dirty(void) {
  for (int i = 0; i < dirty_size; i++)
    if (dirty[i]->pieces_size) send_pieces(dirty[i]);
  dirty_size = 0;
}

/* Redis. --------------------------------------------------------------------------------------- */

static struct channel *channel_named(const char *name, size_t size) {
  /* The benchmark's names end in their number. */
  size_t number = strtoul(name + size - 5, NULL, 10);
  if (number < (size_t)channels_size && !strncmp(channels[number].name, name, size))
    return channels + number;
  for (int i = 0; i < channels_size; i++)
    if (!strncmp(channels[i].name, name, size) && !channels[i].name[size]) return channels + i;
  return NULL;
}

static struct channel *subscribed_channel(const char *name, size_t size) {
  struct channel *found = channel_named(name, size);
  if (found) return found;
  if (channels_size == CHANNELS || size >= sizeof found->name) die("too many channels");
  found = channels + channels_size++;
  memcpy(found->name, name, size);
  char command[128];
  int length = snprintf(command, sizeof command, "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\n%s\r\n", size,
                        found->name);
  send_whole(redis, command, (size_t)length);
  return found;
}

static void publish(struct channel *channel, char *frame, size_t size) {
  for (int i = 0; i < channel->size; i++) {
    if (joined) add_piece(channel->subscribers[i], frame, size);
    else send_tick(channel->subscribers[i], frame, size);
  }
}

/* The end of `$<size>\r\n<text>\r\n`, or NULL while it isn't whole. */
static char *bulk(char *at, char *end, char **text, size_t *size) {
  char *line = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
  if (!line) return NULL;
  *size = strtoul(at + 1, NULL, 10);
  *text = line + 1;
  return (size_t)(end - *text) >= *size + 2 ? *text + *size + 2 : NULL;
}

/* One push; its end, or NULL while it isn't whole. A message becomes a frame at *frame. */
static char *push(char *at, char *end, char **frame) {
  char *line = memchr(at, '\n', (size_t)(end - at)), *kind, *name, *text;
  size_t kind_size, name_size, size;
  if (!line || !(at = bulk(line + 1, end, &kind, &kind_size))) return NULL;
  if (!(at = bulk(at, end, &name, &name_size))) return NULL;
  if (kind_size != 7) { /* subscribe: a number follows */
    line = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    return line ? line + 1 : NULL;
  }
  if (!(at = bulk(at, end, &text, &size))) return NULL;
  char *start = *frame, *into = start;
  *into++ = (char)0x81;
  if (size < 126) *into++ = (char)size;
  else *into++ = 126, *into++ = (char)(size >> 8), *into++ = (char)size;
  memcpy(into, text, size);
  *frame = into + size;
  struct channel *channel = channel_named(name, name_size);
  if (channel) publish(channel, start, (size_t)(*frame - start));
  return at;
}

static void hear_redis(void) {
  static char buffer[READ_BYTES], framed[READ_BYTES];
  static size_t kept;
  ssize_t got = read(redis, buffer + kept, sizeof buffer - kept);
  if (got <= 0) die("redis");
  char *at = buffer, *end = buffer + kept + got, *next, *frame = framed;
  while (at < end && (next = push(at, end, &frame))) at = next;
  send_dirty();
  kept = (size_t)(end - at);
  memmove(buffer, at, kept);
}

/* Connections. --------------------------------------------------------------------------------- */

static void forget(struct connection *c) {
  for (int i = 0; i < channels_size; i++) {
    struct channel *channel = channels + i;
    for (int j = channel->size; j-- > 0;)
      if (channel->subscribers[j] == c)
        channel->subscribers[j] = channel->subscribers[--channel->size];
  }
  close(c->fd);
  free(c->owed);
  free(c->pieces);
  free(c);
}

/* Every quoted word behind "channels" is one. */
static void subscribe(struct connection *c, char *text, size_t size) {
  static const char ack[] = "{\"type\":\"ack\"}";
  char *at = memmem(text, size, "\"channels\":[", 12), *end = text + size;
  for (at = at ? at + 12 : end; at < end && *at != ']';) {
    if (*at++ != '"') continue;
    char *quote = memchr(at, '"', (size_t)(end - at));
    if (!quote) break;
    struct channel *channel = subscribed_channel(at, (size_t)(quote - at));
    if (channel->size == channel->room) {
      channel->room = 2 * channel->room + 16;
      channel->subscribers =
          realloc(channel->subscribers, (size_t)channel->room * sizeof *channel->subscribers);
    }
    channel->subscribers[channel->size++] = c;
    at = quote + 1;
  }
  char frame[32] = {(char)0x81, sizeof ack - 1};
  memcpy(frame + 2, ack, sizeof ack - 1);
  send_whole(c->fd, frame, 2 + sizeof ack - 1);
}

/* The answer is right for the one key that the load client sends, that of RFC 6455's example. */
static void upgrade(struct connection *c) {
  static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                               "Connection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
  if (!memmem(c->asked, c->asked_size, "\r\n\r\n", 4)) return;
  send_whole(c->fd, answer, sizeof answer - 1);
  c->upgraded = 1;
  c->asked_size = 0; /* the load client waits for the answer */
}

/* One masked text frame: the subscription. */
static void hear_frame(struct connection *c) {
  unsigned char *data = (unsigned char *)c->asked;
  size_t length = c->asked_size > 1 ? data[1] & 127 : 127, header = 6;
  if (length == 126 && c->asked_size > 3) length = (size_t)data[2] << 8 | data[3], header = 8;
  if (length > 65535 || c->asked_size < header + length) return;
  for (size_t i = 0; i < length; i++) data[header + i] ^= data[header - 4 + (i & 3)];
  if ((data[0] & 15) == 1) subscribe(c, c->asked + header, length);
  c->asked_size -= header + length;
  memmove(c->asked, c->asked + header + length, c->asked_size);
}

static void hear(struct connection *c) {
  size_t room = sizeof c->asked - c->asked_size;
  ssize_t got = recv(c->fd, c->asked + c->asked_size, room, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    forget(c);
    return;
  }
  c->asked_size += (size_t)got;
  if (c->upgraded) hear_frame(c);
  else upgrade(c);
}

static void pay(struct connection *c) {
  ssize_t sent = send(c->fd, c->owed, c->owed_size, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent <= 0) return;
  c->owed_size -= (size_t)sent;
  memmove(c->owed, c->owed + sent, c->owed_size);
  if (!c->owed_size) watch(c, EPOLLIN);
}

static void admit(void) {
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), on = 1;
  if (fd < 0) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct connection *c = calloc(1, sizeof *c);
  c->fd = fd;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void listen_here(void) {
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof here;
  listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listener, (struct sockaddr *)&here, size) || listen(listener, 4096)) die("listen");
  getsockname(listener, (struct sockaddr *)&here, &size);
  printf("%d\n", ntohs(here.sin_port));
  fflush(stdout);
}

static void connect_redis(const char *path) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  strncpy(to.sun_path, path, sizeof to.sun_path - 1);
  redis = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(redis, (struct sockaddr *)&to, sizeof to)) die(path);
}

int main(int argc, char **argv) {
  if (argc != 3) return 64;
  joined = strcmp(argv[2], "joined") == 0;
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  connect_redis(argv[1]);
  poll_fd = epoll_create1(EPOLL_CLOEXEC);
  listen_here();
  struct epoll_event on_listener = {.events = EPOLLIN, .data.ptr = &listener};
  struct epoll_event on_redis = {.events = EPOLLIN, .data.ptr = &redis};
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &on_listener);
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, redis, &on_redis);
  for (struct epoll_event events[256];;) {
    int n = epoll_wait(poll_fd, events, 256, -1), redis_speaks = 0;
    for (int i = 0; i < n; i++) {
      void *who = events[i].data.ptr;
      if (who == &listener) admit();
      else if (who == &redis) redis_speaks = 1;
      else if (events[i].events & EPOLLOUT) pay(who);
      else hear(who);
    }
    if (redis_speaks) hear_redis(); /* last: nobody among these events is forgotten behind it */
  }
}
