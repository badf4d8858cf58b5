"""The admin listener: metrics and the API of keys, away from the public port."""
