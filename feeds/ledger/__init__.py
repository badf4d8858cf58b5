"""What was said and what came of it, for good: a hash-chained record in SQLite files.

`table`, `segments`, `witness`, `sealing`, `wholeness`, `expectation`, `reopening`, `rotation`,
`book`, `store` and `verification` are its EDGE; the rest is pure. Nothing here knows Redis: who
publishes an entry appends it first.
"""
