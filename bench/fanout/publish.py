"""The open-loop publisher of bench.fanout: `python -m bench.fanout.publish SOCKET CHANNELS RATE N`.

Tick n is due at start + n / RATE whatever happened to those before it, and carries that moment as
its `tx`: a latency measured from it can't leave out what a stall delayed. It writes publications
straight to Redis pub/sub, as bus.lua would; seq is contiguous per channel.
"""

import socket
import sys
import time

import msgspec

_EPOCH = b"b%x" % time.time_ns()
"""Of this run alone: a gateway that saw another one is told that the numbering began anew."""
_WAKE_S = 0.0005
_LEAD_S = 0.05
"""Between the start of the schedule and the first tick."""

_PUBLISH = b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
_MESSAGE = (
    b'%b %d - {"px":"68900.50","sz":"0.00150000","side":"buy","id":"995098%06d",'
    b'"t":%d,"rx":%d,"tx":%d}'
)
"""184 bytes, as delivered: with `ch`, `seq` and `gw`."""


class Published(msgspec.Struct, frozen=True):
    """What the publisher tells when it is done."""

    ticks: int
    late_s: float
    """How late the latest tick was written."""
    cpu_s: float


def published(path: str, channels: int, ticks_per_s: float, count: int) -> Published:
    topics = [b"tickgate:{trade:bench:C%05d}" % number for number in range(channels)]
    redis = socket.socket(socket.AF_UNIX)
    redis.connect(path)
    redis.sendall(b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n")
    start_s = time.time() + _LEAD_S
    start_us, period_us = int(start_s * 1e6), 1e6 / ticks_per_s
    sent, late_s, before_s = 0, 0.0, time.process_time()
    while sent < count:
        due = min(count, int((time.time() - start_s) * ticks_per_s) + 1)
        ready = []
        for number in range(sent, due):
            seq, at = divmod(number, channels)
            due_us = start_us + int(number * period_us)
            message = _MESSAGE % (_EPOCH, seq + 1, seq + 1, due_us - 900, due_us - 200, due_us)
            topic = topics[at]
            ready.append(_PUBLISH % (len(topic), topic, len(message), message))
        if ready:
            # When Redis is behind, this waits, and what is late then says so.
            redis.sendall(b"".join(ready))
            late_s = max(late_s, time.time() - start_s - sent / ticks_per_s)
            sent = due
        time.sleep(_WAKE_S)
    redis.close()
    return Published(count, round(late_s, 4), round(time.process_time() - before_s, 3))


def main() -> None:
    path, channels, ticks_per_s, count = sys.argv[1:]
    told = published(path, int(channels), float(ticks_per_s), int(count))
    print(msgspec.json.encode(told).decode())


if __name__ == "__main__":
    main()
