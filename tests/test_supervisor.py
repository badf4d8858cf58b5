"""Processes that belong together: their order, their deaths, and that none is left."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gateway.processes import supervisor
from gateway.processes.child_process import Child
from gateway.processes.supervisor import DEATHS_MAX, STATUS_MISTAKE, Supervisor, SupervisorError
from tests.until import is_gone, until

SHORT_S = 0.5

_OBEDIENT = """
import os, signal, sys, time
def note(word): os.write(log, f"{word} {sys.argv[2]} {os.getpid()}\\n".encode())
def stop(*_): note("end"); os._exit(0)
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
signal.signal(signal.SIGTERM, stop)
note("start")
# Not pause(): a signal that comes just before it would wait for another one.
while True: time.sleep(0.1)
"""
_DEAF = _OBEDIENT.replace("stop)", "signal.SIG_IGN)")
_LOADING = """
import os, signal, sys, time
def note(word): os.write(log, f"{word} {sys.argv[2]} {os.getpid()}\\n".encode())
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
note("start")
while signal.SIGHUP not in signal.sigpending(): time.sleep(0.01)
signal.signal(signal.SIGHUP, lambda *_: note("reread"))
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
while True: time.sleep(0.1)
"""


class Family:
    """Children that note their start and their end in one file, and a supervisor of them."""

    def __init__(self, directory: Path, stop_limit_s: float = 60.0) -> None:
        self.log = directory / "log"
        self.said: list[str] = []
        self.stopping = asyncio.Event()
        self.supervisor = Supervisor(self.said.append, stop_limit_s)

    def child(self, name: str, tier: int, program: str = _OBEDIENT) -> Child:
        command = (sys.executable, "-S", "-c", program, str(self.log), name)
        return Child(name, command, os.environ, tier)

    def heard_child(self, name: str, tier: int) -> Child:
        """Nothing of a higher tier is started before it has noted its start."""

        async def ready(_: Callable[[], bool]) -> None:
            await until(lambda: name in dict(self.noted("start")))

        return msgspec.structs.replace(self.child(name, tier), ready=ready)

    def noted(self, word: str) -> list[tuple[str, int]]:
        """Who started or ended, in order, and as which process."""
        text = self.log.read_text() if self.log.exists() else ""
        rows = [line.split() for line in text.splitlines()]
        return [(name, int(pid)) for what, name, pid in rows if what == word]

    async def run(self, *children: Child, act: Callable[[], object] | None = None) -> None:
        """Until all have noted their start and `act` has returned."""

        async def started() -> None:
            await until(lambda: len(self.noted("start")) >= len(children))
            if act is not None:
                await asyncio.to_thread(act)
            self.stopping.set()

        await self.supervisor.run(children, self.stopping, started)


async def no_children() -> None:
    """Nothing to do beside."""


async def test_children_start_in_the_order_of_their_tiers_and_end_in_reverse(
    tmp_path: Path,
) -> None:
    family = Family(tmp_path)
    first_is_ready: list[list[tuple[str, int]]] = []

    async def ready(runs: Callable[[], bool]) -> None:
        await until(lambda: family.noted("start"))
        assert runs()
        first_is_ready.append(family.noted("start"))

    first = family.child("first", 0)
    first = Child(first.name, first.command, first.environment, 0, ready=ready)
    await family.run(family.child("third", 2), first, family.child("second", 1))
    assert [name for name, _ in first_is_ready[0]] == ["first"]
    assert [name for name, _ in family.noted("end")] == ["third", "second", "first"]
    assert family.said == []


async def test_what_is_to_be_done_before_the_end_is_done_before_it(tmp_path: Path) -> None:
    family = Family(tmp_path)
    ended_before: list[int] = []

    async def before_stop() -> None:
        ended_before.append(len(family.noted("end")))
        raise OSError("the disk is full")

    one = family.child("one", 0)
    await family.run(Child("one", one.command, one.environment, 0, before_stop=before_stop))
    assert ended_before == [0]
    assert len(family.noted("end")) == 1
    assert family.said == ["one: the disk is full"]


async def test_a_killed_child_is_started_again_and_the_others_stay(tmp_path: Path) -> None:
    family = Family(tmp_path)

    async def started() -> None:
        await until(lambda: len(family.noted("start")) == 2)
        os.kill(dict(family.noted("start"))["one"], signal.SIGKILL)
        await until(lambda: len(family.noted("start")) == 3)
        family.stopping.set()

    children = [family.child("one", 0), family.child("two", 0)]
    await family.supervisor.run(children, family.stopping, started)
    assert family.said == ["one ended (killed by signal 9); starting it again"]
    assert sorted(name for name, _ in family.noted("start")) == ["one", "one", "two"]
    assert all(is_gone(pid) for _, pid in family.noted("start"))


async def test_a_hang_up_waits_for_a_child_that_is_still_loading(tmp_path: Path) -> None:
    family = Family(tmp_path)

    async def started() -> None:
        family.supervisor.send(signal.SIGHUP, 0)
        await until(lambda: family.noted("reread"))
        family.stopping.set()

    await family.supervisor.run([family.child("one", 0, _LOADING)], family.stopping, started)
    assert family.said == []
    assert family.noted("reread") == family.noted("start")


async def test_a_child_that_keeps_dying_ends_everything(tmp_path: Path) -> None:
    family = Family(tmp_path)
    dying = Child("dying", (sys.executable, "-S", "-c", "raise SystemExit(3)"), os.environ, 1)
    with pytest.raises(SupervisorError, match="dying ended 6 times within 60 s") as caught:
        await family.supervisor.run(
            [family.heard_child("one", 0), dying], asyncio.Event(), no_children
        )
    assert caught.value.status == 1
    assert family.said == ["dying ended (exit status 3); starting it again"] * DEATHS_MAX
    assert [name for name, _ in family.noted("end")] == ["one"]


async def test_a_childs_mistake_in_its_settings_ends_everything_at_once(tmp_path: Path) -> None:
    family = Family(tmp_path)
    wrong = Child("wrong", (sys.executable, "-S", "-c", "raise SystemExit(2)"), os.environ, 1)
    with pytest.raises(SupervisorError, match="wrong can't run with these settings") as caught:
        await family.supervisor.run([family.child("one", 0), wrong], asyncio.Event(), no_children)
    assert caught.value.status == STATUS_MISTAKE
    assert family.said == []
    assert all(is_gone(pid) for _, pid in family.noted("start"))


async def test_a_child_that_never_becomes_ready_ends_everything(tmp_path: Path) -> None:
    family = Family(tmp_path)

    async def ready(_: Callable[[], bool]) -> None:
        await until(lambda: family.noted("start"))
        raise OSError("it says nothing")

    one = family.child("one", 0)
    one = Child("one", one.command, one.environment, 0, ready=ready)
    with pytest.raises(SupervisorError, match="one did not start: it says nothing"):
        await family.supervisor.run([one, family.child("two", 1)], asyncio.Event(), no_children)
    assert [name for name, _ in family.noted("end")] == ["one"]


async def test_a_child_that_is_not_ready_again_is_killed_and_started_once_more(
    tmp_path: Path,
) -> None:
    family = Family(tmp_path)
    readies: list[int] = []

    async def ready(_: Callable[[], bool]) -> None:
        readies.append(len(readies))
        await until(lambda: len(family.noted("start")) == len(readies))
        if len(readies) == 2:
            raise OSError("it says nothing")

    async def started() -> None:
        os.kill(family.noted("start")[0][1], signal.SIGKILL)
        await until(lambda: len(readies) == 3)
        family.stopping.set()

    one = family.child("one", 0)
    one = Child("one", one.command, one.environment, 0, ready=ready)
    await family.supervisor.run([one], family.stopping, started)
    assert family.said == [
        "one ended (killed by signal 9); starting it again",
        "one did not start: it says nothing",
        "one ended (killed by signal 9); starting it again",
    ]


async def test_a_child_that_does_not_end_is_killed_when_the_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = Family(tmp_path)

    def say(text: str) -> None:
        family.said.append(text)
        # The one that does end has enough from here on, also where all is slow.
        monkeypatch.setattr(supervisor, "_STOP_LIMIT_LEAST_S", 30.0)

    family.supervisor = Supervisor(say, SHORT_S)
    await family.run(family.child("deaf", 1, _DEAF), family.child("first", 0))
    assert family.said == [f"deaf did not end within {SHORT_S} s; killing it"]
    assert [name for name, _ in family.noted("end")] == ["first"]
    assert all(is_gone(pid) for _, pid in family.noted("start"))


async def test_in_a_hurry_nobody_is_waited_for(tmp_path: Path) -> None:
    family = Family(tmp_path, stop_limit_s=600.0)

    async def hurry() -> None:
        await family.stopping.wait()
        family.supervisor.hurry()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(hurry())
        await family.run(family.child("deaf", 1, _DEAF), family.child("deaf-too", 0, _DEAF))
    assert all(is_gone(pid) for _, pid in family.noted("start"))


async def test_nothing_is_started_after_a_stop_whose_cancellation_was_swallowed(
    tmp_path: Path,
) -> None:
    family = Family(tmp_path)

    async def ready(_: Callable[[], bool]) -> None:
        await until(lambda: family.noted("start"))
        family.stopping.set()
        with contextlib.suppress(asyncio.CancelledError):  # As asyncio.wait_for of 3.11 may.
            await asyncio.Event().wait()

    one = family.child("one", 0)
    one = Child("one", one.command, one.environment, 0, ready=ready)
    async with asyncio.timeout(40):
        await family.supervisor.run([one, family.child("two", 1)], family.stopping, no_children)
    assert [name for name, _ in family.noted("start")] == ["one"]
    assert [name for name, _ in family.noted("end")] == ["one"]


async def test_a_program_that_is_not_there_is_said_to_be_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    family = Family(tmp_path)
    absent = Child("absent", (str(tmp_path / "absent"),), os.environ, 0)
    with pytest.raises(SupervisorError, match="absent ended 6 times"):
        await family.supervisor.run([absent], asyncio.Event(), no_children)
    assert (
        capfd.readouterr().err.splitlines()[0].endswith("can't be run: No such file or directory")
    )


async def test_a_failure_beside_the_children_ends_them(tmp_path: Path) -> None:
    family = Family(tmp_path)

    async def started() -> None:
        await until(lambda: family.noted("start"))
        raise SupervisorError("nothing serves")

    with pytest.raises(SupervisorError, match="nothing serves"):
        await family.supervisor.run([family.child("one", 0)], family.stopping, started)
    assert [name for name, _ in family.noted("end")] == ["one"]


async def test_children_are_out_of_reach_of_the_terminals_ctrl_c(tmp_path: Path) -> None:
    family = Family(tmp_path)
    sessions: list[int] = []

    def look() -> None:
        sessions.extend(os.getsid(pid) for _, pid in family.noted("start"))

    await family.run(family.child("one", 0), act=look)
    assert sessions
    assert os.getsid(0) not in sessions


_PARENT = """
import asyncio, os, sys
from pathlib import Path
from tests.test_supervisor import Family, no_children
async def main():
    family = Family(Path(sys.argv[1]))
    children = [family.child("one", 0), family.child("two", 1)]
    await family.supervisor.run(children, asyncio.Event(), no_children)
