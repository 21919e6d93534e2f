"""Exceptions arrive with all that raising them has left in them."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import transfer_classes as classes

from atoll import _core


def send(error: Any) -> Any:
    got = _core._roundtrip(error)
    assert type(got) is type(error)
    assert got.args == error.args or repr(got.args) == repr(error.args)
    assert str(got) == str(error)
    assert repr(got) == repr(error)
    assert got.__traceback__ is None
    return got


def caught(function: Any, *args: Any) -> BaseException:
    try:
        function(*args)
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_plain() -> None:
    for error in (
        ValueError(),
        ValueError(1, "a", [2]),
        KeyError("x"),
        KeyboardInterrupt(),
        GeneratorExit(),
        Warning("w"),
    ):
        send(error)


def test_members_of_built_in_types() -> None:
    got = send(caught(open, "/does/not/exist"))
    assert (got.errno, got.filename, got.filename2) == (errno.ENOENT, "/does/not/exist", None)
    got = send(OSError(1, "a", "b", None, "c"))
    assert (got.filename, got.filename2) == ("b", "c")
    got = send(BlockingIOError(errno.EAGAIN, "x", 5))
    assert got.characters_written == 5
    error: Any = caught(compile, "a b\n", "file.py", "exec")
    got = send(error)
    names = ("msg", "filename", "lineno", "offset", "text", "end_lineno", "end_offset", "print_file_and_line")
    assert [getattr(got, n) for n in names] == [getattr(error, n) for n in names]
    got = send(caught(b"a\xff".decode))
    assert (got.encoding, got.object, got.start, got.end) == ("utf-8", b"a\xff", 1, 2)
    got = send(caught("a\udc80".encode))
    assert (got.encoding, got.object, got.start, got.end) == ("utf-8", "a\udc80", 1, 2)
    got = send(UnicodeTranslateError("abc", 1, 2, "why"))
    assert (got.object, got.start, got.reason) == ("abc", 1, "why")
    got = send(caught(__import__, "there_is_no_such_module"))
    assert got.name == "there_is_no_such_module"
    got = send(ImportError("m", name="n", path="p"))
    assert (got.msg, got.name, got.path) == ("m", "n", "p")
    got = send(caught(getattr, 1, "attribute"))
    assert got.name == "attribute" and got.obj is None
    got = send(caught(eval, "undefined_name"))
    assert got.name == "undefined_name"
    assert send(StopIteration([5])).value == [5]
    assert send(SystemExit(3)).code == 3
    error = OSError(2, "two")
    error.errno = 7
    assert _core._roundtrip(error).errno == 7


def test_init_is_not_called() -> None:
    got = send(classes.TwoArguments(1, 2))
    assert got.args == ("1/2",) and got.a == 1
    got = send(classes.DiskError("/dev/sda"))
    assert (got.errno, got.strerror, got.filename, got.disk) == (5, "broken", "/dev/sda", "/dev/sda")
    never = classes.NeverInit.__new__(classes.NeverInit, 1)
    assert send(never).args == (1,)
    hidden = classes.Hidden(1, "x")
    assert _core._roundtrip(hidden).strerror == "x"


def test_own_reduce_is_believed() -> None:
    error = classes.OwnReduce([1])
    error.__cause__ = ValueError(1)
    error.add_note("note")
    got = _core._roundtrip(error)
    assert (got.value, got.made) == ([1], "reduce")
    assert got.__cause__.args == (1,) and got.__notes__ == ["note"]


def test_links_and_attributes() -> None:
    error: Any = ValueError("x")
    error.add_note("one")
    error.add_note("two")
    error.attribute = [error]
    error.__context__ = TypeError(2)
    got = send(error)
    assert got.__notes__ == ["one", "two"] and got.attribute[0] is got
    assert got.__context__.args == (2,) and got.__suppress_context__ is False
    error.__cause__ = KeyError(1)
    got = send(error)
    assert got.__cause__.args == (1,) and got.__suppress_context__ is True
    error.__cause__ = None
    got = send(error)
    assert got.__cause__ is None and got.__suppress_context__ is True
    error.__suppress_context__ = False
    assert send(error).__suppress_context__ is False
    error.args = (error, [error])
    got = _core._roundtrip(error)
    assert got.args[0] is got and got.args[1][0] is got


def test_slots() -> None:
    error = classes.SlotsError(1)
    send(error)
    error.extra = [error]
    got = _core._roundtrip(error)
    assert got.extra[0] is got


def test_long_chain() -> None:
    error = ValueError(0)
    for i in range(20_000):
        following = ValueError(i)
        following.__cause__ = error
        error = following
    got = _core._roundtrip(error)
    count = 0
    while got is not None:
        got, count = got.__cause__, count + 1
    assert count == 20_001
    while error is not None:  # so that no C stack is needed to end it
        following = error.__cause__  # type: ignore[assignment]
        error.__cause__ = None
        error = following


def test_groups() -> None:
    group = ExceptionGroup("m", [ValueError(1), ExceptionGroup("n", [KeyError(2)])])
    got = send(group)
    assert got.message == "m" and got.exceptions[1].exceptions[0].args == (2,)
    got = send(BaseExceptionGroup("m", [KeyboardInterrupt(), ValueError()]))
    assert type(got.exceptions[0]) is KeyboardInterrupt
    coded = classes.CodedGroup("m", [ValueError(1)])
    coded.code = 7
    assert _core._roundtrip(coded).code == 7
    member = ValueError(1)
    group = ExceptionGroup("m", [member])
    member.__context__ = group
    member.owner = group  # type: ignore[attr-defined]
    got = send(group)
    assert got.exceptions[0].__context__ is got and got.exceptions[0].owner is got
    got = _core._roundtrip(member)
    assert got.__context__.exceptions[0] is got
    assert got.__context__.split(KeyError)[1].exceptions[0] is got


def test_identity() -> None:
    error = ValueError(1)
    got = _core._roundtrip([error, error, {"e": error}])
    assert got[0] is got[1] is got[2]["e"]


def test_what_cannot_cross_inside() -> None:
    import atoll

    error: Any = ValueError(1)
    error.lock = __import__("_thread").allocate_lock()
    with pytest.raises(atoll.NotShareableError, match=r"^obj\.lock: <class '_thread\.lock'>$"):
        _core._roundtrip(error)
