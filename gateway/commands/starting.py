"""`tickgate run` and `tickgate feeds`: what is set is checked, and then they start."""

import click

from feeds.chosen import check_venues
from gateway.commands.options import (
    LISTENING,
    CommandWithSettings,
    environment,
    listening_options,
    venues_option,
    with_settings,
)
from gateway.commands.redis_access import redis_url_of
from gateway.commands.run import run_all
from gateway.commands.settings import Settings, certificate_of, check_tokens, check_traces


@click.command("run", cls=CommandWithSettings)
@listening_options
@venues_option
@with_settings(**LISTENING, venues="venues")
def run_command(settings: Settings) -> None:
    """Everything in one: Redis (its own, if none is set), feeds, gateway.

    Prints where it listens, a demo key, and commands to paste. Ctrl-C ends it, with status 0.
    """
    check_venues(settings)
    check_traces(settings.traces)
    check_tokens(settings.token)
    certificate_of(settings.tls)
    run_all(settings, environment())


@click.command("feeds")
@venues_option
@with_settings(venues="venues")
def feeds_command(settings: Settings) -> None:
    """Only the feeds: from the venues to Redis."""
    from gateway.commands.feeds_process import feeds_process  # noqa: PLC0415 - only this process

    check_venues(settings)
    check_traces(settings.traces)
    feeds_process(settings, redis_url_of(settings))
