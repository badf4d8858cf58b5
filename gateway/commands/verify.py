"""`tickgate verify`: whether prices are what their own messages say they were made of."""

import asyncio
import contextlib
import gzip
import sys
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final

import click
import msgspec

from feeds.derived.verification import Verdict, check
from feeds.market import Channel, ChannelError
from gateway.client import StreamError, connect
from gateway.commands.failure import NO_KEY, STATUS_MISTAKE, STATUS_WORLD, CommandFailure
from gateway.commands.options import (
    chosen_gateway,
    end_with,
    key_option,
    ten_seconds_option,
    url_option,
    with_settings,
)
from gateway.commands.settings import Settings

_SHOWN_MAX: Final = 20
"""Wrong prices that are told one by one; a file may hold millions."""
_NAMED_MAX: Final = 5
_GZIP: Final = b"\x1f\x8b"


@click.command("verify")
@click.argument("source", metavar="FILE|CHANNEL")
@url_option
@key_option
@ten_seconds_option
@click.option("--count", type=click.IntRange(min=1), help="Prices to check. [all in that time]")
@with_settings()
def verify_command(
    settings: Settings,
    source: str,
    *,
    url: str | None,
    key: str | None,
    seconds: float,
    count: int | None,
) -> None:
    """Compute consolidated prices again, from what their messages say they were made of.

    FILE: lines of `tickgate watch` (.gz too; - is stdin). CHANNEL: `price:agg:*`, live. Status 1
    when a price is not what its votes come to or a line can't be read, 2 when there was none.
    """
    if is_channel(source):
        url, key = chosen_gateway(settings, url, key)
        status = verify_channel(source, url, key, seconds=seconds, count=count)
    else:
        status = verify_file(source)
    end_with(status)


def is_channel(source: str) -> bool:
    """Whether it names a channel, and no file."""
    try:
        Channel.parse(source)
    except ChannelError:
        return False
    return not Path(source).exists()


def verify_file(name: str) -> int:
    """The exit status. Raises CommandFailure: it can't be read."""
    verdict = Verdict()
    try:
        with _opened(name) as stream:
            for line in stream:
                check(line, verdict)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CommandFailure(f"{name} can't be read: {reason}", STATUS_MISTAKE) from None
    return _told(verdict, name)


def verify_channel(
    name: str, url: str, key: str | None, *, seconds: float, count: int | None
) -> int:
    """The exit status. Raises CommandFailure: it can't be listened to."""
    if not key:
        raise CommandFailure(NO_KEY, STATUS_MISTAKE)
    verdict = Verdict()
    try:
        asyncio.run(_listen(name, url, key, verdict, seconds=seconds, count=count))
    except StreamError as error:
        stops = error.next == "stop"
        raise CommandFailure(str(error), STATUS_MISTAKE if stops else STATUS_WORLD) from None
    except KeyboardInterrupt:
        pass  # what was heard so far is told
    return _told(verdict, name)


async def _listen(
    name: str, url: str, key: str, verdict: Verdict, *, seconds: float, count: int | None
) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), connect(url, key) as stream:
            await stream.subscribe(name)
            async for message in stream:
                if isinstance(message, dict):
                    check(msgspec.json.encode(message), verdict)
                if count is not None and verdict.right + verdict.wrong_messages >= count:
                    return


def _told(verdict: Verdict, name: str) -> int:
    for wrong in verdict.wrong[:_SHOWN_MAX]:
        place = wrong.channel if wrong.seq is None else f"{wrong.channel} seq {wrong.seq}"
        click.echo(f"{place}: {'; '.join(wrong.faults)}")
    if verdict.wrong_messages > _SHOWN_MAX:
        click.echo(f"… and {verdict.wrong_messages - _SHOWN_MAX:,} more")
    rest = f"; {verdict.passed_over:,} lines are no price" if verdict.passed_over else ""
    if verdict.spoilt_lines:
        named = ", ".join(map(str, verdict.spoilt[:_NAMED_MAX]))
        more = ", …" if verdict.spoilt_lines > _NAMED_MAX else ""
        rest += f"; {verdict.spoilt_lines:,} can't be read, and may have been: line {named}{more}"
    if not verdict.right and not verdict.wrong_messages:
        raise CommandFailure(f"{name} holds no price{rest}", STATUS_MISTAKE)
    total = verdict.right + verdict.wrong_messages
    click.echo(f"{verdict.right:,} of {total:,} prices are what their votes come to{rest}")
    return STATUS_WORLD if verdict.wrong_messages or verdict.spoilt_lines else 0


@contextlib.contextmanager
def _opened(name: str) -> Iterator[Iterable[bytes]]:
    """Its lines, unpacked."""
    with contextlib.ExitStack() as stack:
        stream = sys.stdin.buffer if name == "-" else stack.enter_context(open(name, "rb"))
        assert isinstance(stream, BufferedReader)
        if stream.peek(2)[:2] == _GZIP:
            yield stack.enter_context(gzip.open(stream, "rb"))
        else:
            yield stream
