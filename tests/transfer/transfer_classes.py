"""Classes and functions that the tests of the transfer send by reference."""

from __future__ import annotations

import collections
import dataclasses
import enum
from typing import Any

Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Record:
    a: Any
    b: Any = None


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: int
    b: str


class Slots:
    __slots__ = ("a", "b")

    def __init__(self, a: Any, b: Any) -> None:
        self.a = a
        self.b = b

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slots) and (self.a, self.b) == (other.a, other.b)

    __hash__ = None  # type: ignore[assignment]


class SlotsAndDict(Slots):
    pass


class Color(enum.Enum):
    RED = 1
    BLUE = "blue"


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Size(enum.IntEnum):
    SMALL = 5


class Whole(int):
    pass


class Text(str):
    pass


class Items(list):
    pass


class Mapping(dict):
    pass


class Pair(tuple):
    pass


class Group(set):
    pass


class NewArgs:
    def __new__(cls, a: Any, *, b: Any) -> NewArgs:
        made = super().__new__(cls)
        made.v = (a, b)
        return made

    v: Any

    def __getnewargs_ex__(self) -> Any:
        return (self.v[0],), {"b": self.v[1]}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NewArgs) and self.v == other.v

    __hash__ = None  # type: ignore[assignment]


class Node:
    """Anything with attributes, equal only to itself."""

    def __init__(self, x: Any = None) -> None:
        self.x = x

    def method(self) -> Any:
        return self.x


class Appended:
    """Has items, and only append() to take them."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def append(self, item: Any) -> None:
        self.items.append(item)

    def __reduce__(self) -> Any:
        return Appended, (), None, iter(self.items)


class Setter:
    """Says with six parts how its state is set."""

    value: Any = None

    def __reduce__(self) -> Any:
        return Setter, (), self.value, None, None, set_value


def set_value(obj: Setter, state: Any) -> str:
    obj.value = ("set", state)
    return "ignored"


class Watcher:
    """Notes what it sees in its state when it gets it."""

    t: Any
    seen: Any

    def __getstate__(self) -> Any:
        return {"t": self.t}

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        self.seen = self.t[-1]


class ByHash:
    """Hashable by an attribute, so not before it has its state."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByHash) and self.name == other.name


class Reduced:
    """Whatever the test makes of it."""

    def __init__(self, how: Any) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        return self.how()


class Globally:
    """A singleton that crosses by its name."""

    def __reduce__(self) -> str:
        return "THE_ONE"


THE_ONE = Globally()


def function(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def fail(*args: Any) -> None:
    raise ZeroDivisionError(*args)


def refuse_in_receiver(value: Any) -> None:
    raise LookupError("not here")


# ---- exceptions ----


class TwoArguments(Exception):
    def __init__(self, a: Any, b: Any) -> None:
        super().__init__(f"{a}/{b}")
        self.a = a


class OwnReduce(Exception):
    made = "init"

    def __init__(self, value: Any) -> None:
        super().__init__("own")
        self.value = value

    def __reduce__(self) -> Any:
        return make_own_reduce, (self.value,)


def make_own_reduce(value: Any) -> OwnReduce:
    made = OwnReduce(value)
    made.made = "reduce"
    return made


class SlotsError(Exception):
    __slots__ = ("extra",)


class CodedGroup(ExceptionGroup):
    def __new__(cls, message: str, members: Any) -> CodedGroup:
        made = super().__new__(cls, message, members)
        made.code = 1
        return made

    code: int


class DiskError(OSError):
    def __init__(self, disk: str) -> None:
        super().__init__(5, "broken", disk)
        self.disk = disk


class NeverInit(Exception):
    def __init__(self) -> None:
        raise AssertionError("called")


class Hidden(OSError):
    @property
    def errno(self) -> Any:  # type: ignore[override]
        raise AssertionError("looked at")
