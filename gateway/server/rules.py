"""The WebSocket protocol itself: websockets' core without I/O, with a price for every frame.

A frame costs some 10 µs however small it is. Whoever pours them is cut off with 1008 in the middle
of what was read; the rest is not looked at. Where websockets 17.4 is laxer or stricter than
RFC 6455, the RFC is kept: lengths are in their shortest form, control frames come at any time.
"""

from collections.abc import Callable, Generator
from typing import Final

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.server import ServerProtocol
from websockets.streams import StreamReader
from websockets.typing import LoggerLike

from gateway.access.limits import Gcra

_CONTROL_BYTES_MAX: Final = 125
_MASK_BYTES: Final = 4
_LEAST_LENGTHS: Final = {2: 126, 8: 65_536}
"""Of a length in so many bytes: less has a shorter form (RFC 6455, 5.2)."""


class RuledProtocol(ServerProtocol):
    """`now_s` is the event loop's clock. The limits are the class's: a subclass lifts them."""

    frames_per_s = 1_000
    frames_burst = 5_000
    """As many as the largest plan has commands; a pong is a frame too."""
    strangers_frames_per_s = 20
    strangers_frames_burst = 100
    """Until a key was shown."""
    fragments_max = 64
    """Of one message. Real clients send one; 64 KiB in so many is still 1 KiB each."""

    def __init__(
        self, *, max_size: int | None, logger: LoggerLike, now_s: Callable[[], float]
    ) -> None:
        super().__init__(max_size=max_size, logger=logger)
        # Whoever turns it on sees heads and frames whole, and so keys.
        self.debug = False
        self._now_s = now_s
        self._frames = Gcra(self.strangers_frames_per_s, self.strangers_frames_burst)
        self._fragments = 0
        self._message_bytes = 0

    def know(self) -> None:
        """It is no stranger any more."""
        self._frames = Gcra(self.frames_per_s, self.frames_burst)

    def parse(self) -> Generator[None]:
        self.reader = _FrameReader()
        return super().parse()

    def recv_frame(self, frame: Frame) -> None:
        if self._frames.wait_s(self._now_s()):
            self._refuse("too many frames")
        elif self._count_fragments(frame) > self.fragments_max:
            self._refuse("too many fragments")
        else:
            if frame.opcode is Opcode.CLOSE:
                # It may come between fragments, and is answered as anywhere else (Autobahn 7.1.5);
                # websockets 17 would call the message incomplete, and answer 1002.
                self.current_size = None
            super().recv_frame(frame)
            self._leave_room()

    def _count_fragments(self, frame: Frame) -> int:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._fragments = 1
            self._message_bytes = len(frame.data)
        elif frame.opcode is Opcode.CONT:
            self._fragments += 1
            self._message_bytes += len(frame.data)
            if self.max_message_size is not None and self._message_bytes > self.max_message_size:
                raise PayloadTooBig(self._message_bytes, self.max_message_size)
        return self._fragments

    def _leave_room(self) -> None:
        """For a control frame, which is none of the message. websockets limits whatever is next."""
        if self.current_size is not None and self.max_message_size is not None:
            most = max(0, self.max_message_size - _CONTROL_BYTES_MAX)
            self.current_size = min(self.current_size, most)

    def _refuse(self, reason: str) -> None:
        self.fail(CloseCode.POLICY_VIOLATION, reason)
        self.parser_exc = ProtocolError(reason)


class _FrameReader(StreamReader):
    """Tells a length by its place, which is the second of a frame, and by being no mask."""

    def __init__(self) -> None:
        super().__init__()
        self._reads = 0

    def at_eof(self) -> Generator[None, None, bool]:
        """Asked once before each frame."""
        self._reads = 0
        return super().at_eof()

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        self._reads += 1
        is_length = self._reads == 2 and n != _MASK_BYTES
        return self._read_length(n) if is_length else super().read_exact(n)

    def _read_length(self, n: int) -> Generator[None, None, bytearray]:
        length = yield from super().read_exact(n)
        if int.from_bytes(length, "big") < _LEAST_LENGTHS[n]:
            raise ProtocolError("a length in more bytes than needed")
        return length
