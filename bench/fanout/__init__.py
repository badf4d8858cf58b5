"""Fan-out: one tick into many sockets. `python -m bench.fanout --help`."""
