"""All that may be set, of feeds and gateway together, and how it is read, checked and told."""

import importlib.util
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
import msgspec

from feeds.market.channel import HISTORY_MAX
from feeds.settings import FeedSettings, HistorySettings
from feeds.venues import VENUES
from gateway.access.plans import PlanSettings, check_plan_name
from gateway.configuration import (
    ALIASES,
    OTHER_VARIABLES,
    Check,
    SettingsError,
    did_you_mean,
    load,
)
from gateway.setting import Setting, settings_of
from gateway.settings import (
    AdminSettings,
    GatewaySettings,
    LogSettings,
    TlsSettings,
    TokenSettings,
    TraceSettings,
)
from gateway.web.origins import check_origin
from gateway.web.proxies import check_proxy
from gateway.web.tls import Certificate, CertificateError

DEFAULT_FILE: Final = "tickgate.toml"
LEDGER_FILE: Final = "ledger.sqlite"
SIMULATED: Final = "sim"

_WORKERS_MAX: Final = 64
_PORT_MAX: Final = 65_535
_TRACED_TICKS_MAX: Final = 100
_COST_BPS_MAX: Final = 1_000
_TRACES_PACKAGE: Final = "opentelemetry.exporter.otlp.proto.http"


class Settings(FeedSettings, frozen=True, forbid_unknown_fields=True):
    """Everything: what feeds are told, what the gateway is told, and what they share."""

    redis_url: str = ""
    """The Redis to use: redis://HOST:PORT/0, rediss://… or unix://PATH; empty: one of its own."""
    data_dir: str = ".tickgate"
    """Where the embedded Redis keeps the API keys; one running Tickgate for each."""
    gateway: GatewaySettings = GatewaySettings()
    tls: TlsSettings = TlsSettings()
    admin: AdminSettings = AdminSettings()
    plan: dict[str, PlanSettings] = {}  # noqa: RUF012 - msgspec makes each its own
    token: TokenSettings = TokenSettings()
    logs: LogSettings = LogSettings()
    traces: TraceSettings = TraceSettings()


_MAY_BE_ZERO: Final = (
    "derived.price.floor_ppm",
    "derived.candle.lateness_ms",
    "derived.candle.ahead_max_ms",
    "derived.candle.behind_max_ms",
    "derived.candle.correctable_s",
)

_AT_LEAST: Final = {
    # A lease is renewed four times in it, by a Redis that may need a moment to answer.
    "publisher.lease_s": 0.5,
    # Shorter than any answer takes: nothing would ever be had in time.
    "publisher.answer_limit_s": 0.1,
    "connection.open_limit_s": 0.1,
    "connection.send_limit_s": 0.1,
    "gateway.auth_limit_s": 0.1,
    "gateway.bus_answer_limit_s": 0.1,
    "gateway.pong_limit_s": 0.5,
    # A second passes between two signs of life.
    "gateway.bus_silence_limit_s": 1.5,
    "gateway.feed_silence_limit_s": 1.5,
    # So often something is sent or asked for: a flood to a venue, to clients, to who issues tokens.
    "connection.backoff_first_s": 0.05,
    "connection.backoff_max_s": 1.0,
    "connection.steady_after_s": 1.0,
    "connection.keepalive_s": 1.0,
    "connection.data_silence_limit_s": 1.0,
    "gateway.heartbeat_ms": 100,
    "gateway.ping_interval_s": 0.5,
    "gateway.key_cache_s": 0.1,
    "gateway.usage_interval_s": 0.1,
    "token.refresh_s": 1.0,
    "token.keys_age_max_s": 1.0,
    # Every client is behind for a moment now and then.
    "gateway.outbox_age_max_s": 0.1,
    "gateway.slow_limit_s": 0.1,
}
"""The least that some durations may be: nothing could work with less."""


def settings_from(
    environ: Mapping[str, str], config: str | None, options: Mapping[str, object]
) -> Settings:
    """What is set: by the file, the environment, and options by key (None: not given).

    A process that `tickgate run` started is told everything by it. Raises SettingsError.
    """
    if told := environ.get("TICKGATE_SETTINGS"):
        try:
            return msgspec.json.decode(told, type=Settings)
        except msgspec.DecodeError as error:
            raise SettingsError(f"TICKGATE_SETTINGS: {error}") from None
    settings = load(Settings, _file(environ, config), environ, options, _checks())
    data_dir = str(Path(settings.data_dir).expanduser().absolute())
    path = Path(settings.ledger.path or Path(data_dir) / LEDGER_FILE).expanduser().absolute()
    ledger = msgspec.structs.replace(settings.ledger, path=str(path))
    return msgspec.structs.replace(settings, data_dir=data_dir, ledger=ledger)


def certificate_of(tls: TlsSettings) -> Certificate | None:
    """What the gateway shows; None: it speaks no TLS. Raises SettingsError."""
    if not (tls.cert or tls.key):
        return None
    if not tls.key:
        raise SettingsError("tls.key: must be set where tls.cert is (--tls-key)")
    if not tls.cert:
        raise SettingsError("tls.cert: must be set where tls.key is (--tls-cert)")
    try:
        return Certificate(Path(tls.cert).expanduser(), Path(tls.key).expanduser())
    except CertificateError as error:
        raise SettingsError(str(error)) from None


