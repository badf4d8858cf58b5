"""Processes that start, watch and end others, and the addresses and locks that they share."""
