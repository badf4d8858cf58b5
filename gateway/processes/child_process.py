"""EDGE: a process of a supervisor: started so that it can't outlive us, asked to end, killed.

SIGHUP, which asks one that serves to read a file again, would end one that is still loading: it
waits for each until that has called `hear_hang_ups`.
"""

import asyncio
import contextlib
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from gateway.processes.die_with_parent import ended_with_us
from gateway.processes.readiness import READY_VARIABLE


class Child(msgspec.Struct, frozen=True):
    """A process to keep alive."""

    name: str
    """As users are told: `feeds`."""
    command: tuple[str, ...]
    """The program's absolute path and its arguments."""
    environment: Mapping[str, str]
    tier: int
    """Lower tiers are started first and ended last; those of one tier end together."""
    ready: Callable[[Callable[[], bool]], Awaitable[None]] | None = None
    """Runs after each start, before anything of a higher tier is started; is told how to see
    whether the process still runs. Its OSError ends everything at the first start, and makes the
    child be killed, and so started again, later."""
    before_stop: Callable[[], Awaitable[None]] | None = None
    """Runs before the child is asked to end. Its OSError is told, and no reason to stay."""
    is_renewable: bool = False
    """Whether two of its processes may serve beside each other, and a new one tells by
    `readiness.tell_ready` that it does."""


async def start(child: Child, ready: int | None = None) -> Process:
    """`ready`: the descriptor to which it is to say that it serves."""
    environment = dict(child.environment)
    if ready is not None:
        environment[READY_VARIABLE] = str(ready)
    # The child inherits it: it is forked before this coroutine first waits, and so beside no other.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        return await asyncio.create_subprocess_exec(
            *ended_with_us(child.command),
            env=environment,
            stdin=DEVNULL,
            # A session of its own: Ctrl-C reaches only us, and we end the children in order.
            start_new_session=True,
            pass_fds=() if ready is None else (ready,),
        )
    finally:
        hear_hang_ups()


def hear_hang_ups() -> None:
    """Whoever handles SIGHUP gets it from now on, and the one that has waited."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


async def end(process: Process, limit_s: float) -> bool:
    """Asks a process to end, and waits: whether it has."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(limit_s):
            await process.wait()
    except TimeoutError:
        return False
    return True


def kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def why_ended(status: int) -> str:
    """In words; `status` is its returncode."""
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"
