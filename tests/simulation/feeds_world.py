"""One simulation of the feeds: a venue, one or two processes with a lease, what Redis is told."""

import asyncio
from contextlib import AbstractContextManager, ExitStack
from typing import Final
from unittest.mock import patch

import msgspec

from feeds import connection as connection_module
from feeds.market import Status
from tests.simulation.bus_model import Published
from tests.simulation.exchange import Exchange
from tests.simulation.faults import befall
from tests.simulation.feed_process import FeedProcess
from tests.simulation.feeds_chances import BUS_FAULTS, FeedsChances
from tests.simulation.ledger import Ledger
from tests.simulation.stage import POLL_S, Stage
from tests.simulation.told_states import ToldStates
from tests.simulation.truth import Violation
from tests.simulation.venue_side import Side
from tests.simulation.virtual_time import VirtualLoop, process_now

_SETTLE_LIMIT_S: Final = 90.0
_CALM_S: Final = 5.0
"""After the last fault, so that all that is missing is noticed by what follows."""
_STOP_LIMIT_S: Final = 3.0
_BEGUN_AGAIN_S: Final = 1.0
_OF_PROCESSES: Final = ("kill", "pause", "stop")
_UNDISTURBED_S: Final = 2.0
_TAKE_OVER_S: Final = 1.0
"""Beyond a lease's end: it is asked for ten times in its length, and the venue is to be opened."""


