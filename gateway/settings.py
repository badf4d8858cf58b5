"""What may be set about the gateway. Every queue, wait and size it has is bounded here."""

from typing import Literal

import msgspec

Algorithm = Literal["RS256", "EdDSA", "HS256"]
"""Of signatures of tokens."""


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a gateway worker is told, besides where Redis is."""

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 for everyone."""
    port: int = 8787
    """The port to listen on; 0 for any free one."""
    workers: int = 1
    """Processes that share the port."""
    origins: tuple[str, ...] = ()
    """Sites whose pages may connect, as browsers write them: https://desk.example; * for any. Pages
    from this gateway's own address always may; programs, which name no origin, too."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed:
    10.0.0.7, 10.1.0.0/16. The limits by address are then those of their clients."""
    heartbeat_ms: int = 5_000
    """A connection without data for this long gets a heartbeat."""
    ping_interval_s: float = 20.0
    """Seconds between WebSocket pings."""
    pong_limit_s: float = 20.0
    """Seconds that a client may take to answer a ping."""
    auth_limit_s: float = 5.0
    """Seconds that a client without a key in its headers has to send `auth`."""
    bus_answer_limit_s: float = 2.0
    """Seconds that Redis may take to open a channel before the subscriber is told to retry."""
    bus_silence_limit_s: float = 3.0
    """Seconds without the heartbeat that is published every second, before reconnecting."""
    feed_silence_limit_s: float = 3.0
    """Seconds without a venue's status, which comes every second, before it counts as stale."""
    key_cache_s: float = 2.0
    """Seconds for which a key once read is believed; a revoked one ends its sockets within twice
    this."""
    key_grace_s: float = 60.0
    """Seconds for which known keys are believed while Redis is away."""
    channel_linger_s: float = 30.0
    """Seconds that a channel nobody watches any more stays open."""
    frame_bytes_max: int = 65_536
    """The largest message that a client may send."""
    channels_per_command_max: int = 50
    """Channels that one command may name."""
    join_window_ms: float = 2.0
    """While busy, at most one write per client and window; idle, a message leaves at once."""
    outbox_bytes_max: int = 1_048_576
    """Bytes waiting for one slow client before its channels are conflated, or lose messages."""
    outbox_messages_max: int = 2_000
    """Messages waiting for one slow client before the same."""
    outbox_age_max_s: float = 5.0
    """Seconds that the oldest of them may wait before the same."""
    slow_limit_s: float = 10.0
    """Seconds over one of these three before a slow client is closed with 4105."""
    failures_per_minute: int = 10
    """Wrong keys from one address within a minute before it is refused with 429."""
    usage_interval_s: float = 5.0
    """Seconds between two writings of what keys have used; one that is killed loses as much."""
    bad_messages_max: int = 10
    """Malformed messages within 60 s before a client is closed with 1008."""
    refused_commands_max: int = 100
    """Commands refused as too many within 60 s before a client is closed with 4101."""
    shutdown_limit_s: float = 5.0
    """Seconds that connections have to end when the gateway is asked to stop."""


class TlsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """TLS for the gateway's public port: both files, or none."""

    cert: str = ""
    """The file of the certificate and its chain (PEM), read again on SIGHUP; empty: no TLS."""
    key: str = ""
    """The file of its key (PEM)."""


class AdminSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Each process' own listener for its operator, apart from the public port."""

    enabled: bool = True
    """Whether the feeds process and each gateway worker serve Prometheus metrics at /metrics."""
    host: str = "127.0.0.1"
    """The address of these listeners. Metrics need no key: open it to no one but the operator."""
    port: int = 9787
    """The feeds process'; gateway workers take the ports behind it, one each. 0 for any free ones,
    which are printed. A process whose port is taken says so, and goes on without metrics."""
    hosts: tuple[str, ...] = ()
    """Names by which these listeners may be asked for, besides addresses, `localhost` and
    admin.host: those in the URLs of your Prometheus, for example."""
    token_file: str = ""
    """What requests to /keys must show is in this file, which is made where there is none; empty:
    `admin-token` in the data directory."""


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every process tells on stderr."""

    format: Literal["human", "json"] = "human"
    """human: sentences; json: one object a line, for a collector."""
    level: Literal["debug", "info", "warning", "error"] = "warning"
    """warning: incidents; info: also who connects and leaves, and requests; debug: everything, of
    the libraries too. Keys stand in none of them."""
    repeats_max: int = 20
    """How often the same line is told within 10 s; the next one says how many were left out."""


class TraceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Traces by OpenTelemetry; they need the extra `traces`."""

    endpoint: str = ""
    """Where they are sent (OTLP over HTTP), http://127.0.0.1:4318/v1/traces for example; empty:
    nothing is traced, and nothing of it is loaded."""
    share: float = 1.0
    """How much of connections, subscribes, resumes and REST calls is traced: 0.01 is every
    hundredth."""
    ticks_per_s: float = 0.0
    """How many ticks a second each feeds process gives a trace, as far as the sockets; 0: none."""


class TokenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How tokens are verified. Without `issuer` none is accepted."""

    issuer: str = ""
    """The `iss` of valid tokens (JWT); empty: there are none, only API keys."""
    audience: str = "tickgate"
    """What `aud` must be, or have among others."""
    algorithm: Algorithm = "RS256"
    """RS256, EdDSA or HS256: the only one that is accepted."""
    keys: str = ""
    """The issuer's JSON Web Key Set: a file, or https://…; for HS256 the file of the secret."""
    refresh_s: float = 60.0
    """Seconds between two readings of the keys, however many tokens name one that is not known."""
    keys_age_max_s: float = 600.0
    """Seconds after which the keys are read again in any case: one that was taken back is over."""
    leeway_s: float = 5.0
    """Seconds that the issuer's clock may be off."""
    age_max_s: float = 86_400.0
    """A token that ends later than in so many seconds is refused: it could not be taken back."""
    plan: str = "free"
    """The plan of tokens that name none in their claim `plan`."""
