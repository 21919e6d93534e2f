"""Dataclasses, enums, named tuples, typed dicts, generics, protocols."""

import dataclasses
import enum
import typing
from collections.abc import Callable

import atoll

interp, other = atoll.create(), atoll.create()
call = interp.call

# ---- dataclasses ----


@dataclasses.dataclass
class Job:
    name: str
    tags: list = dataclasses.field(default_factory=list)
    weight: float = dataclasses.field(default=1.0, compare=False, metadata={"unit": "kg"})
    kinds: typing.ClassVar[set] = {"a"}
    seed: dataclasses.InitVar[int] = 0

    def __post_init__(self, seed):
        self.seeded = seed + 1


@dataclasses.dataclass(frozen=True, order=True)
class Frozen:
    x: int
    y: int = 2


@dataclasses.dataclass(slots=True)
class Slotted:
    a: int
    b: "Frozen" = Frozen(1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tight(Frozen):
    z: list = dataclasses.field(default_factory=lambda: [HELP])


HELP = "help"


def job(j):
    return (
        dataclasses.asdict(j),
        [f.name for f in dataclasses.fields(Job)],
        dataclasses.replace(j, name="new", seed=5).seeded,
        Job("x") == Job("x"),
        Job("x") != Job("y"),
        Job("d").tags,
        dataclasses.fields(Job)[2].metadata["unit"],
        dataclasses.fields(Job)[0].default is dataclasses.MISSING,
        Job.__match_args__,
        Job.kinds,
        repr(j),
    )


j = Job("first", ["t"], seed=3)
assert call(job, j) == job(j)
assert call(lambda: Job("made there")) == Job("made there")
assert type(call(lambda: Job("made there"))) is Job


def frozen(f):
    try:
        f.x = 2
    except dataclasses.FrozenInstanceError:
        pass
    else:
        raise AssertionError
    return f < Frozen(9), hash(f) == hash(Frozen(f.x, f.y)), Frozen(f.x + 1), sorted([Frozen(2), Frozen(1)])


assert call(frozen, Frozen(1)) == frozen(Frozen(1))


def slotted():
    s = Slotted(1)
    t = Tight(x=1)
    return hasattr(s, "__dict__"), hasattr(t, "__dict__"), s, t, t.z, s.b, t == Tight(x=1), Slotted.__slots__


assert call(slotted) == slotted()
assert [type(v) for v in call(slotted)[2:4]] == [Slotted, Tight]
Dynamic = dataclasses.make_dataclass("Dynamic", [("p", int), ("q", int, 4)])
assert call(lambda: Dynamic(1)) == Dynamic(1)


def match(value):
    match value:
        case Frozen(x, 2):
            return "frozen", x
        case Slotted(a):
            return "slotted", a
        case {"k": v}:
            return v


assert [call(match, v) for v in [Frozen(5), Slotted(6), {"k": 7}]] == [("frozen", 5), ("slotted", 6), 7]

# ---- enums ----


class Color(enum.Enum):
    """Colours."""

    RED = 1
    GREEN = enum.auto()
    BLUE = "b"
    ROUGE = 1

    def lower(self):
        return self.name.lower()

    @property
    def pretty(self):
        return f"<{self.lower()}>"

    @classmethod
    def default(cls):
        return cls.RED


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mode(enum.StrEnum):
    READ = enum.auto()
    WRITE = "w"


class Perm(enum.Flag):
    R = 4
    W = 2
    X = 1
    RW = R | W


class IntPerm(enum.IntFlag, boundary=enum.KEEP):
    A = 1
    B = 2


MADE = []


class Planet(enum.Enum):
    EARTH = (5.9e24, 6.3e6)
    MARS = (6.4e23, 3.3e6)
    made = enum.nonmember([])

    def __init__(self, mass, radius):
        self.mass = mass
        self.radius = radius
        MADE.append(mass)

    @property
    def gravity(self):
        return self.mass / self.radius**2


class Coded(str, enum.Enum):
    def __new__(cls, code, text):
        self = str.__new__(cls, code)
        self._value_ = code
        self.text = text
        return self

    ONE = ("1", "one")
    TWO = ("2", "two")


class Empty(enum.Enum):
    def who(self):
        return type(self).__name__


class Filled(Empty):
    A = [1]
    B = {"unhashable": 1}


class Unknown(enum.Enum):
    YES = 1

    @classmethod
    def _missing_(cls, value):
        return cls.YES


@enum.unique
class Weekday(enum.Enum):
    _ignore_ = ["d"]
    vars().update({d: i for i, d in enumerate(["MON", "TUE"])})
    d = None


def color(c):
    return (
        c is Color.RED,
        Color(1) is c,
        Color["ROUGE"] is c,
        c.pretty,
        [m.name for m in Color],
        len(Color),
        list(Color.__members__),
        Color.ROUGE.name,
        c in Color,
        isinstance(c, Color),
        Color.default() is c,
        repr(c),
        str(Color.BLUE),
        Color.GREEN.value,
        Color.__doc__,
        hash(c) == hash(Color.RED),
        Color.RED == Color.ROUGE,
        {Color.RED: 1}[c],
    )


assert call(color, Color.RED) == color(Color.RED)
assert call(lambda: Color.GREEN) is Color.GREEN
assert call(lambda: [*Color]) == [*Color]
assert call(lambda: Color) is Color
assert call(Color, 1) is Color.RED
assert call(Color.BLUE.lower) == "blue"


def closed():
    try:
        Color(99)
    except ValueError:
        pass
    else:
        raise AssertionError
    try:
        Color.RED = 5
    except AttributeError:
        pass
    else:
        raise AssertionError
    try:

        class More(Color):
            pass
    except TypeError:
        return True


assert call(closed)


def others():
    return (
        Level.LOW + 1 == Level.HIGH,
        Level(2) is Level.HIGH,
        sorted([Level.HIGH, Level.LOW]) == [Level.LOW, Level.HIGH],
        Mode.READ.upper(),
        Mode("w") is Mode.WRITE,
        f"{Mode.WRITE}" == "w",
        Perm.R | Perm.W is Perm.RW,
        Perm(6) is Perm.RW,
        Perm.X in ~Perm.RW,
        list(Perm.RW),
        bool(Perm(0)),
        repr(Perm.R | Perm.X),
        IntPerm(9),
        IntPerm.A | 8,
        Planet.MARS.gravity,
        len(MADE),
        Planet.made,
        Coded.ONE.text,
        Coded("2") is Coded.TWO,
        Coded.TWO + "x",
        Filled.A.who(),
        Filled([1]) is Filled.A,
        Filled({"unhashable": 1}) is Filled.B,
        Unknown(17) is Unknown.YES,
        [d.name for d in Weekday],
    )


assert call(others) == others()
assert call(lambda: Perm.R | Perm.X) is Perm.R | Perm.X
assert call(lambda: (Level.LOW, Mode.READ, Coded.ONE, Filled.B)) == (Level.LOW, Mode.READ, Coded.ONE, Filled.B)
assert [type(v) for v in call(lambda: (Level.LOW, Mode.READ, Coded.ONE))] == [Level, Mode, Coded]
assert other.call(lambda c: c is Color.RED, Color.RED)


def default_member(c=Color.GREEN, p=Perm.RW):
    return c is Color.GREEN, p is Perm.RW


assert other.call(default_member) == (True, True)
Functional = enum.Enum("Functional", "A B C")
assert call(lambda: Functional.B.value) == 2
assert call(lambda: Functional.B) is Functional.B

# ---- named tuples and typed dicts ----


class Point(typing.NamedTuple):
    """A point."""

    x: int
    y: int = 0

    def norm(self):
        return abs(self.x) + abs(self.y)


def point(p):
    x, y = p
    return p._replace(x=9), Point(1), p.norm(), p._asdict(), Point._fields, Point._field_defaults, p == (x, y), Point.__doc__


assert call(point, Point(1, -2)) == point(Point(1, -2))
assert type(call(point, Point(3))[0]) is Point


class Movie(typing.TypedDict, total=False):
    title: typing.Required[str]
    year: int


def movie():
    return Movie(title="x", year=1), sorted(Movie.__required_keys__), Movie.__total__, sorted(Movie.__annotations__)


assert call(movie) == movie()

# ---- generics and protocols ----
T = typing.TypeVar("T")
K = typing.TypeVar("K", bound="Stack")
N = typing.TypeVar("N", int, float, covariant=True)
P = typing.ParamSpec("P")
UserId = typing.NewType("UserId", int)
type Alias[A] = list[A] | None


class Stack(typing.Generic[T]):
    def __init__(self):
        self.items: list[T] = []

    def push(self, item: T) -> "Stack[T]":
        self.items.append(item)
        return self


class IntStack(Stack[int]):
    again: "typing.ClassVar[Stack[int]]"


Stack.ints = Stack[int]


class Modern[A, B: str]:
    value: A

    def swap[C](self, a: A, b: B, c: C = None) -> tuple[C, B, A]:
        return c, b, a


@typing.runtime_checkable
class Quacks(typing.Protocol):
    def quack(self) -> str: ...


class Explicit(Quacks):
    pass


class Duck:
    def quack(self):
        return "quack"


def generics():
    return (
        Stack[int]().push(1).items,
        Stack[int] == Stack.ints,
        Stack.__parameters__ == (T,),
        IntStack.__orig_bases__ == (Stack[int],),
        typing.get_args(Stack[str]),
        Modern[int, str].__args__,
        Modern.__type_params__ == Modern.__parameters__,
        Modern().swap(1, "b"),
        Modern.swap.__type_params__[0].__name__,
        Modern.swap.__annotations__["a"] is Modern.__type_params__[0],
        isinstance(Duck(), Quacks),
        isinstance(3, Quacks),
        Explicit().quack(),
        N.__constraints__,
        N.__covariant__,
        K.__bound__ is not None,
        UserId(5),
        UserId.__supertype__,
        Alias[int].__args__,
        Alias.__name__,
        P.__name__,
    )


assert call(generics) == generics()
assert call(lambda: (T, N, P, UserId, Alias)) == (T, N, P, UserId, Alias)
assert call(lambda: (Modern.__type_params__, Alias.__type_params__)) == (Modern.__type_params__, Alias.__type_params__)


def hinted(f: Callable[[Job], Color], *rest: "Stack[UserId]", **kw: typing.Unpack[Movie]) -> Point | None:
    return f


assert call(lambda: hinted.__annotations__) == hinted.__annotations__
assert call(lambda: sorted(Job.__annotations__)) == sorted(Job.__annotations__)
assert call(lambda: Frozen.__annotations__) == {"x": int, "y": int}
assert call(lambda: Modern.__annotations__) == Modern.__annotations__
print("ok")
