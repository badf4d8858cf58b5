"""The native WebSocket transport: who may connect, and the loop that hears what they say."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from urllib.parse import parse_qs

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.conversation import Conversation
from gateway.errors import CLOSES, CloseRow, CommandError
from gateway.frames import unframed
from gateway.key_store import KeysUnavailable
from gateway.keys import KeyRecord
from gateway.limits import Gcra
from gateway.message import Notice
from gateway.plans import PLANS
from gateway.protocol import (
    SUBPROTOCOLS,
    VERSION,
    Ack,
    Announcement,
    Auth,
    CommandId,
    EncodingName,
    Error,
    Welcome,
    decode_command,
    id_of,
)
from gateway.server.websocket import EXTENSION, FrameSink
from gateway.session import Session
from gateway.transports.queue_sink import QueueSink
from gateway.worker import Worker

_log = logging.getLogger(__name__)

_CLOSE_LIMIT_S = 3.0
"""For one who doesn't read to take the close."""
_KEY_PARAMETERS = frozenset(("key", "api_key", "apikey", "token", "access_token", "auth"))


class Refusal(Exception):  # noqa: N818 - a word of the protocol
    """A connection that is not let in: answered with a status and JSON, before the upgrade."""

    def __init__(self, status: int, code: str, message: str, retry_after_s: int = 0) -> None:
        self.status = status
        self.body = {"code": code, "message": message}
        self.headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
        super().__init__(message)


async def serve_stream(websocket: WebSocket) -> None:
    """The ASGI endpoint of `/v1/stream`."""
    # Gone before it was let in: nobody is left to be told.
    with contextlib.suppress(WebSocketDisconnect):
        await _serve(websocket)


async def _serve(websocket: WebSocket) -> None:
    worker: Worker = websocket.app.state.worker
    try:
        subprotocol, encoding = _agreed_encoding(websocket)
        record = await _record_of_headers(websocket, worker)
    except Refusal as refusal:
        response = JSONResponse(refusal.body, refusal.status, refusal.headers)
        await websocket.send_denial_response(response)
        return
    await websocket.accept(subprotocol)
    auth_id: CommandId = None
    if record is None:
        shown = await _record_of_auth(websocket, worker, encoding)
        if shown is None:
            return
        record, auth_id = shown
    await _converse(websocket, worker, encoding, record, auth_id)


def _agreed_encoding(websocket: WebSocket) -> tuple[str | None, EncodingName]:
    offered: list[str] = websocket.scope["subprotocols"]
    for subprotocol in offered:
        if subprotocol in SUBPROTOCOLS:
            return subprotocol, SUBPROTOCOLS[subprotocol]
    if offered:
        known = ", ".join(SUBPROTOCOLS)
        raise Refusal(400, "unknown_subprotocol", f"the subprotocols are {known}")
    return None, "json"


