"""`tickgate keys`: who may subscribe."""

import asyncio
import json
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table

from feeds.market import SystemClock
from gateway.access.key_store import KeyBusyError, KeyStore
from gateway.access.keys import KeyRecord
from gateway.access.limit_store import LimitStore
from gateway.access.plans import FALLBACK, plans_from
from gateway.access.script_calls import Unanswered
from gateway.access.usage import Month
from gateway.commands.failure import STATUS_MISTAKE, CommandFailure
from gateway.commands.options import environment, with_settings
from gateway.commands.parameters import duration, patterns
from gateway.commands.redis_access import ANSWER_LIMIT_S, in_time, redis_of
from gateway.commands.settings import Settings
from gateway.commands.times import time_of

T = TypeVar("T")


@click.group("keys")
def keys_group() -> None:
    """API keys: who may subscribe."""


@keys_group.command("create")
@click.option("--label", default="", metavar="TEXT", help="Whose it is; for you to recognise it.")
@click.option("--plan", default="pro", show_default=True, metavar="PLAN")
@click.option("--expires", metavar="TIME", callback=duration, help="e.g. 90d. [never]")
@click.option(
    "--channels", metavar="PATTERNS", callback=patterns, help="e.g. trade:kraken:*. [the plan's]"
)
@with_settings()
def keys_create(
    settings: Settings,
    label: str,
    plan: str,
    *,
    expires: int | None,
    channels: tuple[str, ...] | None,
) -> None:
    """Make a key. It is printed once, alone on stdout; only its hash is kept."""
    create_key(settings, environment(), label, plan, expires_in_s=expires, channels=channels)


@keys_group.command("list")
@with_settings()
def keys_list(settings: Settings) -> None:
    """List all keys."""
    list_keys(settings, environment())


@keys_group.command("revoke")
@click.argument("key_id", metavar="ID")
@with_settings()
def keys_revoke(settings: Settings, key_id: str) -> None:
    """Make a key invalid. Its connections end within seconds."""
    revoke_key(settings, environment(), key_id)


@keys_group.command("rotate")
@click.argument("key_id", metavar="ID")
@click.option(
    "--overlap",
    metavar="TIME",
    callback=duration,
    default="24h",
    show_default=True,
    help="How long the key of now stays good; 0s: not at all.",
)
@with_settings()
def keys_rotate(settings: Settings, key_id: str, overlap: int) -> None:
    """Make a new key under the same id. It is printed once, alone on stdout."""
    rotate_key(settings, environment(), key_id, overlap)


@keys_group.command("usage")
@click.argument("key_id", metavar="ID")
@with_settings()
def keys_usage(settings: Settings, key_id: str) -> None:
    """What a key has used in this month (UTC), as JSON."""
    show_usage(settings, environment(), key_id)


def create_key(
    settings: Settings,
    environ: Mapping[str, str],
    label: str,
    plan: str,
    *,
    expires_in_s: int | None,
    channels: tuple[str, ...] | None,
) -> None:
    """Prints the new key, alone, on stdout: `KEY=$(tickgate keys create)`.

    Raises CommandFailure: there is no such plan.
    """

    plans = plans_from(settings.plan)
    if plan not in plans:
        known = ", ".join(f"'{name}'" for name in plans)
        raise CommandFailure(f"--plan: '{plan}' is not one of {known}", STATUS_MISTAKE)

    async def create() -> tuple[KeyRecord, str]:
        async with redis_of(settings, environ) as redis, in_time():
            store = KeyStore(redis, SystemClock())
            return await store.create(label, plan, expires_in_s=expires_in_s, channels=channels)

    record, key = asyncio.run(create())
    until = "" if record.expires_us is None else f", until {time_of(record.expires_us)}"
    click.echo(f"key {record.id} ({record.plan}{until}); it is shown only now:", err=True)
    click.echo(key)


