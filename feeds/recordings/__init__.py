"""Recording what venues send, and playing it again."""