async def _record_of_headers(websocket: WebSocket, worker: Worker) -> KeyRecord | None:
    """The key shown before the upgrade; None where `auth` is still to come. Raises Refusal."""
    query = parse_qs(websocket.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if not _KEY_PARAMETERS.isdisjoint(map(str.lower, query)):
        raise Refusal(
            400, "key_in_url", "a URL stands in logs: send the key in X-API-Key or by auth"
        )
    if worker.draining:
        raise Refusal(503, "draining", CLOSES["draining"].text, retry_after_s=1)
    key = websocket.headers.get("x-api-key")
    authorization = websocket.headers.get("authorization")
    if key is None and authorization is not None:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Refusal(401, "auth_failed", "Authorization is `Bearer <key>`")
    if key is None:
        return None
    try:
        record = await worker.keys.admitted(key.strip())
    except KeysUnavailable as error:
        raise Refusal(503, "keys_unavailable", str(error), retry_after_s=1) from error
    if record is None:
        raise Refusal(401, "auth_failed", CLOSES["auth_failed"].text)
    return record


async def _record_of_auth(
    websocket: WebSocket, worker: Worker, encoding: EncodingName
) -> tuple[KeyRecord, CommandId] | None:
    """Waits for `auth`, the only command that is heard before it; None where it is over."""
    try:
        async with asyncio.timeout(worker.settings.auth_limit_s):
            async for message in _messages(websocket):
                try:
                    command = decode_command(message)
                except CommandError as error:
                    await _reply(websocket, encoding, _told(id_of(message), error))
                    continue
                if not isinstance(command, Auth):
                    refusal = _told(command.id, CommandError("auth_required"))
                    await _reply(websocket, encoding, refusal)
                    continue
                record = await worker.keys.admitted(command.key)
                if record is None:
                    await _close(websocket, CLOSES["auth_failed"])
                    return None
                return record, command.id
    except TimeoutError:
        await _close(websocket, CLOSES["auth_timeout"])
    except KeysUnavailable:
        await _close(websocket, CLOSES["bus_lost"])
    return None


async def _converse(
    websocket: WebSocket,
    worker: Worker,
    encoding: EncodingName,
    record: KeyRecord,
    auth_id: CommandId,
) -> None:
    async with _sink_of(websocket, encoding) as sink:
        plan = PLANS.get(record.plan, PLANS["free"])
        session = Session(
            worker.new_session_id(),
            key_id=record.id,
            plan=plan,
            encoding=encoding,
            sink=sink,
            outbox_limits=worker.outbox_limits,
            counts=worker.counts,
        )
        _connect(sink, session, worker)
        now_s = worker.clock.monotonic_s()
        heartbeat_ms = worker.settings.heartbeat_ms
        session.say(Welcome(session.id, VERSION, heartbeat_ms, plan.told()), now_s)
        if auth_id is not None:
            session.say(Ack(auth_id), now_s)
        worker.hub.sessions.add(session)
        try:
            await _hear(websocket, worker, session)
        except Exception:
            # A mistake of ours must cost one connection, and be seen.
            _log.exception("a session failed session=%s", session.id)
            session.end(CLOSES["internal"])
        finally:
            worker.hub.leave(session, worker.clock.monotonic_s())


async def _hear(websocket: WebSocket, worker: Worker, session: Session) -> None:
    conversation = Conversation(session, worker)
    most = worker.settings.bad_messages_max
    bad = Gcra(most / 60, most)
    async for message in _messages(websocket):
        try:
            command = decode_command(message)
        except CommandError as error:
            conversation.refuse(id_of(message), error)
            if bad.wait_s(worker.clock.monotonic_s()):
                session.end(CLOSES["policy"])
            continue
        await conversation.answer(command)


@contextlib.asynccontextmanager
async def _sink_of(
    websocket: WebSocket, encoding: EncodingName
) -> AsyncIterator[FrameSink | QueueSink]:
    extension = websocket.scope.get("extensions", {}).get(EXTENSION)
    if extension is not None:
        yield extension["sink"]
        return
    sink = QueueSink(websocket, encoding)
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(sink.run(), name="sink")
        yield sink
        if not sink.is_closing:
            sending.cancel()


def _connect(sink: FrameSink | QueueSink, session: Session, worker: Worker) -> None:
    def goodbye() -> None:
        worker.send_away(session)

    sink.on_busy = session.busy
    sink.on_ready = session.flush
    sink.on_shutdown = goodbye


async def _messages(websocket: WebSocket) -> AsyncIterator[str | bytes]:
    """What the client says, until it or we have closed."""
    while True:
        event = await websocket.receive()
        if event["type"] == "websocket.disconnect":
            return
        text = event.get("text")
        yield event["bytes"] if text is None else text


def _told(command_id: CommandId, error: CommandError) -> Error:
    return Error(command_id, error.row.code, error.detail, error.row.retry)


async def _reply(websocket: WebSocket, encoding: EncodingName, reply: Announcement) -> None:
    """Before there is a session: by the server's own framing."""
    for payload in unframed(Notice(reply).frame(encoding)):
        if encoding == "json":
            await websocket.send_text(payload.decode())
        else:
            await websocket.send_bytes(payload)


async def _close(websocket: WebSocket, row: CloseRow) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_LIMIT_S):
            await websocket.close(row.code, row.text)
