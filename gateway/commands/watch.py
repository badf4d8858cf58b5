"""`tickgate watch`: channels live, in the terminal. What is shown is in `gateway.watch`."""

import asyncio

import click

from gateway.commands.options import (
    chosen_gateway,
    end_with,
    key_option,
    seconds_option,
    url_option,
    with_settings,
)
from gateway.commands.settings import Settings
from gateway.watch.terminal import watch


@click.command("watch")
@click.argument("channels", nargs=-1, required=True, metavar="CHANNEL...")
@url_option
@key_option
@seconds_option
@click.option("--count", type=click.IntRange(min=1), help="Messages to wait for. [until Ctrl-C]")
@with_settings()
def watch_command(
    settings: Settings,
    channels: tuple[str, ...],
    *,
    url: str | None,
    key: str | None,
    seconds: float | None,
    count: int | None,
) -> None:
    """Show channels live: `quote:sim:*`. Into a pipe: one JSON message a line."""
    url, key = chosen_gateway(settings, url, key)
    end_with(asyncio.run(watch(channels, url, key, seconds=seconds, count=count)))
