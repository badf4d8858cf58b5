"""A client's side of the public protocol, in parts: `gateway.client` is its door."""
