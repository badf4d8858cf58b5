"""TRANSPORTS: the ways by which subscribers reach the hub."""
