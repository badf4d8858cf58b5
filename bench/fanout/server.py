"""The gateway under test, as the product serves it: metrics on, nothing left out.

`python -m bench.fanout.server REDIS_URL WINDOW_MS [SETTINGS]` tells its port once it listens, and
then the URL of its metrics. SETTINGS is JSON of more, past the checks of the command line.
"""

import socket
import sys
import threading
import time

import msgspec

from feeds.market import SystemClock
from gateway.access.plans import PlanSettings, plans_from
from gateway.admin.listener import AdminListener
from gateway.serve import listening_socket, serve
from gateway.settings import AdminSettings, GatewaySettings

_HOST = "127.0.0.1"
PLAN = "bench"
"""Its key's: with every limit that costs something, none of which is reached."""
_PLANS = plans_from(
    {
        PLAN: PlanSettings(
            connections_max=100_000,
            subscriptions_max=100_000,
            commands_per_s=10_000,
            commands_burst=100_000,
            messages_per_s=1_000_000,
            fastest_rate="all",
            channels=("trade:*:*",),
        )
    }
)


def main() -> None:
    redis_url, window_ms, *more = sys.argv[1:]
    further = msgspec.json.decode(more[0]) if more else {}
    # Held, not listened to: it keeps the port for the gateway, as the product's supervisor does.
    bound = listening_socket(_HOST, 0, shared=True)
    port = bound.getsockname()[1]
    told = {"host": _HOST, "port": port, "join_window_ms": float(window_ms), **further}
    admin = AdminListener(AdminSettings(port=0), "gateway", clock=SystemClock(), say=lambda _: None)
    threading.Thread(target=_tell, args=(port, admin), daemon=True).start()
    settings = msgspec.convert(told, GatewaySettings)
    serve(settings, redis_url, shared=True, admin=admin, plans=_PLANS)


def _tell(port: int, admin: AdminListener) -> None:
    while not (_listens(port) and admin.url):
        time.sleep(0.02)
    print(port, f"{admin.url}/metrics", sep="\n", flush=True)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((_HOST, port)) == 0


if __name__ == "__main__":
    main()
