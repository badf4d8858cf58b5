"""In the place of keys and limits, which are not simulated: everybody may do everything."""

import asyncio

from gateway.access.keys import Holder
from gateway.access.plans import Plan
from gateway.fanout.session import Session
from gateway.worker import Worker


class Limits:
    """Commands as often as one likes."""

    async def command_wait_s(self, holder: Holder, plan: Plan) -> float:
        return 0.0


class Holders:
    """In the place of `gateway.access.holders`: everybody may be here, for ever."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.limits = Limits()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            for session in self._worker.hub.sessions:
                if session.outbox.is_throttled:
                    session.release(self._worker.clock.monotonic_s())

    def leave(self, session: Session) -> None:
        pass
