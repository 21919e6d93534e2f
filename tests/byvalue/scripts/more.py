"""Odd and awkward things."""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import functools
import itertools
import logging
import operator
import re
import sys
import threading
import types
import typing
import weakref

import atoll

interp, other = atoll.create(), atoll.create()
call = interp.call

# A chain of helpers and a tower of closures, both deeper than the stack.
exec("def step_0(x):\n    return x\n" + "".join(f"def step_{i}(x):\n    return step_{i - 1}(x) if x else {i}\n" for i in range(1, 1200)))
assert call(step_1199, 0) == 1199  # noqa: F821
tower = lambda: 0  # noqa: E731
for _ in range(1200):
    tower = (lambda below: lambda: below)(tower)


def height(f):
    n = 0
    while f.__closure__:
        f = f()
        n += 1
    return n


assert call(height, tower) == 1200

# Globals of many types.
logger = logging.getLogger("somewhere")
pattern = re.compile(r"(\d+)")
getter = operator.itemgetter(1)
counter = collections.Counter("abca")
chain = collections.ChainMap({"a": 1}, {"b": 2})
weak_keys = weakref.WeakKeyDictionary()
proxy = types.MappingProxyType({"k": [1]})
simple = types.SimpleNamespace(a=1)
partial = functools.partial(pow, 2)
queue = atoll.create_queue()
nested = {"f": [lambda: "nested", (step_0,)]}  # noqa: F821
stream = sys.stderr
count_up = itertools.count(5)
method = [3, 1].__len__
unbound = str.upper
Alias = list[int] | None


class Key:
    pass


key = Key()
weak_keys[key] = "value"


def uses_all():
    return (
        logger.name,
        pattern.match("12").group(1),
        getter([0, 7]),
        counter["a"],
        chain["b"],
        weak_keys[key],
        proxy["k"],
        simple.a,
        partial(5),
        nested["f"][0](),
        nested["f"][1][0]("x"),
        stream is sys.stderr,
        method(),
        unbound("x"),
        Alias == list[int] | None,
        queue.id > 0,
    )


assert call(uses_all) == uses_all()
assert call(lambda: queue) == queue


# __main__ as a module, and its names through it.
import __main__  # noqa: E402


def through_main():
    return __main__.simple.a, __main__.step_0(4)


assert call(through_main) == (1, 4)


# Protocols of copying and pickling of one's own.
class State:
    def __init__(self):
        self.x, self.secret = 1, threading.Lock()

    def __getstate__(self):
        return {"x": self.x}

    def __setstate__(self, state):
        self.__dict__.update(state, restored=True)


class Args:
    def __new__(cls, a, *, b):
        self = super().__new__(cls)
        self.pair = a, b
        return self

    def __getnewargs_ex__(self):
        return (self.pair[0],), {"b": self.pair[1]}


class Reduced:
    def __init__(self, x):
        self.x = x

    def __reduce__(self):
        return rebuild, (type(self), self.x)


def rebuild(cls, x):
    return cls(x * 10)


class Listy(list):
    def __init__(self, *a):
        super().__init__(*a)
        self.tag = "t"


class Dicty(dict):
    pass


state, args, reduced, listy = State(), Args(1, b=2), Reduced(3), Listy([1, 2])
dicty = Dicty(a=state)
dicty.me = dicty


def instances():
    return state.restored, args.pair, reduced.x, listy, listy.tag, dicty["a"] is state, dicty.me is dicty


assert call(instances) == (True, (1, 2), 30, [1, 2], "t", True, True)
assert call(lambda r: r.x, Reduced(3)) == 30
assert call(lambda: Reduced(3)).x == 30
assert type(call(lambda: Args(1, b=2))) is Args
assert call(lambda a: (a.pair, copy.deepcopy(a).pair), Args(5, b=6)) == ((5, 6), (5, 6))
back = call(lambda d: d, dicty)
assert back.me is back
assert back["a"].restored


