"""`tickgate keys`: who may subscribe."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from feeds.market import SystemClock
from gateway.commands.failure import STATUS_MISTAKE, CommandFailure
from gateway.commands.redis_access import in_time, redis_of
from gateway.commands.settings import Settings
from gateway.key_store import KeyStore
from gateway.keys import KeyRecord


def create_key(settings: Settings, environ: Mapping[str, str], label: str, plan: str) -> None:
    """Prints the new key, alone, on stdout: `KEY=$(tickgate keys create)`."""

    async def create() -> tuple[KeyRecord, str]:
        async with redis_of(settings, environ) as redis, in_time():
            return await KeyStore(redis, SystemClock()).create(label, plan)

    record, key = asyncio.run(create())
    click.echo(f"key {record.id} ({record.plan}); it is shown only now:", err=True)
    click.echo(key)


def list_keys(settings: Settings, environ: Mapping[str, str]) -> None:
    """A table of all keys; of the keys themselves nothing is known but a hash."""

    async def read() -> list[KeyRecord]:
        async with redis_of(settings, environ) as redis, in_time():
            return await KeyStore(redis, SystemClock()).list()

    table = Table("id", "label", "plan", "created", "state", box=None, pad_edge=False)
    for record in asyncio.run(read()):
        state = "valid" if record.revoked_us is None else f"revoked {_time(record.revoked_us)}"
        table.add_row(record.id, record.label, record.plan, _time(record.created_us), state)
    Console(highlight=False, markup=False).print(table)


def revoke_key(settings: Settings, environ: Mapping[str, str], key_id: str) -> None:
    """Live connections with the key end within seconds. Raises CommandFailure: no such key."""

    async def revoke() -> KeyRecord | None:
        async with redis_of(settings, environ) as redis, in_time():
            return await KeyStore(redis, SystemClock()).revoke(key_id)

    if asyncio.run(revoke()) is None:
        raise CommandFailure(f"there is no key {key_id}: see `tickgate keys list`", STATUS_MISTAKE)
    click.echo(f"revoked {key_id}", err=True)


def _time(us: int) -> str:
    return f"{datetime.fromtimestamp(us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"
