"""`tickgate` as users start it: a process of its own, its output read line by line."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from gateway.processes.running import Running, find_running
from tests.until import until

REPOSITORY = Path(__file__).parent.parent
COMMAND = (sys.executable, "-P", "-m", "gateway.cli")
LIMIT_S = 40.0


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    """Ours without any setting of ours; then `variables`. Only `sim`: no test leaves loopback."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TICKGATE_") and name != "REDIS_URL"
    }
    defaults = {
        "PYTHONPATH": str(REPOSITORY),
        "TICKGATE_ADMIN_ENABLED": "false",
        "TICKGATE_CONFIG": "/dev/null",
        "TICKGATE_DATA_DIR": str(data_dir),
        # The others need no library that takes seconds of a core to load.
        "TICKGATE_DERIVED_SIGNAL_MODELS": "trend,reversion,flow,anomaly",
        "TICKGATE_GATEWAY_PORT": "0",
        "TICKGATE_VENUES": "sim",
    }
    return clean | defaults | variables


async def run_to_end(
    *arguments: str, data_dir: Path, cwd: Path | None = None, **variables: str
) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command that ends of itself."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        env=environment(data_dir, **variables),
        cwd=cwd or data_dir,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
    finally:
        _kill(process)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


class RunningTickgate:
    """A `tickgate run` that has said its welcome."""

    def __init__(self, process: asyncio.subprocess.Process, data_dir: Path) -> None:
        self.process = process
        self.data_dir = data_dir
        self.lines: list[str] = []

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    @property
    def url(self) -> str:
        return self._said(r"listening: (http://\S+)")

    @property
    def key(self) -> str:
        return self._said(r"demo key: (\S+)")

    @property
    def running(self) -> Running:
        found = find_running(self.data_dir)
        assert found is not None
        return found

    def pids(self) -> dict[str, list[int]]:
        """The processes below ours: redis-server, feeds, gateway."""
        found: dict[str, list[int]] = {}
        # One that has just begun still has ours, and one that ends has none any more, or is gone.
        of_none = ([], _command(self.process.pid))
        for pid in _children(self.process.pid):
            if (command := _command(pid)) not in of_none:
                name = next((n for n in ("feeds", "gateway") if n in command), "Redis")
                found.setdefault(name, []).append(pid)
        return found

    def all_pids(self) -> list[int]:
        return [self.process.pid, *(pid for pids in self.pids().values() for pid in pids)]

    async def read(self) -> None:
        """Collects what it says, until it ends."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip("\n"))

    async def says(self, text: str) -> str:
        await until(lambda: text in self.output or self.process.returncode is not None, LIMIT_S)
        assert text in self.output, self.output
        return self.output

    async def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Its exit status."""
        self.process.send_signal(number)
        async with asyncio.timeout(LIMIT_S):
            return await self.process.wait()

    @contextlib.asynccontextmanager
    async def subscribed(
        self, *channels: str, key: str | None = None
    ) -> AsyncIterator["Subscriber"]:
        """A plain client of the websockets library that has subscribed."""
        headers = {"X-API-Key": key or self.key}
        url = self.url.replace("http", "ws", 1) + "/v1/stream"
        async with connect(url, additional_headers=headers, proxy=None) as socket:
            subscriber = Subscriber(socket)
            await subscriber.subscribe(channels)
            yield subscriber

    def _said(self, pattern: str) -> str:
        found = re.search(pattern, self.output)
        assert found is not None, self.output
        return found[1]


class Subscriber:
    """A client's end of the native protocol."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def subscribe(self, channels: Sequence[str]) -> None:
        command = {"op": "subscribe", "id": 1, "channels": channels}
        await self._socket.send(msgspec.json.encode(command).decode())

    async def message(self, **wanted: object) -> dict[str, object]:
        """The next message that has all that is wanted."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                message = msgspec.json.decode(await self._socket.recv(), type=dict[str, object])
                if wanted.items() <= message.items():
                    return message

    async def ticks(self, count: int) -> list[dict[str, object]]:
        async with asyncio.timeout(LIMIT_S):
            found: list[dict[str, object]] = []
            while len(found) < count:
                message = msgspec.json.decode(await self._socket.recv(), type=dict[str, object])
                if "seq" in message:
                    found.append(message)
            return found


@contextlib.asynccontextmanager
async def tickgate_run(
    data_dir: Path, *arguments: str, **variables: str
) -> AsyncIterator[RunningTickgate]:
    """Started, ready, and surely gone at the end."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "run",
        *arguments,
        env=environment(data_dir, **variables),
        cwd=data_dir,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    tickgate = RunningTickgate(process, data_dir)
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(tickgate.read())
            try:
                await tickgate.says("Ctrl-C ends everything")
                yield tickgate
                if process.returncode is None:
                    await tickgate.stop()
            finally:
                _kill(process)
                reading.cancel()
    finally:
        await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
