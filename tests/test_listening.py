"""The address to listen on: shared by workers, kept from everybody else."""

import socket

import pytest

from gateway.processes.listening import AddressError, reserved, url_of

LIMIT_S = 10.0


def test_a_reserved_port_can_be_shared_by_workers_and_by_nobody_else() -> None:
    with reserved("127.0.0.1", 0) as port:
        with socket.socket() as worker:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind(("127.0.0.1", port))
            worker.listen()
            socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S).close()
        with (
            pytest.raises(AddressError, match="is taken by another program"),
            reserved("127.0.0.1", port),
        ):
            pass


@pytest.mark.parametrize(
    ("host", "said"),
    [("127.0.0.2.3", "there is no address"), ("203.0.113.1", "is no address of this machine")],
)
def test_a_host_that_is_not_ours_is_named(host: str, said: str) -> None:
    with pytest.raises(AddressError, match=said), reserved(host, 0):
        pass


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
    ],
)
def test_an_address_is_told_so_that_it_can_be_used(host: str, url: str) -> None:
    assert url_of(host, 80) == url
