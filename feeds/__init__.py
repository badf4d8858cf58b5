"""VENUES -> REDIS: exchange adapters and derivations that publish ticks to the bus."""
