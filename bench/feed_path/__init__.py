"""From a venue's socket to Redis. `python -m bench.feed_path --help`."""