# Descriptors of all sorts.
class Descriptors:
    slot = property(lambda self: self._slot, doc="documented")
    upper = functools.partialmethod(lambda self, a, b: (a, b), 1)
    static = staticmethod(functools.partial(pow, 2))

    @functools.singledispatchmethod
    def kind(self, x):
        return "other"

    @kind.register
    def _(self, x: int):
        return "int"

    @functools.lru_cache  # noqa: B019
    def cached(self, n):
        return [n]

    @contextlib.contextmanager
    def managed(self):
        yield self

    @classmethod
    @functools.cache
    def only_once(cls):
        return object()

    class special_property(property):
        extra = 5

    computed = special_property(lambda self: "computed", None, None, "its doc")
    computed.note = "noted"


def descriptors():
    d = Descriptors()
    d._slot = 5
    with d.managed() as inside:
        pass
    return (
        d.slot,
        Descriptors.slot.__doc__,
        d.upper(2),
        d.static(3),
        d.kind(1),
        d.kind("x"),
        d.cached(3) is d.cached(3),
        inside is d,
        Descriptors.only_once() is Descriptors.only_once(),
        d.computed,
        Descriptors.computed.__doc__,
        Descriptors.__dict__["computed"].note,
    )


assert call(descriptors) == descriptors()
assert call(Descriptors().kind, 3) == "int"


# Postponed annotations: text here, whatever the version.
@dataclasses.dataclass
class Postponed:
    x: int
    y: typing.ClassVar[list[Postponed]] = []

    def method(self, other: Postponed) -> Undefined:  # noqa: F821
        return other


assert call(lambda: Postponed(1)) == Postponed(1)
assert call(lambda: Postponed.method.__annotations__) == {"other": "Postponed", "return": "Undefined"}
assert call(lambda: Postponed.__annotations__["x"]) == "int"
assert call(lambda: typing.get_type_hints(rebuild)) == {}


# A class with a C-written metaclass or base.
class Chained(collections.UserDict):
    def __missing__(self, k):
        return k * 2


class Thread(threading.Thread):
    def run(self):
        results.append(self.number)


results = []


def run_thread():
    t = Thread()
    t.number = 4
    t.start()
    t.join()
    return results


assert call(run_thread) == [4]
assert results == []
assert call(lambda: Chained()["ab"]) == "abab"


# An importable base with a hook that takes arguments: it ran at home.
class Hooked(typing.TypedDict if False else contextlib.ContextDecorator):
    def __init_subclass__(cls, *, name, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.name = name

    def __enter__(self):
        entered.append(self.name)

    def __exit__(self, *exc):
        return False


class HookedChild(Hooked, name="child"):
    pass


entered = []


@HookedChild()
def decorated():
    return list(entered)


assert call(decorated) == ["child"]
assert entered == []


# exec and threads take functions too.
def program():
    global ran
    ran = True


call(program)
assert call(lambda: ran) is True  # noqa: F821
thread = interp.call_in_thread(lambda x: x + simple.a, 4)
thread.join()
assert thread.future.result() == 5
queue.put(lambda: (simple.a, Key))
queue.put(Key())
got = queue.get()
assert got() == (1, Key)
assert type(queue.get()) is Key


def put_and_get(q):
    q.put([Key, lambda x: (x, simple.a), Key()])


call(put_and_get, queue)
cls, function, instance = queue.get()
assert cls is Key
assert function(3) == (3, 1)
assert type(instance) is Key
call(put_and_get, queue)
assert other.call(lambda q: q.get()[1](5), queue) == (5, 1)


# What was put by somebody whose function is gone meanwhile.
def put_local(q):
    class Local:
        def hello(self):
            return "hello", simple.a

    q.put((Local(), lambda: Local))


put_local(queue)
local, get_class = queue.get()
assert local.hello() == ("hello", 1)
assert type(local) is get_class()
call(put_local, queue)
local, get_class = queue.get()
assert local.hello() == ("hello", 1)
assert type(local) is get_class()


# Its own builtins.
space = {"__builtins__": {"len": lambda x: "own len"}, "__name__": "closed"}
exec("f = lambda: len([])", space)
assert call(space["f"]) == "own len"


# Signalling by a class attribute, changed by the methods there.
class Tally:
    total = 0

    @classmethod
    def add(cls, n):
        cls.total += n
        return cls.total


assert [call(Tally.add, 1), call(Tally.add, 2), call(lambda: Tally.total)] == [1, 3, 3]
assert Tally.total == 0
atoll_queue_id = queue.id
assert call(lambda: atoll.Queue(atoll_queue_id).qsize()) == 0
print("ok")
