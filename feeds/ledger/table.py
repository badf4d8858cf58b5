"""EDGE (SQLite): a file of a ledger. Entries are only ever added; what they came to stands beside.

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
from feeds.ledger.state import KeptState

_APPLICATION: Final = 0x71CC6A7E
"""In the file's header, for `file` and for us: this is a ledger of Tickgate."""

_COLUMNS: Final = "n, at, kind, signal, payload, previous, hash"

LAYOUT: Final = 2
"""Of the file, as SQLite's user_version tells. Layout 1 (user_version 0) has no states."""
_LAYOUT_TAKEN: Final = 3
"""Begun with layout 1, and with states since: unused room may have what was freed before."""

_ENTRIES: Final = (
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
_STATES: Final = """CREATE TABLE states (
    n INTEGER PRIMARY KEY,
    state TEXT NOT NULL,
    hash TEXT NOT NULL
)"""
_WITH_STATES: Final = {*_ENTRIES, _STATES}
_DEFINITIONS: Final = {1: {*_ENTRIES}, LAYOUT: _WITH_STATES, _LAYOUT_TAKEN: _WITH_STATES}

_WAL_BYTES_MAX: Final = 16 * 1024 * 1024
"""A longer WAL, as a reader that takes its time leaves one, is cut to that as soon as it is gone.
SQLite moves it into the file every 1,000 pages."""
_CACHE_KIB: Final = 256
_TRIAL_BYTES: Final = 2 * _CACHE_KIB * 1024
"""More than the cache holds: half of it goes to the WAL before anything is committed."""
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
        mode = "mode=ro" if is_left_open(path) else "mode=ro&immutable=1"
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

    @property
    def size_bytes(self) -> int:
        """Of the file, with what waits in the WAL."""
        return self._row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")[
            0
        ]

    @property
    def has_states(self) -> bool:
        return self._layout in (LAYOUT, _LAYOUT_TAKEN)

    @property
    def is_zeroed(self) -> bool:
        """Whether whatever was freed in it was overwritten with zeros."""
        return self._layout == LAYOUT

    def roots(self) -> list[tuple[str, int]]:
        """Its tables and indexes, by name, and the first page of each."""
        rows = self._connection.execute(
            "SELECT name, rootpage FROM sqlite_master WHERE rootpage > 0"
        )
        return [(_text(name), root) for name, root in rows.fetchall()]

    def begin_writing(self) -> None:
        """To be called once it is known to be ours: it changes how the file is written."""
        self._set("journal_mode = WAL")
        self._set("synchronous = FULL")
        # What is freed becomes zeros: `pages` then finds a byte that was changed there.
        self._set("secure_delete = ON")
        # Full within a minute; the default of 2 MiB fills for six.
        self._set(f"cache_size = -{_CACHE_KIB}")
        self._set(f"journal_size_limit = {_WAL_BYTES_MAX}")

    def create(self, first: Entry, before: KeptState | None = None) -> None:
        """All at once, or nothing of it. `before`: what goes on here from another file."""
        with self._at_once():
            self._set(f"application_id = {_APPLICATION}")
            self._set(f"user_version = {LAYOUT}")
            for definition in (*_ENTRIES, _STATES):
                self._connection.execute(definition)
            self._insert([first])
            if before is not None:
                self._insert_state(before)

    def add(self, entries: Sequence[Entry], state: KeptState | None = None) -> None:
        """They are on the disk when this returns, or none of them is.

        `state`, of an entry that is there, takes the place of all but the file's first one.
        """
        with self._at_once():
            if state is not None:
                self._connection.execute(
                    "DELETE FROM states WHERE n >= (SELECT min(n) FROM entries)"
                )
                self._insert_state(state)
            self._insert(entries)

    def try_writing(self) -> None:
        """Writes as much as entries of minutes have, and takes it back; its room in the WAL is
        theirs then."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.execute(
                f"INSERT INTO entries ({_COLUMNS}) "  # noqa: S608 - a constant
                "VALUES (?, 0, 'trial', NULL, zeroblob(?), '', '')",
                (self.last + 1, _TRIAL_BYTES),
            )
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def take_states(self) -> None:
        """A file of layout 1 becomes one of this; its entries stay as they are."""
        with self._at_once():
            self._connection.execute(_STATES)
            self._set(f"user_version = {_LAYOUT_TAKEN}")

    def is_ours(self) -> bool:
        """Whether it was made by `create` and is defined as it was then."""
        application = self._row("PRAGMA application_id")[0]
        rows = self._connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        told = {_text(text) for (text,) in rows.fetchall()}
        return application == _APPLICATION and told == _DEFINITIONS.get(self._layout)

    def states(self) -> list[KeptState]:
        """What goes on here from another file, if any does, and the newest; oldest first."""
        if not self.has_states:
            return []
        rows = self._connection.execute("SELECT n, state, hash FROM states ORDER BY n").fetchall()
        return [
            KeptState(n, text if isinstance(text, bytes) else b"", _text(hash_))
            for n, text, hash_ in rows
        ]

    def entries(self, after: int = 0, until: int | None = None) -> Iterator[Entry]:
        """From that number on, in order. Whatever stands there: see `_text`."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM entries "  # noqa: S608 - a constant
            "WHERE n > ? AND n <= coalesce(?, n) ORDER BY n",
            (after, until),
        )
        return map(_entry, rows)

    def entry(self, n: int) -> Entry | None:
        """None: it is not in this file."""
        return next(iter([*self.entries(n - 1, n)]), None)

    def newest(self, limit: int) -> list[Entry]:
        """The last ones, the newest last."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM entries ORDER BY n DESC LIMIT ?",  # noqa: S608 - a constant
            (limit,),
        ).fetchall()
        return [_entry(row) for row in reversed(rows)]

    @property
    def last(self) -> int:
        """The number of the newest entry; 0: there is none."""
        return self._row("SELECT coalesce(max(n), 0) FROM entries")[0]

    @property
    def first(self) -> int:
        """The number of the oldest entry; 0: there is none."""
        return self._row("SELECT coalesce(min(n), 0) FROM entries")[0]

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

    def copy_to(self, path: Path) -> None:
        """Page by page, as of the moment that it is read as of."""
        with contextlib.closing(sqlite3.connect(path)) as target:
            self._connection.backup(target)

    def settle(self) -> None:
        """Moves what is in the WAL into the file, as far as readers let it."""
        self._set("wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """The last one that closes it moves what is in the WAL into the file."""
        self._connection.close()

    def _insert(self, entries: Sequence[Entry]) -> None:
        self._connection.executemany(
            f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            [entry._replace(payload=entry.payload.decode()) for entry in entries],  # type: ignore[arg-type]
        )

    def _insert_state(self, state: KeptState) -> None:
        self._connection.execute(
            "INSERT INTO states (n, state, hash) VALUES (?, ?, ?)",
            (state.n, state.text.decode(), state.hash),
        )

    @contextlib.contextmanager
    def _at_once(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @property
    def _layout(self) -> int:
        return self._row("PRAGMA user_version")[0] or 1

    def _set(self, pragma: str) -> None:
        self._connection.execute(f"PRAGMA {pragma}").fetchall()

    def _row(self, query: str) -> tuple[int, ...]:
        row: tuple[int, ...] = self._connection.execute(query).fetchone()
        return row


def is_left_open(path: Path) -> bool:
    """Whether somebody writes it, or died while he did: some of it is in the WAL."""
    return path.with_name(path.name + "-wal").exists()


def remove_file(path: Path) -> None:
    """With what SQLite keeps beside it: a new file of that name is not to inherit it."""
    for beside in ("", "-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)


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
