"""The gateway beside other servers: the same clients, the same ticks. `python -m bench.peers`."""
