"""sys.stdout and sys.stderr of an interpreter whose prints go to its creator.

A finished line is passed on at once; what has no newline yet waits, by
thread, until the line is finished, flush() is called, or the call that wrote
it ends.  So lines of several threads are never mixed.
"""

import _io  # not io: see CreatorStream.__class__
import os
import sys
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    import io
    from typing import Any

    from . import _core
else:
    _core = sys.modules["atoll._core"]  # the package need not be loaded

#: (thread, 1 or 2) -> text without a newline.  C looks at its size.
_pending: dict[tuple[int, int], str] = {}
_streams: "dict[int, CreatorStream]" = {}


class CreatorStream(_io._TextIOBase):
    """A text stream that writes to the stream of the same name in the creator."""

    @property  # type: ignore[misc]
    def __class__(self) -> "type[CreatorStream]":
        """The type, which is an io.TextIOBase by the time that isinstance() has asked.

        To inherit from that class takes 40 KB in every interpreter, most of
        which never load io.
        """
        io = sys.modules.get("io")
        if io is not None:
            io.TextIOBase.register(type(self))
        return type(self)

    # Made by open_stream().
    _creator: int
    _which: int
    mode: str
    name: str

    def __repr__(self) -> str:
        return f"<atoll stream {self.name} of interpreter {self._creator}>"

    def _do(self, method: str, text: str | None) -> "Any":
        result = _core._stream(self._creator, self._which, method, text)
        if result is not NotImplemented:
            return result
        # The creator is gone, or Python is ending there.
        if method == "write" and text is not None:
            data = text.encode("utf-8", "backslashreplace")
            while data:
                data = data[os.write(self._which, data) :]
        elif method == "isatty":
            return os.isatty(self._which)
        elif method == "fileno":
            return self._which
        return None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "backslashreplace" if self._which == 2 else "strict"

    @property
    def line_buffering(self) -> bool:
        return True

    @property
    def buffer(self) -> "io.BufferedIOBase":
        from ._stdio_bytes import Bytes

        return Bytes(self)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return bool(self._do("isatty", None))

    def fileno(self) -> int:
        number = self._do("fileno", None)
        if not isinstance(number, int):
            raise _io.UnsupportedOperation("fileno")
        return number

    def write(self, text: str, /) -> int:
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        end = text.rfind("\n") + 1
        key = (get_ident(), self._which)
        if not end:
            if text:
                _pending[key] = _pending.get(key, "") + text
            return len(text)
        before = _pending.pop(key, "")
        if end < len(text):
            _pending[key] = text[end:]
            self._do("write", before + text[:end])
        else:
            self._do("write", before + text if before else text)
        return len(text)

    def flush(self) -> None:
        if self.closed:
            return
        text = _pending.pop((get_ident(), self._which), "")
        if text:
            self._do("write", text)
        self._do("flush", None)

    def reconfigure(self, **options: object) -> None:
        """Accepted and ignored: the creator's stream decides."""

    def close(self) -> None:
        """As the process's own streams, it is not closed by a close()."""


def flush_thread() -> None:
    """Pass on what this thread has not finished (called when its call ends)."""
    ident = get_ident()
    for which in (1, 2):
        text = _pending.pop((ident, which), None)
        if text:
            _streams[which]._do("write", text)


def open_stream(stream: "Any") -> None:
    """Make what output.c put in its place the stream that it stands for."""
    stream.__class__ = CreatorStream
    stream.mode = "w"
    stream.name = "<stdout>" if stream._which == 1 else "<stderr>"
    _streams[stream._which] = stream
    _core._set_pending(_pending, flush_thread)
