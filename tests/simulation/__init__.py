"""The whole way of a tick in one process, in virtual time, with faults.

Publisher, worker, hub, sessions and the client's core are the product's own. The clock, the wires,
Redis and the clients' sockets are simulated, and do nothing but what the seed says:
`python -m tests.simulation`.
"""
