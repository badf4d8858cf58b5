"""What can go wrong with a ledger's files, as the one kind of error that its callers know."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feeds.errors import LedgerError
from feeds.ledger.audit import WrongEntryError


@contextmanager
def told_as_ledger_errors(path: Path) -> Iterator[None]:
    """What can go wrong, as one kind of error."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(f"the ledger {path} can't be used: {error}") from error
    except WrongEntryError as error:
        raise LedgerError(f"the ledger {path} is wrong: {error}") from error
