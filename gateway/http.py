"""What the gateway answers to plain HTTP."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.web.problems import MEDIA_TYPE, Refusal
from gateway.worker import Worker


async def healthz(_: Request) -> Response:
    """Alive: the event loop answers."""
    return JSONResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Whether subscribers would be served: on the bus, and not on the way out."""
    worker: Worker = request.app.state.worker
    body = {
        "status": "ready" if worker.is_ready else "not ready",
        "bus": "live" if worker.hears_bus else "away",
        "draining": worker.draining,
        "channels": len(worker.directory),
    }
    return JSONResponse(body, 200 if worker.is_ready else 503)


async def upgrade_required(_: Request) -> Response:
    refusal = Refusal("upgrade_required", "connect with wss:// or ws://")
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    return JSONResponse(refusal.body, refusal.status, headers, MEDIA_TYPE)


ROUTES = (
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/v1/stream", upgrade_required),
)