def check_tokens(token: TokenSettings) -> None:
    """Whether tokens could be verified, before anything is started. Raises SettingsError."""
    if not token.issuer:
        return
    if not token.keys:
        raise SettingsError("token.keys: must be set where token.issuer is")
    if importlib.util.find_spec("jwt") is None:
        raise SettingsError("token.issuer: tokens need PyJWT: pip install 'tickgate[jwt]'")


def check_traces(traces: TraceSettings) -> None:
    """Whether traces could be sent, before anything is started. Raises SettingsError."""
    if not traces.endpoint:
        return
    if urlsplit(traces.endpoint).scheme not in {"http", "https"}:
        raise SettingsError("traces.endpoint: is no http:// or https:// URL")
    if not _is_there(_TRACES_PACKAGE):
        raise SettingsError(
            "traces.endpoint: traces need OpenTelemetry: pip install 'tickgate[traces]'"
        )


def _is_there(package: str) -> bool:
    try:  # What it lies in is imported, and may be what is missing.
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def environment_with(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that is to have the same settings."""
    return {**environ, "TICKGATE_SETTINGS": msgspec.json.encode(settings).decode()}


def write_settings_help(formatter: click.HelpFormatter) -> None:
    """Every setting: its key, what it is, its default and its environment variable."""
    alias_of = {key: f" or {alias}" for alias, key in ALIASES.items()}
    with formatter.section("Settings (in the file, or in the environment)"):
        for setting in settings_of(Settings):
            margin = " " * formatter.current_indent
            variable = setting.variable + alias_of.get(setting.key, "")
            formatter.write(f"{margin}{setting.key} = {_default(setting)}  ({variable})\n")
            with formatter.indentation():
                if setting.description:
                    formatter.write_text(setting.description)
    with formatter.section("Other environment variables"):
        formatter.write_dl(list(OTHER_VARIABLES.items()))


def _file(environ: Mapping[str, str], config: str | None) -> Path | None:
    if named := config or environ.get("TICKGATE_CONFIG"):
        return Path(named)
    default = Path(DEFAULT_FILE)
    return default if default.exists() else None


def _default(setting: Setting) -> str:
    match setting.default:
        case None:
            return "…"
        case bool() as yes:
            return str(yes).lower()
        case str() as text:
            return f'"{text}"'
        case tuple() as several:
            return ",".join(map(str, several))
        case number:
            return f"{number:g}" if isinstance(number, float) else str(number)


def _checks() -> dict[str, Check]:
    """By key. Every number is positive, unless a row here says otherwise."""
    checks: dict[str, Check] = {
        setting.key: _positive
        for setting in settings_of(Settings)
        if isinstance(setting.default, int | float) and not isinstance(setting.default, bool)
    }
    checks |= {
        "admin.port": partial(_between, 0, _PORT_MAX - _WORKERS_MAX),
        **dict.fromkeys(_MAY_BE_ZERO, _any),
        **{key: partial(_at_least, least) for key, least in _AT_LEAST.items()},
        "derived.outcome.cost_bps": partial(_between, 0, _COST_BPS_MAX),
        "gateway.origins": partial(_each, check_origin),
        "gateway.trusted_proxies": partial(_each, check_proxy),
        "gateway.port": partial(_between, 0, _PORT_MAX),
        "gateway.workers": partial(_between, 1, _WORKERS_MAX),
        "sim.seed": _any,
        **{
            f"publisher.history.{one.name}": partial(_between, 1, HISTORY_MAX)
            for one in msgspec.structs.fields(HistorySettings)
            if one.type is int
        },
        "traces.share": partial(_between, 0, 1),
        "traces.ticks_per_s": partial(_between, 0, _TRACED_TICKS_MAX),
        "plan": check_plan_name,
        "redis_url": _redis_url,
        "venues": _known_venues,
        "venue": _known_venue,
    }
    return checks


def _any(value: object) -> None:
    """Nothing is wrong with any, or its own check says what is."""


def _positive(number: float) -> None:
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"must be more than 0, is {number}")


def _at_least(least: float, number: float) -> None:
    if not (math.isfinite(number) and number >= least):
        raise ValueError(f"must be at least {least:g}, is {number}")


def _between(least: int, most: int, number: float) -> None:
    if not least <= number <= most:
        raise ValueError(f"must be from {least} to {most}, is {number}")


def _redis_url(url: str) -> None:
    """The URL itself may hold a password: it is not repeated."""
    if not url:
        return
    from redis.asyncio.connection import parse_url  # noqa: PLC0415 - 0.2 s, where none is set

    try:
        parse_url(url)
    except ValueError:
        raise ValueError(
            "is not the URL of a Redis: redis://HOST:PORT/0, rediss://… or unix://PATH"
        ) from None


def _each(check: Callable[[str], None], texts: tuple[str, ...]) -> None:
    for text in texts:
        check(text)


def _known_venues(names: tuple[str, ...]) -> None:
    for name in names:
        _known_venue(name)


def _known_venue(name: str) -> None:
    known = [*VENUES, SIMULATED]
    if name not in known:
        suggestion = did_you_mean(name, known)
        raise ValueError(f"there is no venue {name}{suggestion} (known: {', '.join(known)})")
