"""nginx with nchan; ticks come by HTTP, pipelined on one connection.

Two rows: what it publishes goes through its own memory, or through Redis as with several nginx.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from bench.cpu import OTHERS_CORE, pinned
from bench.peers.peer import (
    Ground,
    Peer,
    Running,
    await_listening,
    first_line_of,
    free_port,
    launched,
)
from gateway.processes.embedded_redis import find_redis_server

_MODULE: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
_INSTALL: Final = "apt install nginx libnginx-mod-nchan"

# One worker: the peer has one core. The publisher's connection lives as long as it likes. A buffer
# of messages, as its documentation wants it for delivery without loss: without one, whoever is
# busy when a message comes misses it.
_CONFIGURATION: Final = """
load_module {module};
{user}
daemon off;
pid {directory}/pid;
error_log {directory}/log crit;
worker_processes 1;
worker_rlimit_nofile 16384;
events {{ worker_connections 16384; use epoll; multi_accept on; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  nchan_shared_memory_size 256M;
  {store}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    {use_store}
    nchan_message_buffer_length 2000;
    nchan_message_timeout 1m;
    location = /pub {{ nchan_publisher http; nchan_channel_id $arg_id; }}
    location ~ ^/sub/(.+)$ {{
      nchan_subscriber websocket;
      nchan_channel_id $1;
      nchan_channel_id_split_delimiter ",";
      nchan_subscriber_first_message oldest;
    }}
  }}
}}
"""


def _missing() -> str:
    return "" if shutil.which("nginx") and _MODULE.exists() else _INSTALL


@contextlib.contextmanager
def _nginx(ground: Ground, store: str, use_store: str) -> Iterator[Running]:
    port = free_port()
    path = ground.directory / "nginx.conf"
    path.write_text(
        _CONFIGURATION.format(
            module=_MODULE,
            # Who may not change users is told off for asking.
            user="user root;" if os.geteuid() == 0 else "",
            directory=ground.directory,
            port=port,
            store=store,
            use_store=use_store,
        )
    )
    with launched("nginx", "-c", path, "-p", ground.directory, "-e", "stderr") as process:
        await_listening(process, port)
        yield Running(process, port, str(port))


@contextlib.contextmanager
def _in_memory(ground: Ground) -> Iterator[Running]:
    with _nginx(ground, "", "") as running:
        yield running


@contextlib.contextmanager
def _in_redis(ground: Ground) -> Iterator[Running]:
    # nchan speaks to Redis over TCP only, and the benchmark's own has but a socket.
    port = free_port()
    words = (find_redis_server(), "--port", port, "--bind", "127.0.0.1", "--save", "")
    command = pinned(OTHERS_CORE, *words, "--dir", ground.directory)
    redis = subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True)
    try:
        await_listening(redis, port)
        upstream = f"upstream store {{ nchan_redis_server redis://127.0.0.1:{port}; }}"
        with _nginx(ground, upstream, "nchan_redis_pass store;") as running:
            yield running
    finally:
        redis.terminate()
        redis.wait(timeout=10)


def _peer(name: str, start: Callable[[Ground], AbstractContextManager[Running]]) -> Peer:
    return Peer(
        name=name,
        missing=_missing,
        version=first_line_of("nginx", "-v"),
        start=start,
        wire="nchan",
        path="/sub/%s",
    )


MEMORY: Final = _peer("nchan", _in_memory)
REDIS: Final = _peer("nchan_redis", _in_redis)
