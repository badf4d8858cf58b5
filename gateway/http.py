"""What the gateway answers to plain HTTP."""

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway.worker import Worker

_FRONT = """Tickgate streams prices and signals by WebSocket.

Connect to /v1/stream with a key in X-API-Key, then send
  {"op":"subscribe","id":1,"channels":["trade:sim:*"]}
"""


async def front(_: Request) -> Response:
    return PlainTextResponse(_FRONT)


async def healthz(_: Request) -> Response:
    """Alive: the event loop answers."""
    return JSONResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Whether subscribers would be served: on the bus, and not on the way out."""
    worker: Worker = request.app.state.worker
    body = {
        "status": "ready" if worker.is_ready else "not ready",
        "bus": "live" if worker.states.bus_is_live else "away",
        "draining": worker.draining,
        "channels": len(worker.directory),
    }
    return JSONResponse(body, 200 if worker.is_ready else 503)


async def upgrade_required(_: Request) -> Response:
    message = "this is a WebSocket endpoint: connect with wss:// or ws://"
    return JSONResponse(
        {"code": "upgrade_required", "message": message},
        426,
        {"Upgrade": "websocket", "Connection": "Upgrade"},
    )


ROUTES = (
    Route("/", front),
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/v1/stream", upgrade_required),
)
