"""Values of the command line that are no mere texts or numbers: callbacks of their options."""

import click

from gateway.access.grants import checked_patterns
from gateway.durations import seconds_in


def duration(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """`24h`, in seconds. Raises click.BadParameter."""
    try:
        return None if text is None else seconds_in(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def patterns(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """`trade:kraken:*,quote:*:*`. Raises click.BadParameter."""
    try:
        if text is None:
            return None
        return checked_patterns(one.strip() for one in text.split(",") if one.strip())
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