asyncio.run(main())
"""


async def test_a_killed_supervisor_leaves_no_process(tmp_path: Path) -> None:
    repository = Path(__file__).parent.parent
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PARENT, str(tmp_path)), cwd=repository
    )
    family = Family(tmp_path)
    await until(lambda: len(family.noted("start")) == 2)
    parent.kill()
    await parent.wait()
    await until(lambda: all(is_gone(pid) for _, pid in family.noted("start")))
    assert family.noted("end") == []


_READY = _OBEDIENT.replace(
    'note("start")',
    'note("start"); ready = os.environ.get("TICKGATE_READY_DESCRIPTOR")\n'
    'if ready: note("ready"); os.write(int(ready), b"\\n"); os.close(int(ready))',
)


def renewable(child: Child) -> Child:
    return msgspec.structs.replace(child, is_renewable=True)


async def test_a_renewed_child_ends_only_after_the_new_one_serves(tmp_path: Path) -> None:
    family = Family(tmp_path)

    async def started() -> None:
        await until(lambda: len(family.noted("start")) == 3)
        family.supervisor.renew()
        await until(lambda: len(family.noted("end")) == 2)
        family.stopping.set()

    children = [renewable(family.child(name, 1, _READY)) for name in ("one", "two")]
    await family.supervisor.run([*children, family.child("other", 0)], family.stopping, started)
    words = [line.split()[:2] for line in family.log.read_text().splitlines()]
    turns = [["start", "one"], ["ready", "one"], ["end", "one"]]
    turns += [["start", "two"], ["ready", "two"], ["end", "two"]]
    assert words[3:9] == turns
    assert [name for name, _ in family.noted("start")].count("other") == 1
    assert all(is_gone(pid) for _, pid in family.noted("start"))


async def test_a_child_whose_new_process_does_not_serve_stays_and_so_do_those_after_it(
    tmp_path: Path,
) -> None:
    family = Family(tmp_path)
    spoilt = tmp_path / "spoilt"
    program = f"import os\nif os.path.exists({str(spoilt)!r}): raise SystemExit(2)\n" + _READY

    async def started() -> None:
        await until(lambda: len(family.noted("start")) == 2)
        spoilt.touch()
        family.supervisor.renew()
        await until(lambda: family.said)
        spoilt.unlink()
        family.supervisor.renew()
        await until(lambda: len(family.noted("end")) == 2)
        family.stopping.set()

    children = [renewable(family.child(name, 1, program)) for name in ("one", "two")]
    await family.supervisor.run(children, family.stopping, started)
    assert family.said == [
        "one: no new process serves; the old one stays",
        "one: a new process serves; the old one ends",
        "two: a new process serves; the old one ends",
    ]


async def test_a_stop_while_a_child_is_renewed_ends_both_of_its_processes(tmp_path: Path) -> None:
    family = Family(tmp_path)

    async def started() -> None:
        await until(lambda: len(family.noted("start")) == 1)
        family.supervisor.renew()
        await until(lambda: len(family.noted("start")) == 2)
        family.stopping.set()

    await family.supervisor.run([renewable(family.child("mute", 1))], family.stopping, started)
    assert len(family.noted("end")) == 2
    assert all(is_gone(pid) for _, pid in family.noted("start"))


async def test_a_renewed_child_that_dies_is_started_again(tmp_path: Path) -> None:
    family = Family(tmp_path)

    async def started() -> None:
        await until(lambda: len(family.noted("start")) == 1)
        family.supervisor.renew()
        await until(lambda: len(family.noted("end")) == 1)
        os.kill(family.noted("start")[1][1], signal.SIGKILL)
        await until(lambda: len(family.noted("start")) == 3)
        family.stopping.set()

    await family.supervisor.run(
        [renewable(family.child("one", 1, _READY))], family.stopping, started
    )
    assert family.said[-1] == "one ended (killed by signal 9); starting it again"
