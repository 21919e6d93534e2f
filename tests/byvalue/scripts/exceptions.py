"""Exceptions of __main__."""

import traceback

import atoll

interp = atoll.create()
call = interp.call


class Problem(Exception):
    """A problem."""

    def __init__(self, code, *, detail=None):
        super().__init__(f"problem {code}")
        self.code = code
        self.detail = detail


class Worse(Problem, LookupError):
    pass


class Stop(BaseException):
    pass


class Group(ExceptionGroup):
    def derive(self, excs):
        return Group(self.message, excs)


def fail(cls, *args, **kwargs):
    raise cls(*args, **kwargs)  # this line


def cause_of(function, *args, **kwargs):
    try:
        call(function, *args, **kwargs)
    except atoll.ExecutionFailed as error:
        return error, error.__cause__
    raise AssertionError("nothing raised")


error, cause = cause_of(fail, Problem, 7, detail=[1, 2])
assert type(cause) is Problem
assert (cause.code, cause.detail, cause.args) == (7, [1, 2], ("problem 7",))
assert error.excinfo.type.__name__ == "Problem"
assert error.excinfo.type.__module__ == "__main__"
assert error.excinfo.msg == "problem 7"
# The right file, line and text of the line.
assert f'File "{__file__}", line {fail.__code__.co_firstlineno + 1}' in error.excinfo.errdisplay
assert "raise cls(*args, **kwargs)  # this line" in error.excinfo.errdisplay, error.excinfo.errdisplay

error, cause = cause_of(fail, Worse, 8)
assert type(cause) is Worse
try:
    raise cause
except LookupError as caught:
    assert isinstance(caught, Problem)


def handled(kind):
    try:
        fail(kind, 1)
    except Worse as e:
        return "worse", e.code
    except Problem as e:
        return "problem", e.code


assert call(handled, Worse) == ("worse", 1)
assert call(handled, Problem) == ("problem", 1)


def catch(function):
    try:
        function()
    except Problem as e:
        return e


made = Problem(3, detail="d")


def raise_made():
    raise made


back = call(catch, raise_made)
assert type(back) is Problem
assert (back.code, back.detail) == (3, "d")


def chained():
    try:
        fail(Problem, 1)
    except Problem as e:
        e.add_note("a note")
        raise Worse(2) from e


error, cause = cause_of(chained)
assert type(cause) is Worse
assert type(cause.__cause__) is Problem
assert cause.__cause__.__notes__ == ["a note"]


def grouped():
    raise Group("several", [Problem(1), Worse(2), ValueError(3)])


error, cause = cause_of(grouped)
assert type(cause) is Group
assert [type(e) for e in cause.exceptions] == [Problem, Worse, ValueError]
try:
    raise cause
except* Worse as group:
    assert [e.code for e in group.exceptions] == [2]
except* (Problem, ValueError) as group:
    assert len(group.exceptions) == 2
try:
    call(fail, Stop)
except atoll.ExecutionFailed as error:
    assert error.excinfo.type.__name__ == "Stop"
text = "".join(traceback.format_exception(cause))
assert "problem 1" in text
print("ok")
