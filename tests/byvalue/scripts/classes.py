"""Classes of __main__: by value, one in each interpreter, home again."""

import abc
import collections
import functools
import io

import atoll

interp, other = atoll.create(), atoll.create()
call = interp.call


class Plain:
    """Plain's own words."""

    shared = []
    limit: int = 3

    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return type(other) is type(self) and other.x == self.x

    __hash__ = None

    def double(self):
        return Plain(self.x * 2)

    @classmethod
    def of(cls, x):
        return cls(x)

    @staticmethod
    def three():
        return 3

    @property
    def square(self):
        "x squared"
        return self.x**2

    @square.setter
    def square(self, value):
        self.x = value

    @functools.cached_property
    def cube(self):
        return self.x**3

    class Inner:
        depth = 2

        def who(self):
            return type(self).__qualname__


p = Plain(4)
assert call(lambda: Plain(5)) == Plain(5)
assert type(call(lambda: Plain(5))) is Plain
assert call(p.double) == Plain(8)
assert call(Plain.of, 3) == Plain(3)
assert call(Plain.three) == 3
assert call(lambda q: (q.square, q.cube, type(q) is Plain, isinstance(q, Plain)), p) == (16, 64, True, True)


def set_square(q):
    q.square = 10
    return q.x, Plain.square.__doc__, Plain.__doc__, Plain.__hash__, Plain.limit, Plain.__annotations__


assert call(set_square, p) == (10, "x squared", "Plain's own words.", None, 3, {"limit": int})
assert p.x == 4
assert call(lambda: Plain.Inner().who()) == "Plain.Inner"
assert isinstance(call(lambda: Plain.Inner()), Plain.Inner)
assert call(lambda: (Plain.__name__, Plain.__qualname__, Plain.__module__)) == ("Plain", "Plain", "__main__")
assert call(lambda: Plain) is Plain
assert call(lambda c: c.Inner, Plain) is Plain.Inner


# Sent once: the class there stays one class, with a state of its own.
def remember(x):
    Plain.shared.append(x)
    return len(Plain.shared), id(Plain)


first = call(remember, 1)
second = call(remember, 2)
assert (first[0], second[0]) == (1, 2)
assert first[1] == second[1] == call(lambda q: id(type(q)), p)
assert Plain.shared == []
value = 1


def use_value():
    return value, id(Plain)


assert call(use_value) == (1, first[1])
value = 2
assert call(use_value) == (2, first[1])


