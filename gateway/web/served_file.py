"""A file as browsers get it: read and compressed once, and sent again only where it has changed."""

import gzip
import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response


class ServedFile(NamedTuple):
    """Make one with `ServedFile.of`."""

    media_type: str
    plain: bytes
    packed: bytes
    """gzip."""
    tag: str

    @classmethod
    def of(cls, media_type: str, plain: bytes) -> "ServedFile":
        tag = f'"{hashlib.sha256(plain).hexdigest()[:20]}"'
        return cls(media_type, plain, gzip.compress(plain, 9, mtime=0), tag)

    def answer(self, request: Request, headers: Mapping[str, str]) -> Response:
        """The smaller of both, or 304."""
        told = {**headers, "ETag": self.tag, "Vary": "Accept, Accept-Encoding"}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=told)
        body = self.plain
        if "gzip" in request.headers.get("accept-encoding", "") and len(self.packed) < len(body):
            told["Content-Encoding"] = "gzip"
            body = self.packed
        return Response(body, headers=told, media_type=self.media_type)
