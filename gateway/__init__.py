"""REDIS -> SUBSCRIBERS: fans the bus out to WebSocket subscriptions."""
