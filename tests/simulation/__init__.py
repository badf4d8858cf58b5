"""The whole way of a tick in one process, in virtual time, with faults.

Publisher, workers, hub, sessions and the client's core are the product's own, and so is the whole
feeds process. The clock, the wires, Redis, the clients' sockets and the venue are simulated, and do
nothing but what the seed says:
`python -m tests.simulation`.
"""
