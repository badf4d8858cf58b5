"""The open-loop publisher of bench.fanout: `python -m bench.fanout.publish SOCKET CHANNELS RATE N`.

Tick n is due at start + n / RATE whatever happened to those before it, and carries that moment as
its `tx`: a latency measured from it can't leave out what a stall delayed. It writes publications
straight to Redis pub/sub, as bus.lua would; seq is contiguous per channel.
"""

import socket
import sys
import time

_EPOCH = b"b%x" % time.time_ns()
"""Of this run alone: a gateway that saw another one is told that the numbering began anew."""
_WAKE_S = 0.0005


def _command(*words: bytes) -> bytes:
    parts = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n%b" % (len(words), parts)


def _publication(seq: int, due_us: int) -> bytes:
    payload = (
        b'{"px":"68900.50","sz":"0.00150000","side":"buy","id":"995098%06d",'
        b'"t":%d,"rx":%d,"tx":%d}' % (seq, due_us - 900, due_us - 200, due_us)
    )
    return b"%b %d - %b" % (_EPOCH, seq, payload)


def main() -> None:
    path, channels, rate, count = (
        sys.argv[1],
        int(sys.argv[2]),
        float(sys.argv[3]),
        int(sys.argv[4]),
    )
    topics = [b"tickgate:{trade:bench:C%05d}" % number for number in range(channels)]
    redis = socket.socket(socket.AF_UNIX)
    redis.connect(path)
    redis.sendall(_command(b"CLIENT", b"REPLY", b"OFF"))
    start_s = time.time() + 0.05
    sent = 0
    while sent < count:
        due = min(count, int((time.time() - start_s) * rate) + 1)
        ready = []
        for number in range(sent, due):
            due_us = int((start_s + number / rate) * 1e6)
            message = _publication(number // channels + 1, due_us)
            ready.append(_command(b"PUBLISH", topics[number % channels], message))
        if ready:
            redis.sendall(b"".join(ready))
        sent = max(sent, due)
        time.sleep(_WAKE_S)
    print(f'{{"late_s":{max(0.0, time.time() - start_s - count / rate):.4f}}}')


if __name__ == "__main__":
    main()
