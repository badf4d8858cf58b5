"""One runtime for all venues, against a real WebSocket server that misbehaves."""