# Inheritance: from by-value and from importable classes; super().
class Base:
    def who(self):
        return "base"

    def __init_subclass__(cls, /, tag, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.tag = tag
        Base.tags = [*Base.tags, tag]

    tags = []


class Middle(Base, tag="middle"):
    def who(self):
        return "middle " + super().who()


class Mixin:
    def who(self):
        return "mixin " + super().who()


class Last(Mixin, Middle, tag="last"):
    def who(self):
        return "last " + super(__class__, self).who()


assert call(lambda: Last().who()) == "last mixin middle base"
assert call(lambda: [c.__name__ for c in Last.__mro__]) == ["Last", "Mixin", "Middle", "Base", "object"]
assert call(lambda: (Base.tags, Last.tag, Middle.tag)) == (["middle", "last"], "last", "middle")
assert call(lambda: [c.__name__ for c in Base.__subclasses__()]) == ["Middle"]


def make_subclass():
    class Local(Last, tag="local"):
        pass

    return Base.tags, Local.tag, Local().who()


assert call(make_subclass) == (["middle", "last", "local"], "local", "last mixin middle base")


class Text(str):
    def shout(self):
        return Text(self.upper())


class Bag(collections.OrderedDict):
    def __missing__(self, key):
        return key


class Stream(io.StringIO):
    pass


class Number(int):
    def __new__(cls, value, extra="e"):
        self = super().__new__(cls, value)
        self.extra = extra
        return self

    def __add__(self, other):
        return Number(int(self) + int(other), self.extra)


assert call(Text("abc").shout) == "ABC"
assert type(call(Text("abc").shout)) is Text
assert call(lambda b: (b["a"], b["zzz"]), Bag(a=1)) == (1, "zzz")
assert type(call(lambda: Bag(a=1))) is Bag
total = call(lambda n: n + 1, Number(4, "kept"))
assert (total, total.extra, type(total)) == (5, "kept", Number)


# Slots, with private names, inherited, with a dict or without.
class Slotted:
    __slots__ = ("__private", "public", "unset")

    def __init__(self):
        self.__private = 1
        self.public = 2

    def get(self):
        return self.__private, self.public, hasattr(self, "unset"), hasattr(self, "__dict__")


class SlottedChild(Slotted):
    __slots__ = {"more": "described"}


class SlottedWithDict(Slotted):
    __slots__ = ("__dict__", "__weakref__")


class Open(Slotted):
    pass


class Iterated:
    __slots__ = iter(["a", "b"])


s = Slotted()
assert call(s.get) == (1, 2, False, False)
assert call(lambda: SlottedChild().get()) == (1, 2, False, False)
assert call(lambda: SlottedChild.__slots__) == {"more": "described"}
assert call(lambda: SlottedWithDict().get()) == (1, 2, False, True)
assert call(lambda: Open().get()) == (1, 2, False, True)
assert call(lambda o: (type(o).__basicsize__, type(o).__dictoffset__), s) == (Slotted.__basicsize__, 0)
assert call(lambda o: type(o).__slots__, s) == ("__private", "public", "unset")


def iterated():
    i = Iterated()
    i.a = i.b = 1
    return not hasattr(i, "__dict__")


assert call(iterated)


# Abstract base classes, registered ones too.
class Shape(abc.ABC):
    @property
    @abc.abstractmethod
    def area(self): ...

    @classmethod
    @abc.abstractmethod
    def unit(cls): ...


class Square(Shape):
    def __init__(self, a):
        self.a = a

    @property
    def area(self):
        return self.a**2

    @classmethod
    def unit(cls):
        return cls(1)


class Registered:
    pass


Shape.register(Registered)
Shape.register(frozenset)


class Sized(abc.ABC):
    @classmethod
    def __subclasshook__(cls, sub):
        return hasattr(sub, "size") or NotImplemented


class HasSize:
    size = 1


def abstract():
    try:
        Shape()
    except TypeError as error:
        message = str(error)
    return (
        sorted(Shape.__abstractmethods__),
        "abstract" in message,
        isinstance(Square(2), Shape),
        isinstance(Registered(), Shape),
        issubclass(frozenset, Shape),
        issubclass(str, Shape),
        isinstance(HasSize(), Sized),
        Square.unit().area,
    )


assert call(abstract) == abstract() == (["area", "unit"], True, True, True, True, False, True, 1)
assert call(lambda shape: shape.area, Square(3)) == 9


# Metaclasses.
class Meta(type):
    made = []

    def __new__(mcls, name, bases, namespace, **kwargs):
        namespace["added"] = kwargs.get("extra")
        return super().__new__(mcls, name, bases, namespace)

    def __init__(cls, name, bases, namespace, **kwargs):
        super().__init__(name, bases, namespace)
        Meta.made = [*Meta.made, name]

    def __call__(cls, *args):
        instance = super().__call__(*args)
        instance.called = True
        return instance

    def __setattr__(cls, name, value):
        raise AttributeError("closed")

    def __iter__(cls):
        return iter([cls.__name__])

    @property
    def label(cls):
        return f"<{cls.__name__}>"


type.__setattr__(Meta, "made", [])


class Made(metaclass=Meta, extra=1):
    def who(self):
        return __class__.__name__


class MadeChild(Made):
    pass


def metaclass():
    return Made.added, Made().called, list(Made), MadeChild.label, Meta.made, type(MadeChild) is Meta, MadeChild().who()


assert call(metaclass) == metaclass() == (1, True, ["Made"], "<MadeChild>", ["Made", "MadeChild"], True, "Made")
assert type(call(lambda: Made())) is Made
assert type(call(lambda: type("Dynamic", (Made,), {}))()) is not Made


# Descriptors: __set_name__ ran where the class was made.
class Field:
    named = 0

    def __set_name__(self, owner, name):
        self.name = name
        Field.named += 1

    def __get__(self, instance, owner=None):
        return self if instance is None else instance.__dict__.get(self.name, "unset")

    def __set__(self, instance, value):
        instance.__dict__[self.name] = value


class Record:
    one = Field()
    two = Field()


def fields():
    r = Record()
    r.one = 1
    return r.one, r.two, Record.two.name, Field.named


assert call(fields) == fields() == (1, "unset", "two", 2)


# Special methods, set before and after.
class Special:
    def __len__(self):
        return 5

    def __getattr__(self, name):
        return name.upper()

    def __call__(self, x):
        return -x

    def __enter__(self):
        return "in"

    def __exit__(self, *args):
        return True

    def __iter__(self):
        yield from "ab"

    def __class_getitem__(cls, item):
        return (cls.__name__, item)

    def __lt__(self, other):
        return True

    __reversed__ = lambda self: "back"  # noqa: E731


Special.__contains__ = lambda self, x: x == "yes"


def specials(s):
    with s as inside:
        raise ValueError
    return len(s), s.foo, s(3), inside, list(s), Special[int], "yes" in s, "no" in s, s < s, reversed(s)


assert call(specials, Special()) == (5, "FOO", -3, "in", ["a", "b"], ("Special", int), True, False, True, "back")


# Classes that mention themselves and each other.
class Node:
    root = None

    def __init__(self, children=()):
        self.children = list(children)

    def depth(self):
        return 1 + max((child.depth() for child in self.children), default=0)


class Tree(Node):
    pass


Node.root = Tree([Node()])
Node.best = Tree
assert call(lambda: (Node.root.depth(), Node.best is Tree, type(Node.root) is Tree)) == (2, True, True)
assert call(lambda t: t.depth(), Tree([Node([Tree()])])) == 3


# Three interpreters: a copy that is sent on is still the same class.
def ship(cls):
    return cls(1).double(), cls


there = call(lambda: Plain(6))
assert other.call(lambda q: (type(q) is Plain, q.double()), there) == (True, Plain(12))


def pass_on(target, value):
    return target.call(lambda v: v, value)


def hop(target_id, value):
    target = atoll.Interpreter(target_id)
    inner = target.call(lambda v: (v, type(v)), value)
    return type(inner[0]) is type(value), inner[1] is type(value), inner[0]


same, same_class, copy = call(hop, other.id, Plain(3))
assert (same, same_class, copy) == (True, True, Plain(3))
assert type(copy) is Plain
assert other.call(lambda: id(Plain)) == other.call(lambda q: id(type(q)), copy)


# Made in a function, in this interpreter and in that.
def make_class(n):
    class Local:
        size = n

        def me(self):
            return __class__ is Local and type(self) is Local and n

    return Local


L1, L2 = make_class(1), make_class(2)
assert call(lambda a, b: (a().me(), b().me(), a.size, a is b), L1, L2) == (1, 2, 1, False)
assert type(call(L1)) is L1
remote = call(make_class, 3)
assert remote().me() == 3
assert call(lambda c: c().me(), remote) == 3
assert call(lambda c: type(c()) is c and id(c), remote) == call(lambda c: id(c), remote)
print("ok")
