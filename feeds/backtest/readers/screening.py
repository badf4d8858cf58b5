"""Recorded ticks as a live feed would have let them pass. Pure."""

from collections.abc import Iterable

from feeds.backtest.source import Faults
from feeds.market import Channel, Tick
from feeds.watching.screen import RULES, Reason, Screen, screen_of
from feeds.watching.trade_ids import Promise


class Screening:
    """Of one file. What it refuses is told as any line that makes no sense."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._screens: dict[str, Screen] = {}
        self._reason: Reason = "duplicate"

    def passed(self, ticks: Iterable[Tick], ids: Promise, place: str) -> list[Tick]:
        """Those that are not refused, with what is to be said of them; `ids`: what the venue
        promises of its trades' ids."""
        passed = []
        for tick in ticks:
            judged = self._screen(tick.channel, ids).judge(tick)
            if judged is None:
                self._faults.add(place, RULES[self._reason].meaning)
            else:
                passed.append(judged)
        return passed

    def _screen(self, channel: Channel, ids: Promise) -> Screen:
        screen = self._screens.get(channel.name)
        if screen is None:
            screen = self._screens[channel.name] = screen_of(channel, ids, self._note)
        return screen

    def _note(self, reason: Reason, _: Tick) -> None:
        self._reason = reason
