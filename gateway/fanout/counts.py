"""What one worker has counted since its start: plain numbers, for whoever reads them."""

from collections import Counter

from feeds.market.metric import Histogram
from gateway.protocol import By


class Counts:
    """Written where things happen, read by the metrics."""

    def __init__(self) -> None:
        self.messages_in = 0
        """Publications heard on the bus, of channels that are open."""
        self.messages_out = 0
        """Messages and announcements of channels, times those who get them."""
        self.bytes_out = 0
        """Their frames'."""
        self.duplicates = 0
        self.unsound = 0
        """What was heard on the bus and is no message of a channel."""
        self.conflated = 0
        """Messages for which a later one of their channel stands: once for all at a rate, and
        once for each slow subscriber."""
        self.missing_by: Counter[By] = Counter()
        """Messages announced as missing, by whose fault; `slow` once for each subscriber."""
        self.closes: Counter[int] = Counter()
        """Connections ended, by close code."""
        self.refusals: Counter[str] = Counter()
        """Commands, and channels in them, that were refused, by the error's code."""
        self.refused_upgrades: Counter[str] = Counter()
        """Connections that were not let in, by the refusal's code."""
        self.answers: Counter[int] = Counter()
        """To plain HTTP, by status."""
        self.answer_s = Histogram()
        """From reading a request to the end of its answer."""
        self.fanout_s = Histogram()
        """From reading the oldest message of a flush to having written it to the sockets."""

    def answered(self, status: int, took_s: float) -> None:
        self.answers[status] += 1
        self.answer_s.observe(took_s)
