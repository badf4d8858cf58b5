"""What may be set about the gateway. Every queue, wait and size it has is bounded here."""

import msgspec


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a gateway worker is told, besides where Redis is."""

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 for everyone."""
    port: int = 8787
    """The port to listen on; 0 for any free one."""
    workers: int = 1
    """Processes that share the port."""
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
    """Seconds without a byte from Redis, which is pinged every second, before reconnecting."""
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
    bad_messages_max: int = 10
    """Malformed messages within 60 s before a client is closed with 1008."""
    shutdown_limit_s: float = 5.0
    """Seconds that connections have to end when the gateway is asked to stop."""