def list_keys(settings: Settings, environ: Mapping[str, str]) -> None:
    """A table of all keys; of the keys themselves nothing is known but a hash."""

    async def read() -> list[KeyRecord]:
        async with redis_of(settings, environ) as redis, in_time():
            return await KeyStore(redis, SystemClock()).list()

    records = asyncio.run(read())
    table = Table("id", "label", "plan", "created", "state", box=None, pad_edge=False)
    has_channels = any(record.channels is not None for record in records)
    if has_channels:
        table.add_column("channels", overflow="fold")
    now_us = SystemClock().now_ns() // 1_000
    for record in records:
        row = [record.id, record.label, record.plan, time_of(record.created_us)]
        row.append(_state(record, now_us))
        if has_channels:
            row.append(" ".join(record.channels or ("*",)))
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def revoke_key(settings: Settings, environ: Mapping[str, str], key_id: str) -> None:
    """Live connections with the key end within seconds. Raises CommandFailure: no such key."""

    async def revoke() -> KeyRecord | None:
        async with redis_of(settings, environ) as redis, in_time():
            return await KeyStore(redis, SystemClock()).revoke(key_id)

    if _unless_busy(revoke()) is None:
        raise _no_such(key_id)
    click.echo(f"revoked {key_id}", err=True)


def rotate_key(settings: Settings, environ: Mapping[str, str], key_id: str, overlap_s: int) -> None:
    """Prints the new key, alone, on stdout. Raises CommandFailure: there is none to rotate."""

    async def rotate() -> tuple[KeyRecord | None, tuple[KeyRecord, str] | None]:
        async with redis_of(settings, environ) as redis, in_time():
            store = KeyStore(redis, SystemClock())
            return await store.get(key_id), await store.rotate(key_id, overlap_s)

    before, rotated = _unless_busy(rotate())
    if before is None:
        raise _no_such(key_id)
    if rotated is None:
        message = f"the key {key_id} is revoked or has expired: make another one"
        raise CommandFailure(message, STATUS_MISTAKE)
    record, key = rotated
    fate = "is over" if not overlap_s else f"is good until {time_of(record.previous_until_us)}"
    click.echo(f"key {record.id}: the one before {fate}; the new one is shown only now:", err=True)
    click.echo(key)


def show_usage(settings: Settings, environ: Mapping[str, str], holder_id: str) -> None:
    """One JSON object, as `/v1/usage` has it. Raises CommandFailure: no such key."""

    async def read() -> tuple[KeyRecord | None, Month]:
        async with redis_of(settings, environ) as redis, in_time():
            clock = SystemClock()
            limits = LimitStore(redis, clock, answer_limit_s=ANSWER_LIMIT_S)
            return await KeyStore(redis, clock).get(holder_id), await limits.usage(holder_id)

    try:
        record, month = asyncio.run(read())
    except Unanswered as error:
        raise CommandFailure(f"Redis tells no usage: {error}") from None
    # Users that show a token have no record here, only what they used.
    if record is None and not holder_id.startswith("jwt_"):
        raise _no_such(holder_id)
    plans = plans_from(settings.plan)
    plan = plans.get(FALLBACK if record is None else record.plan, plans[FALLBACK])
    click.echo(json.dumps(msgspec.to_builtins(month.told(plan)), indent=2))


def _unless_busy(changing: Coroutine[Any, Any, T]) -> T:
    """Raises CommandFailure where others change the same key all the time."""
    try:
        return asyncio.run(changing)
    except KeyBusyError as error:
        raise CommandFailure(str(error)) from None


def _no_such(key_id: str) -> CommandFailure:
    return CommandFailure(f"there is no key {key_id}: see `tickgate keys list`", STATUS_MISTAKE)


def _state(record: KeyRecord, now_us: int) -> str:
    match record.state(now_us):
        case "revoked":
            assert record.revoked_us is not None
            return f"revoked {time_of(record.revoked_us)}"
        case "expired":
            assert record.expires_us is not None
            return f"expired {time_of(record.expires_us)}"
        case _:
            return "valid" if record.expires_us is None else f"until {time_of(record.expires_us)}"
