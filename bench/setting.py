"""Where a benchmark ran, and the real redis-server that it ran on."""

import contextlib
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from bench.cpu import pinned
from gateway.processes.embedded_redis import find_redis_server

_PACKAGES = ("uvicorn", "websockets", "uvloop", "redis", "hiredis", "msgspec")


def described() -> list[str]:
    """The machine, the versions and the commit, a line each."""
    with open("/proc/cpuinfo") as lines:
        models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return [
        f"machine: {len(models)} x {models[0] if models else platform.machine()}",
        f"kernel: {platform.release()}, Python {platform.python_version()}",
        f"versions: {versions}",
        f"commit: {commit()}",
    ]


def commit() -> str:
    """The commit, and whether the tree differs from it."""
    told = subprocess.run(
        ("git", "describe", "--always", "--dirty"), capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


@contextlib.contextmanager
def redis_server(core: int | None = None) -> Iterator[str]:
    """A redis-server of the benchmark's own, on any core or on that one; its socket's path."""
    with tempfile.TemporaryDirectory(prefix="tg-") as directory:
        path = str(Path(directory) / "redis.sock")
        command = [str(find_redis_server()), "--port", "0", "--unixsocket", path, "--save", ""]
        command += ["--dir", directory]
        process = subprocess.Popen(
            command if core is None else pinned(core, *command), stdout=subprocess.DEVNULL
        )
        try:
            _wait_for(path)
            yield path
        finally:
            process.terminate()
            process.wait(timeout=10)


def _wait_for(path: str) -> None:
    with Redis(unix_socket_path=path) as redis:
        deadline_s = time.monotonic() + 10
        while time.monotonic() < deadline_s:
            try:
                redis.ping()
            except RedisConnectionError:
                time.sleep(0.01)
            else:
                return
    raise RuntimeError("redis-server did not answer within 10 s")
