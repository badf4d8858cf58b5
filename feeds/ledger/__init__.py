"""What was said and what came of it, for good: a hash-chained record in one SQLite file.

`entry`, `audit`, `proportion`, `track_record` and `unpublished` are pure; `table` and `store` are
its EDGE. Nothing here knows Redis: who publishes an entry appends it first.
"""
