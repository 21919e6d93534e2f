"""expose(): lets `atoll top` look at this process."""

from __future__ import annotations

import atexit
import os
import socket
import stat
import tempfile

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

__all__ = ["Exposure", "expose"]

#: What a Unix socket's address has room for, on the smallest system.
_LONGEST = 100


def _private(folder: str) -> bool:
    """Is folder ours alone?  Made if it is not there."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    except OSError:
        return False
    found = os.lstat(folder)  # a link, somebody else's perhaps, is not followed
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def folders() -> Iterator[str]:
    """Where the sockets may be, the best place first."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isabs(runtime):
        yield os.path.join(runtime, "atoll")
    for top in dict.fromkeys((tempfile.gettempdir(), "/tmp")):
        yield os.path.join(top, f"atoll-{os.geteuid()}")


def socket_path(folder: str, pid: int) -> str:
    return os.path.join(folder, f"{pid}.sock")


class Exposure:
    """What expose() returns: close() ends it, as does the end of a with block.

    path: the socket's.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"<atoll.Exposure {self.path!r}{'' if _current is self else ', closed'}>"

    def close(self) -> None:
        """Stop answering; harmless a second time."""
        global _current
        if _current is not self:
            return
        _current = None
        atexit.unregister(self.close)
        if os.getpid() != self._pid:
            return  # the parent's: not ours to remove
        _core._unexpose()
        try:
            os.unlink(self.path)
        except OSError:
            pass

    def __enter__(self) -> Exposure:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


_current: Exposure | None = None


def _forget() -> None:
    """In a child after fork: the parent's socket is not ours."""
    global _current
    _current = None


os.register_at_fork(after_in_child=_forget)


def expose() -> Exposure:
    """Let `atoll top PID` show this process's interpreters.

    Opens a Unix socket that only the same user (and root) can reach: in
    ``$XDG_RUNTIME_DIR/atoll``, or else in a folder ``atoll-UID`` of the
    temporary folder, with permissions 0700.  Starts no Python thread: atoll's C
    helper thread waits for who asks, and a C thread that exists only meanwhile
    answers.

    Returns a handle with ``path`` and ``close()``, which is a context manager;
    the end of the process closes it, too.  A second call returns the same
    handle.  A child after fork is not exposed.  Only one interpreter of a
    process can do it: InterpreterError in another one, while it is.  OSError if
    there is no place for the socket.
    """
    global _current
    if _current is not None:
        return _current
    for folder in folders():
        path = socket_path(folder, os.getpid())
        if len(os.fsencode(path)) <= _LONGEST and _private(folder):
            break
    else:
        raise OSError("there is no private folder for the socket: set XDG_RUNTIME_DIR to one")
    if not _core._expose_begin():
        from ._errors import InterpreterError

        raise InterpreterError("another interpreter of this process has called expose()")
    try:
        try:
            os.unlink(path)  # of an earlier process of this number
        except FileNotFoundError:
            pass
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            os.chmod(path, 0o600)
            listener.listen(128)
            _core._expose(listener)
    except BaseException:
        _core._unexpose()
        raise
    _current = Exposure(path)
    atexit.register(_current.close)
    return _current
