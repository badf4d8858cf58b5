"""What was said and what came of it, for good: a hash-chained record in one SQLite file.

`table`, `witness`, `book`, `store` and `verification` are its EDGE; the rest is pure. Nothing here
knows Redis: who publishes an entry appends it first.
"""
