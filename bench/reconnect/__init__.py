"""A crowd that comes back all at once: `python -m bench.reconnect`."""
