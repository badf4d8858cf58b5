"""One session's ear: decodes what its client says, has it carried out, and hears how it ends."""

import logging

from gateway.access.limits import Gcra
from gateway.conversation import Conversation
from gateway.errors import CLOSES, CommandError
from gateway.fanout.session import Session
from gateway.protocol import decode_command, id_of
from gateway.worker import Worker

_log = logging.getLogger(__name__)


class StreamListener:
    """There is one for each connection: it is small."""

    __slots__ = ("_bad", "_conversation", "_session", "_worker")

    def __init__(self, session: Session, worker: Worker) -> None:
        self._session = session
        self._worker = worker
        self._conversation = Conversation(session, worker)
        self._bad: Gcra | None = None
        """Malformed messages; made with the first."""

    async def hear(self, message: str | bytes) -> None:
        try:
            await self._hear(message)
        except Exception:
            # A mistake of ours must cost one connection, and be seen.
            _log.exception("a session failed session=%s", self._session.id)
            self._session.end(CLOSES["internal"])

    async def _hear(self, message: str | bytes) -> None:
        try:
            command = decode_command(message)
        except CommandError as error:
            self._conversation.refuse(id_of(message), error)
            self._count_bad()
        else:
            await self._conversation.answer(command)

    def _count_bad(self) -> None:
        if self._bad is None:
            most = self._worker.settings.bad_messages_max
            self._bad = Gcra(most / 60, most)
        if self._bad.wait_s(self._worker.clock.monotonic_s()):
            self._session.end(CLOSES["policy"])

    def busy(self) -> None:
        self._session.busy()

    def ready(self) -> None:
        self._session.flush()

    def shut_down(self) -> None:
        self._worker.send_away(self._session)

    def leave(self, code: int) -> None:
        self._worker.counts.closes[code] += 1
        _log.info("left session=%s code=%d", self._session.id, code)
        self._worker.leave(self._session)