class FeedsWorld(Stage):
    """Of one seed."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.chances = FeedsChances(seed)
        super().__init__(self.chances.random, loop)
        self.exchange = Exchange(self.fork(), self.clock, self.chances.channels)
        self.exchange.resent = self.chances.resent
        self.exchange.lifetime_s = self.chances.lifetime_s
        self.exchange.token = self._token_now
        self.processes = [FeedProcess(self, number) for number in range(self.chances.processes)]
        self.ledger = Ledger(self.exchange, self.chances, self.server, self.clock)
        self.states = ToldStates(self.exchange, self.ledger, self.chances, self.clock)
        self.status: Status | None = None
        """The last that was published."""
        self.disturbed_s = 0.0
        """Until when Redis was not as it should be."""
        self._is_active = True

    def limits(self) -> AbstractContextManager[object]:
        stack = ExitStack()
        stack.enter_context(self.chances.limits(self.exchange))
        stack.enter_context(
            patch.object(connection_module, "open_socket", self.exchange.open_socket)
        )
        return stack

    async def run(self) -> None:
        exchange = self.exchange
        trading = [self.start(exchange.keep_trading(one)) for one in exchange.markets.values()]
        beating = self.start(exchange.keep_beating())
        for process in self.processes:
            process.begin()
        minding = self.start(self._keep_alive())
        failing = self.start(self.keep_failing(self.chances.faults))
        await self.passed(self.chances.active_s)
        await asyncio.wait([failing])
        await self.faults_end()
        self.heal()
        exchange.heal()
        await self.passed(_CALM_S)
        await self.until(self._is_well, _SETTLE_LIMIT_S, self._ill)
        for task in trading:
            task.cancel()
        await self.until(self.ledger.is_whole, _SETTLE_LIMIT_S, self.ledger.lacking)
        self.ledger.check_announced()
        self._is_active = False
        for process in self.processes:
            if process.is_there:
                process.stop()
        await self.until(self._is_over, _STOP_LIMIT_S, lambda: "a process does not stop")
        is_told = self.status is not None and self.status.state == "closed"
        # Where Redis was away for long, the lease may have ended just before.
        if not is_told and self.disturbed_s == 0.0:
            raise Violation(f"the end is not told: {self.status}")
        for task in (beating, minding):
            task.cancel()
        await self.tasks_end()
        self.raise_failures()

    async def close(self) -> None:
        """Processes close what is theirs."""
        self.server.cut(2.0)

    # What happens.

    async def befall(self, fault: str) -> None:
        if fault in BUS_FAULTS:
            self.disturbed_s = float("inf")
            self.server.upheavals += fault.startswith(("restart", "flush"))
            await befall(self, fault)
            # Blocked wires are free after 5 s at most.
            self.disturbed_s = self.loop.time() + 5.0
        elif fault in _OF_PROCESSES:
            await self._befall_process(fault)
        else:
            await self._befall_venue(fault)

    async def _befall_process(self, fault: str) -> None:
        leading = [one for one in self.processes if one.leads]
        there = [one for one in self.processes if one.is_there and not one.process.is_stopped]
        if not there:
            return
        process = self.random.choice(leading or there)
        match fault:
            case "kill":
                process.kill()
            case "stop":
                process.stop()
            case "pause":
                process.pause()
                await self.passed(self.random.uniform(0.3, 2.5) * self.chances.lease_s)
                if process.is_there:
                    process.wake()

    async def _befall_venue(self, fault: str) -> None:
        random, exchange, now_s = self.random, self.exchange, self.loop.time()
        market = random.choice(list(exchange.markets.values()))
        sides = list(exchange.sides)
        match fault:
            case "hole":
                market.to_keep = random.choice((1, 2, 5))
            case "late":
                market.to_keep = 1
                await self.passed(3 * market.pace_s)
                exchange.make_up(market)
            case "repeat":
                exchange.repeat(market, random.choice((1, 3, 8)))
            case "poison":
                market.to_poison = random.choice((1, 2))
            case "cut" | "cut one":
                exchange.cut(sides if fault == "cut" else sides[:1])
            case "mute socket":
                for side in sides:
                    side.is_mute = True
            case "announced":
                await self._announce(sides)
            case "refuses":
                exchange.is_down = True
                exchange.cut(sides, 1012, "restart")
                await self.passed(random.uniform(0.5, 6.0))
                exchange.is_down = False
            case "quiet" | "all quiet":
                some = exchange.markets.values() if fault == "all quiet" else [market]
                until_s = now_s + random.uniform(12.0, 20.0)
                for one in some:
                    one.quiet_until_s = until_s
                await self.passed(until_s - now_s)
            case "mute":
                market.mute_until_s = now_s + random.uniform(12.0, 20.0)
                await self.passed(market.mute_until_s - now_s)

    async def _announce(self, sides: list[Side]) -> None:
        began_s = self.loop.time()
        self.exchange.announce(sides)
        await self.passed(self.random.uniform(8.0, 12.0))
        remaining = [side for side in sides if side in self.exchange.sides]
        self.exchange.cut(remaining, 1001, "going away")
        await self.passed(2.0)
        self.ledger.announced.append((began_s, self.loop.time()))

    async def _keep_alive(self) -> None:
        """Who is gone is begun again, as a supervisor does."""
        while True:
            await asyncio.sleep(POLL_S)
            for process in self.processes:
                is_due = self.loop.time() - process.changed_s > _BEGUN_AGAIN_S
                if self._is_active and not process.is_there and is_due:
                    process.begin()

    # What is heard, and must be true.

    def published(self, told: Published) -> None:
        self.record(told.channel, told.payload)
        if told.channel.startswith("status:"):
            self.status = msgspec.json.decode(told.payload, type=Status)
            self.states.published(self.status)
        else:
            self.ledger.published(told)

    def check(self) -> None:
        self.raise_failures()
        now_s = self.loop.time()
        for process in self.processes:
            if process.leads and process.feed is not None:
                changed_s = max(process.changed_s, self.disturbed_s)
                if now_s - changed_s > _UNDISTURBED_S:
                    self.states.check(process.feed.status(), process.token)
        changed_s = max(process.changed_s for process in self.processes)
        self.states.check_holes(max(changed_s, self.disturbed_s))
        if self._is_active:
            self._check_somebody_leads(changed_s)

    def _check_somebody_leads(self, changed_s: float) -> None:
        now_s = self.loop.time()
        limit_s = self.chances.lease_s + _TAKE_OVER_S
        able = [
            one
            for one in self.processes
            if one.is_there and not one.process.is_stopped and now_s - one.changed_s > limit_s
        ]
        if not able or now_s - max(changed_s, self.disturbed_s) < limit_s:
            return
        if not any(one.leads for one in self.processes):
            raise Violation(f"nobody leads, {limit_s:g} s after the last fault")

    def _is_well(self) -> bool:
        return (
            self.status is not None
            and self.status.state == "live"
            and not self.status.channels
            and any(one.leads for one in self.processes)
        )

    def _ill(self) -> str:
        return f"not all is well again: {self.status}"

    def _is_over(self) -> bool:
        return not any(one.is_there for one in self.processes)

    def _token_now(self) -> str:
        process = process_now()
        return next((one.token for one in self.processes if one.process is process), "")
