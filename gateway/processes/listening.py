"""The address to listen on: ours for as long as we run, also while every worker is down.

Workers share a port by SO_REUSEPORT, and so would a second instance without a word: it is asked
for plainly first.
"""

import contextlib
import errno
import socket
from collections.abc import Iterator


class AddressError(Exception):
    """Why an address can't be listened on. One line. `taken`: another program has it."""

    def __init__(self, message: str, *, taken: bool = False) -> None:
        super().__init__(message)
        self.taken = taken


@contextlib.contextmanager
def reserved(host: str, port: int) -> Iterator[int]:
    """Keeps a port for processes that bind it with SO_REUSEPORT; gives its number.

    Port 0 becomes any free one. Raises AddressError.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET  # As the workers do.
    try:
        found = socket.getaddrinfo(
            host, port, family, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError):
        raise AddressError(f"there is no address {host} to listen on: check --host") from None
    address = found[0][4]
    _ask_plainly(family, address, host, port)
    # Bound and never listening: it keeps others away and takes no connection from the workers.
    with socket.socket(family, socket.SOCK_STREAM) as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _bind(keeper, address, host, port)
        yield int(keeper.getsockname()[1])


def url_of(host: str, port: int, scheme: str = "http") -> str:
    """For people on this machine: an address that stands for all of its addresses is loopback."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"{scheme}://[{name}]:{port}" if ":" in name else f"{scheme}://{name}:{port}"


def _ask_plainly(family: int, address: tuple[object, ...], host: str, port: int) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Not disturbed by connections of the past; a listener is still in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(probe, address, host, port)


def _bind(sock: socket.socket, address: tuple[object, ...], host: str, port: int) -> None:
    try:
        sock.bind(address)
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                raise AddressError(
                    f"port {port} on {host} is taken by another program;"
                    " choose one with --port or TICKGATE_GATEWAY_PORT",
                    taken=True,
                ) from None
            case errno.EADDRNOTAVAIL:
                raise AddressError(f"{host} is no address of this machine: check --host") from None
            case errno.EACCES:
                raise AddressError(
                    f"port {port} on {host} is not ours to use (ports below 1024 are the"
                    " administrator's): choose one with --port or TICKGATE_GATEWAY_PORT"
                ) from None
            case _:
                raise AddressError(f"can't listen on port {port} of {host}: {error}") from None
