"""`tickgate decode`: a venue's raw messages into what subscribers get."""

import sys

import click

from feeds.decode import decode
from gateway.commands.options import end_with, symbol_option


@click.command("decode")
@click.argument("venue")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@symbol_option
def decode_command(venue: str, files: tuple[str, ...], symbol: str) -> None:
    """Turn a venue's raw messages (a line each) into what subscribers get.

    Without FILE, or where it is -, from stdin. Status 1 when a line was bad.
    """
    end_with(decode(venue, files, symbol, sys.stdout.buffer, sys.stderr))
