"""The binary side of _stdio's streams, for those few programs that use it."""

import io

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._stdio import CreatorStream


class Bytes(io.BufferedIOBase):
    """The ``buffer`` of a stream: bytes are decoded and written as text."""

    def __init__(self, text: "CreatorStream") -> None:
        self._text = text

    def writable(self) -> bool:
        return True

    def write(self, data: "Any", /) -> int:
        raw = bytes(data)
        self._text.write(raw.decode("utf-8", "backslashreplace"))
        return len(raw)

    def flush(self) -> None:
        self._text.flush()

    def fileno(self) -> int:
        return self._text.fileno()

    def isatty(self) -> bool:
        return self._text.isatty()
