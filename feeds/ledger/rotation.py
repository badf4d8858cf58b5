"""EDGE (files): a ledger goes on in a new file, which says what it goes on from.

The commit of its first entry is the moment of it: before that the file has no table, and whoever
opens the ledger takes it away.
"""

from feeds.ledger.audit import Audit
from feeds.ledger.entry import SEGMENT_FORMAT, Entry, Segment, entry_of
from feeds.ledger.sealing import unseal
from feeds.ledger.segments import SegmentFile, settle_name
from feeds.ledger.state import KeptState, kept, state_of
from feeds.ledger.table import Table
from feeds.ledger.track_record import TrackRecords


def begun(
    file: SegmentFile, after: SegmentFile, audit: Audit, records: TrackRecords, now_us: int
) -> tuple[Table, KeptState, Entry]:
    """The new file, on the disk; what it goes on from; its first entry, which nobody has heard.

    `after`: that which ends. Raises sqlite3.Error and OSError: it may be there or not, and is to be
    taken away.
    """
    assert audit.genesis is not None
    state = kept(state_of(audit, records))
    named = after.path.name, audit.entries, audit.head, state.hash
    segment = Segment(audit.genesis.ledger, SEGMENT_FORMAT, file.number, *named)
    entry = entry_of(segment, audit.entries + 1, now_us, audit.head)
    unseal(file.path)
    table = Table.to_write(file.path)
    try:
        table.begin_writing()
        table.create(entry, state)
        settle_name(file.path)
    except BaseException:
        table.close()
        raise
    return table, state, entry
