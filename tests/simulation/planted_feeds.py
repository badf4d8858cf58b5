"""Bugs planted into the feeds on purpose: each is to be found by a seed that plays them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final
from unittest.mock import patch

from feeds import run as run_module
from feeds.batch import Batch
from feeds.market import Tick
from feeds.publisher import Publisher
from feeds.succession import Line, Succession
from feeds.watching.rhythm import Rhythm
from feeds.watching.screen import TradeScreen
from feeds.watching.trade_ids import Consecutive, Unique
from feeds.watching.watch import Watch
from feeds.watching.watches import Watches

Plant = Callable[[], AbstractContextManager[Any]]


def _in_the_place_of(owner: object, name: str, make: Callable[[Any], Any]) -> Plant:
    return lambda: patch.object(owner, name, make(getattr(owner, name)))


def _nothing(_: Any) -> Any:
    def nothing(*_: Any, **__: Any) -> None:
        pass

    return nothing


def _without_fence(command: Any) -> Any:
    def commanded(self: Batch, sha: str, publisher: str) -> bytes:
        fence, self.fence = self.fence, None
        try:
            return command(self, sha, publisher)  # type: ignore[no-any-return]
        finally:
            self.fence = fence

    return commanded


def _remembers_nothing(_: Any) -> Any:
    async def recall(*_: Any) -> Mapping[str, Sequence[Tick]]:
        return {}

    return recall


def _keeps_what_waits(_: Any) -> Any:
    def yielded(self: Publisher, venue: str) -> None:
        del self._fences[venue]
        self._in_doubt.discard(venue)

    return yielded


def _never(_: Any) -> Any:
    def never(*_: Any) -> bool:
        return False

    return never


def _each_is_new(_: Any) -> Any:
    def judge(self: Any, trade_id: str, ahead_us: int | None, fills: int = 1) -> int:
        return 0

    return judge


def _unsaid(marked: Any) -> Any:
    def unmarked(self: TradeScreen, tick: Tick, trade: Any, doubt: Any, missing: int) -> Tick:
        return marked(self, tick, trade, doubt, 0)  # type: ignore[no-any-return]

    return unmarked


def _after_its_end(_: Any) -> Any:
    def notices(self: Succession, leading: Line, now_s: float) -> bool:
        self._renew_from_s = None
        return False

    return notices


def _by_the_feed(cut: Any) -> Any:
    def cut_by(self: Watch, by: str) -> None:
        cut(self, "feed")

    return cut_by


def _by_the_venue(cut: Any) -> Any:
    def cut_by(self: Watch, by: str) -> None:
        cut(self, "venue")

    return cut_by


def _in_a_hurry(_: Any) -> Any:
    def is_overdue(self: Rhythm, now_s: float) -> bool:
        return self.silent_s(now_s) >= 1.0

    return is_overdue


FEED_BUGS: Final[dict[str, Plant]] = {
    "a feed that has lost its lease publishes on": _in_the_place_of(
        Batch, "command", _without_fence
    ),
    "who takes over does not look at what was published": _in_the_place_of(
        run_module, "recall", _remembers_nothing
    ),
    "what waited is published after the next feed's": _in_the_place_of(
        Publisher, "yield_to_another", _keeps_what_waits
    ),
    "a repeated trade passes": _in_the_place_of(Unique, "judge", _each_is_new),
    "trades that are missing are not noticed": _in_the_place_of(Consecutive, "judge", _each_is_new),
    "a hole of the venue is not announced": _in_the_place_of(TradeScreen, "_marked", _unsaid),
    "the next socket is opened after the end of the old one": _in_the_place_of(
        Succession, "_notices_the_end", _after_its_end
    ),
    "silence is not noticed": _in_the_place_of(Rhythm, "is_overdue", _never),
    "a quiet second is a silence": _in_the_place_of(Rhythm, "is_overdue", _in_a_hurry),
    "what has a hole is not asked for again": _in_the_place_of(Watches, "_ask_again", _nothing),
    "the venue is not to blame for its cuts": _in_the_place_of(Watch, "cut", _by_the_feed),
    "the venue is to blame for our absence": _in_the_place_of(Watch, "cut", _by_the_venue),
}
