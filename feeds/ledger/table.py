"""EDGE (SQLite): the file of a ledger. One table; rows are only ever added.

WAL, so that readers never wait for the writer nor it for them; synchronous FULL: what is committed
survives a power cut, because it is told to subscribers right after. Triggers refuse to change or
delete a row, as a courtesy; the chain of hashes is the proof.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from feeds.ledger.entry import Entry

_APPLICATION: Final = 0x71CC6A7E
"""In the file's header, for `file` and for us: this is a ledger of Tickgate."""

_COLUMNS: Final = "n, at, kind, signal, payload, previous, hash"

_DEFINITIONS: Final = (
    """CREATE TABLE entries (
    n INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    signal TEXT,
    payload TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL,
    UNIQUE (signal, kind)
)""",
    """CREATE TRIGGER entries_are_not_changed BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER entries_are_not_deleted BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
)

_BUSY_LIMIT_S: Final = 2.0
_FAULTS_MAX: Final = 10


class Table:
    """An open file. Every method may raise sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # As bytes: what is no UTF-8 any more is to be found wrong, not to end the reading.
        connection.text_factory = bytes

    @classmethod
    def to_write(cls, path: Path) -> "Table":
        """For one process at a time, which the caller sees to; whichever thread has it.

        Nothing is changed yet: see `begin_writing`.
        """
        with contextlib.suppress(OSError):
            path.touch(mode=0o600)  # SQLite says better what is wrong with it, if anything is.
        connection = sqlite3.connect(
            path, timeout=_BUSY_LIMIT_S, isolation_level=None, check_same_thread=False
        )
        return cls(connection)

    @classmethod
    def to_read(cls, path: Path) -> "Table":
        """Leaves no trace; somebody may be writing. All is read as of one moment."""
        is_written = path.with_name(path.name + "-wal").exists()
        mode = "mode=ro" if is_written else "mode=ro&immutable=1"
        uri = f"file:{quote(str(path.absolute()))}?{mode}"
        table = cls(sqlite3.connect(uri, timeout=_BUSY_LIMIT_S, isolation_level=None, uri=True))
        try:
            table._connection.execute("BEGIN")
        except sqlite3.Error:
            table.close()
            raise
        return table

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was made in it yet."""
        return not self._row("SELECT count(*) FROM sqlite_master")[0]

    def begin_writing(self) -> None:
        """To be called once it is known to be ours: it changes how the file is written."""
        self._set("journal_mode = WAL")
        self._set("synchronous = FULL")

    def create(self, genesis: Entry) -> None:
        """All at once, or nothing of it."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._set(f"application_id = {_APPLICATION}")
            for definition in _DEFINITIONS:
                self._connection.execute(definition)
            self._insert([genesis])
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back()
            raise

    def add(self, entries: Sequence[Entry]) -> None:
        """They are on the disk when this returns, or none of them is."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._insert(entries)
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back()
            raise

    def is_ours(self) -> bool:
        """Whether it was made by `create` and is defined as it was then."""
        application = self._row("PRAGMA application_id")[0]
        definitions = self._connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
        ).fetchall()
        return application == _APPLICATION and {text for (text,) in definitions} == {
            text.encode() for text in _DEFINITIONS
        }

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """From that number on, in order. Whatever stands there: see `_text`."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM entries WHERE n > ? ORDER BY n",  # noqa: S608 - a constant
            (after,),
        )
        return map(_entry, rows)

    def newest(self, limit: int) -> list[Entry]:
        """The last ones, the newest last."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM entries ORDER BY n DESC LIMIT ?",  # noqa: S608 - a constant
            (limit,),
        ).fetchall()
        return [_entry(row) for row in reversed(rows)]

    def newest_of(self, kind: str, limit: int) -> list[Entry]:
        """The last ones of a kind, the newest last."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM entries WHERE kind = ? "  # noqa: S608 - a constant
            "ORDER BY n DESC LIMIT ?",
            (kind, limit),
        ).fetchall()
        return [_entry(row) for row in reversed(rows)]

    def has(self, signal: str) -> bool:
        """Whether a signal of that id is there, open or not."""
        found = self._connection.execute(
            "SELECT 1 FROM entries WHERE signal = ? AND kind = 'signal'", (signal,)
        )
        return found.fetchone() is not None

    def faults(self) -> list[str]:
        """What SQLite finds wrong with the file itself."""
        rows = self._connection.execute(f"PRAGMA integrity_check({_FAULTS_MAX})").fetchall()
        told = [_text(text) for (text,) in rows]
        return [] if told == ["ok"] else told

    def close(self) -> None:
        """The last one that closes it moves what is in the WAL into the file."""
        self._connection.close()

    def _insert(self, entries: Sequence[Entry]) -> None:
        self._connection.executemany(
            f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            [entry._replace(payload=entry.payload.decode()) for entry in entries],  # type: ignore[arg-type]
        )

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _set(self, pragma: str) -> None:
        self._connection.execute(f"PRAGMA {pragma}").fetchall()

    def _row(self, query: str) -> tuple[int, ...]:
        row: tuple[int, ...] = self._connection.execute(query).fetchone()
        return row


def _entry(row: Sequence[object]) -> Entry:
    """Of a wrong type nothing is hidden: it becomes what can't be right."""
    n, at_us, kind, signal, payload, previous, hash_ = row
    return Entry(
        n if isinstance(n, int) else -1,
        at_us if isinstance(at_us, int) else -1,
        _text(kind),
        None if signal is None else _text(signal),
        payload if isinstance(payload, bytes) else b"",
        _text(previous),
        _text(hash_),
    )


def _text(value: object) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else repr(value)
