"""Who gets what of what was published: channels, their listeners, and what waits for each. Pure."""
