"""What several commands can be told: the options of a gateway, of a key, and of the settings.

The environment comes in as the context's object: `gateway.cli` alone reads it.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Final

import click

from gateway.commands.gateway_access import gateway_url_of
from gateway.commands.settings import Settings, settings_from, write_settings_help

Command = Callable[..., None]

LISTENING: Final = {
    "host": "gateway.host",
    "port": "gateway.port",
    "workers": "gateway.workers",
    "tls_cert": "tls.cert",
    "tls_key": "tls.key",
}
"""The options of `listening_options`, and the settings that they change."""
_OF_ALL: Final = {"data_dir": "data_dir", "redis_url": "redis_url"}

config_option = click.option(
    "--config", metavar="FILE", help="The TOML file. [./tickgate.toml if there]"
)
venues_option = click.option(
    "--venues", metavar="NAMES", help="Comma separated, e.g. kraken,sim. [all]"
)
url_option = click.option("--url", help="The gateway's. [the running Tickgate's]")
key_option = click.option(
    "--key", metavar="KEY", help="An API key. [TICKGATE_KEY, which other users can't see]"
)
seconds_option = click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), help="[until Ctrl-C]"
)
ten_seconds_option = click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True
)
symbol_option = click.option("--symbol", help="Ours (BTC-USD), for messages that don't name it.")


class CommandWithSettings(click.Command):
    """Its help tells every setting."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_settings_help(formatter)
        super().format_epilog(ctx, formatter)


def listening_options(command: Command) -> Command:
    for option in (
        click.option("--tls-key", metavar="FILE", help="Its key (PEM)."),
        click.option("--tls-cert", metavar="FILE", help="The certificate (PEM). [no TLS]"),
        click.option("--workers", metavar="N", help="Gateway processes sharing the port. [1]"),
        click.option("--port", metavar="PORT", help="0: any free one. [8787]"),
        click.option("--host", metavar="HOST", help="0.0.0.0: for everyone. [127.0.0.1]"),
    ):
        command = option(command)
    return command


def with_settings(**keys: str) -> Callable[[Command], Command]:
    """Hands a command its Settings: `keys` are the settings that its options change."""

    def decorate(command: Command) -> Command:
        @config_option
        @click.option("--data-dir", metavar="DIR", help="Where API keys are kept. [.tickgate]")
        @click.option("--redis-url", metavar="URL", help="A Redis to use. [one of its own]")
        @wraps(command)
        def told_settings(config: str | None, **given: object) -> None:
            options = {key: given.pop(name) for name, key in _OF_ALL.items()}
            options |= {key: given.pop(name) for name, key in keys.items()}
            command(settings_from(environment(), config, options), **given)

        return told_settings

    return decorate


def environment() -> Mapping[str, str]:
    """The process'."""
    found: object = click.get_current_context().obj
    assert isinstance(found, Mapping)
    return found


def chosen_gateway(settings: Settings, url: str | None, key: str | None) -> tuple[str, str | None]:
    """The URL of a gateway, and the key to show there: what was given, or is to be found."""
    return url or gateway_url_of(settings), key or environment().get("TICKGATE_KEY")


def end_with(status: int) -> None:
    """The command's exit status."""
    click.get_current_context().exit(status)
