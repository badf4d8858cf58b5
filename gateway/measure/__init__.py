"""What `tickgate bench` is made of: one gateway measured by a client, as a user sees it."""
