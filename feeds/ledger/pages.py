"""The room in a SQLite file that holds nothing: a byte changed there is found too. Pure.

Entries are only ever added, so the pages they are on have zeros between their cells and nothing
else. An index is rebuilt as it grows and leaves pieces of itself: those are counted, not judged.
https://www.sqlite.org/fileformat2.html
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

HEADER_BYTES: Final = 100
_INTERIOR_INDEX, _INTERIOR_TABLE, _LEAF_INDEX, _LEAF_TABLE = 2, 5, 10, 13
_INTERIOR: Final = (_INTERIOR_INDEX, _INTERIOR_TABLE)
_KINDS: Final = (*_INTERIOR, _LEAF_INDEX, _LEAF_TABLE)
_VERSIONS: Final = range(3_007_000, 4_000_000)
"""Of SQLite, as a file names that which wrote it last."""
_COOKIE_MAX: Final = 255
"""How often a file's tables were defined anew: ours a few times, a copy's once."""
_HEADER_UNCHECKED: Final = 5
"""The last byte of that, and the version of SQLite: any of many may be right."""

Read = Callable[[int], bytes]
"""Pages by their number, from 1."""


class RoomError(Exception):
    """A byte is not what SQLite leaves there; the text says where."""


class Tree(NamedTuple):
    """A table or an index of the file."""

    root: int
    is_added_to: bool
    """Whether its rows come in order and stay."""


def page_bytes_of(header: bytes) -> int:
    """Raises RoomError."""
    size = _number(header, 16, 2)
    size = 65_536 if size == 1 else size
    if size < 512 or size & (size - 1):
        raise RoomError("its header names no size of a page")
    return size


def check_header(header: bytes, pages: int) -> int:
    """The file's first 100 bytes; how many of them can't be checked. Raises RoomError."""
    fixed: Mapping[str, tuple[int, int, int]] = {
        "room beside each page's content": (20, 1, 0),
        "payload fractions": (21, 3, 0x402020),
        "number of pages": (28, 4, pages),
        "schema format": (44, 4, 4),
        "size of a cache": (48, 4, 0),
        "largest root": (52, 4, 0),
        "encoding": (56, 4, 1),
        "vacuum": (64, 4, 0),
        "room for later": (72, 20, 0),
        "second count of changes": (92, 4, _number(header, 24, 4)),
    }
    for name, (at, length, right) in fixed.items():
        if _number(header, at, length) != right:
            raise RoomError(f"its header was changed: {name}")
    if header[18] != header[19] or header[18] not in (1, 2):
        raise RoomError("its header was changed: who may read it")
    if _number(header, 40, 4) > _COOKIE_MAX or _number(header, 96, 4) not in _VERSIONS:
        raise RoomError("its header was changed: who wrote it")
    return _HEADER_UNCHECKED


class Room:
    """What was found so far. SQLite itself found the file's structure right before."""

    def __init__(self, read: Read, page_bytes: int, *, is_zeroed: bool) -> None:
        """`is_zeroed`: what was freed was always overwritten (`secure_delete`)."""
        self._read = read
        self._page_bytes = page_bytes
        self._is_zeroed = is_zeroed
        self.unchecked_bytes = 0
        """That hold nothing, and may be anything."""

    def check_tree(self, tree: Tree) -> None:
        """Raises RoomError."""
        waiting = [tree.root]
        while waiting:
            number = waiting.pop()
            page = self._read(number)
            start = HEADER_BYTES if number == 1 else 0
            kind = page[start]
            if kind not in _KINDS:
                raise RoomError(f"page {number} is none of a table")
            cells = _cells(page, start)
            if kind in _INTERIOR:
                waiting.append(_number(page, start + 8, 4))
                waiting += [_number(page, at, 4) for at in cells]
            if kind != _INTERIOR_TABLE:
                for payload_bytes, overflow in self._overflows(page, kind, cells):
                    self._check_overflow(payload_bytes, overflow)
            self._check_page(number, page, start, is_clean=self._is_clean(tree, number, kind))

    def check_free(self, trunk: int) -> None:
        """Pages that nothing uses, by the first of those that list them. Raises RoomError."""
        while trunk:
            page = self._read(trunk)
            count = _number(page, 4, 4)
            self.unchecked_bytes += len(page) - 8 - 4 * count
            for leaf in range(count):
                number = _number(page, 8 + 4 * leaf, 4)
                self._check_zeros(number, self._read(number), 0, self._page_bytes)
            trunk = _number(page, 0, 4)

    def _is_clean(self, tree: Tree, number: int, kind: int) -> bool:
        """Whether a page has zeros between its cells: rows came, and none went."""
        if tree.is_added_to and kind == _LEAF_TABLE:
            return True
        # A root is begun anew when it is full; of an index more than the first page is rearranged.
        is_root = self._is_zeroed and number == tree.root
        kept = (_LEAF_TABLE, _INTERIOR_TABLE) if tree.is_added_to else (_LEAF_INDEX,)
        return is_root and kind in kept

    def _check_page(self, number: int, page: bytes, start: int, *, is_clean: bool) -> None:
        """Between its cells."""
        kind, count = page[start], _number(page, start + 3, 2)
        block, content = _number(page, start + 1, 2), _number(page, start + 5, 2) or 65_536
        gap = start + _header_bytes(kind) + 2 * count
        self.unchecked_bytes += page[start + 7]
        # A table whose rows are exchanged never is without any: then it had none yet.
        is_unused = self._is_zeroed and not count
        if not (is_clean or is_unused):
            self.unchecked_bytes += content - gap
        elif any(page[gap:content]):
            raise RoomError(f"page {number} has something where nothing is kept")
        while block:
            self._check_zeros(number, page, block + 4, block + _number(page, block + 2, 2))
            block = _number(page, block, 2)

    def _check_zeros(self, number: int, page: bytes, begin: int, end: int) -> None:
        """Of what was freed."""
        if not self._is_zeroed:
            self.unchecked_bytes += end - begin
        elif any(page[begin:end]):
            raise RoomError(f"page {number} has something where nothing is kept")

    def _overflows(self, page: bytes, kind: int, cells: list[int]) -> Iterator[tuple[int, int]]:
        """What goes on elsewhere: how many bytes, and where."""
        usable = self._page_bytes
        local_max = usable - 35 if kind == _LEAF_TABLE else (usable - 12) * 64 // 255 - 23
        local_min = (usable - 12) * 32 // 255 - 23
        for cell in cells:
            payload, at = _varint(page, cell + 4 if kind in _INTERIOR else cell)
            if payload > local_max:
                if kind == _LEAF_TABLE:
                    _, at = _varint(page, at)
                local = local_min + (payload - local_min) % (usable - 4)
                local = local if local <= local_max else local_min
                yield payload - local, _number(page, at + local, 4)

    def _check_overflow(self, payload_bytes: int, number: int) -> None:
        while number:
            page = self._read(number)
            payload_bytes -= self._page_bytes - 4
            number = _number(page, 0, 4)
        self.unchecked_bytes -= min(payload_bytes, 0)


def _header_bytes(kind: int) -> int:
    return 12 if kind in _INTERIOR else 8


def _cells(page: bytes, start: int) -> list[int]:
    """Where each one begins."""
    begin = start + _header_bytes(page[start])
    count = _number(page, start + 3, 2)
    return [_number(page, at, 2) for at in range(begin, begin + 2 * count, 2)]


def _number(page: bytes, at: int, length: int) -> int:
    return int.from_bytes(page[at : at + length])


def _varint(page: bytes, at: int) -> tuple[int, int]:
    """A number of 1 to 9 bytes, and where it ends. Raises IndexError."""
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | page[place] & 0x7F
        if page[place] < 0x80:
            return value, place + 1
    return value << 8 | page[at + 8], at + 9
