"""The gateway under test: `python -m bench.fanout.server REDIS_URL WINDOW_MS`; tells its port."""

import sys

import uvicorn

from gateway.serve import configured, listening_socket
from gateway.settings import GatewaySettings


def main() -> None:
    settings = GatewaySettings(join_window_ms=float(sys.argv[2]))
    bound = listening_socket("127.0.0.1", 0)
    bound.listen()
    print(bound.getsockname()[1], flush=True)
    uvicorn.Server(configured(settings, sys.argv[1])).run(sockets=[bound])


if __name__ == "__main__":
    main()
