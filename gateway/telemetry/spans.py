"""What took how long, and what it belonged to: as code that is traced sees it. Pure.

Where nothing is traced, a span costs under 1 us and nothing is imported:
`gateway.telemetry.tracing` is not.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from feeds.market import Moment

Attribute = str | int


class Span(Protocol):
    """One thing that is being done; it ends with its block."""

    def tell(self, name: str, value: Attribute) -> None:
        """An attribute that is known only now."""


class Spans(Protocol):
    """Where spans are begun."""

    @property
    def ticks(self) -> "TickSpans | None":
        """Where ticks may carry traces; None: nobody looks for them."""

    def span(
        self, name: str, traceparent: str | None = None, **attributes: Attribute
    ) -> AbstractContextManager[Span]:
        """`traceparent`: of whom it is a part (W3C), as a client or a proxy says."""


class TickSpans(Protocol):
    """The rest of the way of ticks whose feed began a trace."""

    def heard(self, batch: Sequence[tuple[str, bytes]], at: Moment) -> None:
        """What one read of the bus brought."""

    def written(self) -> None:
        """All of it is on its way to the subscribers."""


class _NoSpan:
    """Its own block."""

    def tell(self, name: str, value: Attribute) -> None:
        pass

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _NoSpans:
    def __init__(self) -> None:
        self._none = _NoSpan()
        self.ticks: TickSpans | None = None

    def span(
        self, name: str, traceparent: str | None = None, **attributes: Attribute
    ) -> AbstractContextManager[Span]:
        return self._none


NO_SPANS: Final[Spans] = _NoSpans()
"""Nothing is traced."""
