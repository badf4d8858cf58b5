"""The native WebSocket transport: who may connect, and what they are told first."""

import asyncio
import contextlib
import logging

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.access.keys import Holder
from gateway.access.rate_headers import connection_headers, retry_after
from gateway.errors import CLOSES, CloseRow, CommandError
from gateway.fanout.frames import unframed
from gateway.fanout.message import Notice
from gateway.fanout.session import Session, Sink
from gateway.protocol import (
    SUBPROTOCOLS,
    VERSION,
    Ack,
    Announcement,
    Auth,
    CommandId,
    EncodingName,
    Error,
    SessionId,
    Welcome,
    decode_command,
    id_of,
)
from gateway.server.sink import EXTENSION, FrameSink
from gateway.telemetry.requests import HEADER
from gateway.telemetry.spans import Span
from gateway.transports.listener import StreamListener
from gateway.transports.queue_sink import QueueSink, messages_of
from gateway.web.origins import Origins
from gateway.web.problems import MEDIA_TYPE, Refusal
from gateway.worker import Worker

_log = logging.getLogger(__name__)

_CLOSE_LIMIT_S = 3.0
"""For one who doesn't read to take the close."""
_CLOSE_OF = {
    "auth_failed": "auth_failed",
    "too_many_failures": "rate",
    "too_many_connections": "connections",
    "keys_unavailable": "bus_lost",
}
"""The close of each refusal that comes after the upgrade."""


async def serve_stream(websocket: WebSocket) -> None:
    """The ASGI endpoint of `/v1/stream`."""
    # Gone before it was let in: nobody is left to be told.
    with contextlib.suppress(WebSocketDisconnect):
        await _serve(websocket)


async def refuse_path(websocket: WebSocket) -> None:
    """The ASGI endpoint of every other path."""
    refusal = Refusal("not_found", "there is no such stream: connect to /v1/stream")
    with contextlib.suppress(WebSocketDisconnect):
        worker: Worker = websocket.app.state.worker
        await _deny(websocket, worker, refusal, worker.new_session_id())


async def _serve(websocket: WebSocket) -> None:
    worker: Worker = websocket.app.state.worker
    session_id = worker.new_session_id()
    traceparent = websocket.headers.get("traceparent")
    with worker.spans.span("connect", traceparent, session=session_id) as span:
        let_in = await _let_in(websocket, worker, session_id, span)
    if let_in is not None:
        session, sink, auth_id = let_in
        _greet(worker, session, auth_id)
        key, address = session.holder.id, _address(websocket)
        _log.info("connected session=%s key=%s address=%s", session_id, key, address)
        # On our own server this returns at once, and the connection goes on without us.
        await sink.hand_over(StreamListener(session, worker))


async def _let_in(
    websocket: WebSocket, worker: Worker, session_id: SessionId, span: Span
) -> tuple[Session, QueueSink | FrameSink, CommandId] | None:
    """A new session, and which `auth` it is to be told; None where that was refused."""
    try:
        try:
            _check_origin(websocket)
            subprotocol, encoding = _agreed_encoding(websocket)
            holder = await _holder_of_headers(websocket, worker)
            if holder is not None:
                await _take_slot(worker, session_id, holder)
        except Refusal as refusal:
            span.tell("refused", refusal.code)
            await _deny(websocket, worker, refusal, session_id)
            return None
        await websocket.accept(subprotocol)
        auth_id: CommandId = None
        if holder is None:
            shown = await _holder_of_auth(websocket, worker, encoding, session_id)
            if shown is None:
                return None
            holder, auth_id = shown
        sink = _sink(websocket, encoding)
        return _new_session(worker, encoding, session_id, holder, sink), sink, auth_id
    except BaseException:
        worker.holders.slots.close(session_id)
        raise


async def _deny(
    websocket: WebSocket, worker: Worker, refusal: Refusal, session_id: SessionId
) -> None:
    """Its id is the session's that there would have been."""
    worker.counts.refused_upgrades[refusal.code] += 1
    headers = {**refusal.headers, HEADER: session_id}
    _log.info("not let in session=%s code=%s", session_id, refusal.code)
    response = JSONResponse(refusal.body, refusal.status, headers, MEDIA_TYPE)
    await websocket.send_denial_response(response)


