"""What a feed thinks of what a venue sends: silent, late, doubtful, repeated. Pure."""
