"""Where things are in Redis. The braces are a hash tag: a channel's keys share a cluster slot."""

DIRECTORY_KEY = "tickgate:channels"
"""The set of the names of all channels that somebody publishes or is about to."""

TRACK_RECORDS_KEY = "tickgate:track-records"
"""The hash of the models' track records, as JSON: by `<model>` and by `<model>:<PAIR>`."""

_PREFIX = "tickgate:{"


def topic(channel: str) -> str:
    """The pub/sub channel that a channel's messages go through."""
    return f"{_PREFIX}{channel}}}"


def head_key(channel: str) -> str:
    """The hash of its epoch and seq."""
    return f"{_PREFIX}{channel}}}:head"


def log_key(channel: str) -> str:
    """The capped stream of its messages; the entry of seq 7 is `7-0`."""
    return f"{_PREFIX}{channel}}}:log"


def finals_key(channel: str) -> str:
    """The list of a channel's final candles, oldest first, as they were published."""
    return f"{_PREFIX}{channel}}}:finals"


def keeps_finals(kind: str) -> bool:
    """Whether bus.lua keeps that list: of candles of a minute and longer."""
    return kind.startswith("candle.") and kind[-1] in "mhd"


def lease_keys(venue: str) -> tuple[str, str]:
    """Who publishes a venue, while it is held; and who did so last."""
    return f"{_PREFIX}{venue}}}:lease", f"{_PREFIX}{venue}}}:last"


def channel_of(topic_name: str) -> str:
    """The channel of a topic's name: the inverse of `topic`."""
    return topic_name[len(_PREFIX) : -1]