def _check_origin(websocket: WebSocket) -> None:
    """Raises Refusal to the page of a site that isn't ours and isn't listed."""
    origins: Origins = websocket.app.state.origins
    said = websocket.headers.getlist("origin")
    is_secure = websocket.scope["scheme"] == "wss"
    if not origins.allows(said, websocket.headers.get("host", ""), is_secure=is_secure):
        message = "pages of this site may not connect: see the setting gateway.origins"
        raise Refusal("origin_not_allowed", message)


def _agreed_encoding(websocket: WebSocket) -> tuple[str | None, EncodingName]:
    offered: list[str] = websocket.scope["subprotocols"]
    for subprotocol in offered:
        if subprotocol in SUBPROTOCOLS:
            return subprotocol, SUBPROTOCOLS[subprotocol]
    if offered:
        known = ", ".join(SUBPROTOCOLS)
        raise Refusal("unknown_subprotocol", f"the subprotocols are {known}")
    return None, "json"


async def _holder_of_headers(websocket: WebSocket, worker: Worker) -> Holder | None:
    """Who shows a key before the upgrade; None: `auth` is still to come. Raises Refusal."""
    if worker.draining:
        raise Refusal("draining", CLOSES["draining"].text, retry_after(1.0))
    query = websocket.scope["query_string"]
    address = _address(websocket)
    return await worker.holders.admission.holder_of(websocket.headers, query, address, tickets=True)


async def _take_slot(worker: Worker, session_id: SessionId, holder: Holder) -> None:
    """Raises Refusal where the key has too many connections."""
    plan = worker.holders.admission.plan_of(holder)
    if not await worker.holders.slots.open(session_id, holder.id, plan):
        text = f"all {plan.connections_max} connections of the key's plan ({plan.name}) are in use"
        raise Refusal("too_many_connections", text, connection_headers(plan))


async def _holder_of_auth(
    websocket: WebSocket, worker: Worker, encoding: EncodingName, session_id: SessionId
) -> tuple[Holder, CommandId] | None:
    """Waits for `auth`, the only command that is heard before it; None where it is over."""
    try:
        async with asyncio.timeout(worker.settings.auth_limit_s):
            async for message in messages_of(websocket):
                try:
                    command = decode_command(message)
                except CommandError as error:
                    await _reply(websocket, encoding, _told(id_of(message), error))
                    continue
                if not isinstance(command, Auth):
                    refusal = _told(command.id, CommandError("auth_required"))
                    await _reply(websocket, encoding, refusal)
                    continue
                holder = await worker.holders.admission.holder_of_key(
                    command.key, _address(websocket)
                )
                await _take_slot(worker, session_id, holder)
                return holder, command.id
    except TimeoutError:
        await _close(websocket, CLOSES["auth_timeout"])
    except Refusal as refusal:
        await _close(websocket, CLOSES[_CLOSE_OF[refusal.code]])
    return None


def _sink(websocket: WebSocket, encoding: EncodingName) -> QueueSink | FrameSink:
    extension = websocket.scope.get("extensions", {}).get(EXTENSION)
    if extension is None:
        return QueueSink(websocket, encoding)
    sink: FrameSink = extension["sink"]
    return sink


def _new_session(
    worker: Worker, encoding: EncodingName, session_id: SessionId, holder: Holder, sink: Sink
) -> Session:
    session = Session(
        session_id,
        holder=holder,
        plan=worker.holders.admission.plan_of(holder),
        encoding=encoding,
        sink=sink,
        outbox_limits=worker.outbox_limits,
        counts=worker.counts,
        opened_s=worker.clock.monotonic_s(),
    )
    session.traffic.connections += 1
    return session


def _greet(worker: Worker, session: Session, auth_id: CommandId) -> None:
    """From here on it hears of its channels."""
    now_s = worker.clock.monotonic_s()
    limits = session.plan.told()
    session.say(Welcome(session.id, VERSION, worker.settings.heartbeat_ms, limits), now_s)
    if auth_id is not None:
        session.say(Ack(auth_id), now_s)
    worker.hub.sessions.add(session)


def _address(websocket: WebSocket) -> str:
    return websocket.client.host if websocket.client is not None else ""


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
