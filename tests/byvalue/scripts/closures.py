"""Closures: copied at each send, as any value is."""

import atoll

interp = atoll.create()
call = interp.call


def make_counter(start=0):
    n = start

    def bump():
        nonlocal n
        n += 1
        return n

    def read():
        return n

    return bump, read


bump, read = make_counter(10)


def both(f, g):
    return f(), f(), g()


# Cells are shared within what is sent at once, and copied each time.
assert call(both, bump, read) in [(11, 12, 10), (11, 12, 12)]
assert call(lambda: both(bump, read)) == (11, 12, 12)
assert read() == 10
assert call(bump) == 11
assert call(bump) == 11
assert bump() == 11
assert call(bump) == 12
assert call(read) == 11
bump()
assert call(read) == 12


def make_recursive():
    def factorial(n):
        return 1 if n < 2 else n * factorial(n - 1)

    return factorial


factorial = make_recursive()
assert call(factorial, 6) == 720
assert call(lambda f: f.__closure__[0].cell_contents is f, factorial)


def make_mutual():
    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    return even, odd


even, odd = make_mutual()
assert call(even, 9) is False
assert call(odd, 9) is True

# What it holds: changed in place or bound anew, each call sees it.
items = []


def holder():
    held = items

    def inner():
        held.append("there")
        return list(held)

    return inner


inner = holder()
assert call(inner) == ["there"]
assert call(inner) == ["there"]
items.append("here")
assert call(inner) == ["here", "there"]
assert items == ["here"]


def rebinding():
    value = 1

    def get():
        return value

    before = call(get), call(get)
    value = 2
    return before, call(get)


assert rebinding() == ((1, 1), 2)


def loop():
    results = []
    for i in range(5):
        results.append(call(lambda: i))
        results.append(call(lambda i=i: i))
    return results


assert loop() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


# An empty cell.
def make_empty():
    def f():
        return later

    if len(items) > 100:
        later = 1
    return f


try:
    call(make_empty())
except atoll.ExecutionFailed as error:
    assert error.excinfo.type.__name__ == "NameError"
else:
    raise AssertionError


# Defaults of an inner function are copied each time too; a module's
# function is like its module.
def make_default():
    def f(seen=[]):  # noqa: B006
        seen.append(1)
        return len(seen)

    return f


f = make_default()
assert [call(f), call(f), f(), f(), call(f)] == [1, 1, 1, 2, 3]


def module_level(seen=[]):  # noqa: B006
    seen.append(1)
    return len(seen)


assert [call(module_level), call(module_level), module_level(), call(module_level)] == [1, 2, 1, 3]


# Closures inside containers, attributes, other closures.
def compose(*functions):
    def composed(x):
        for function in functions:
            x = function(x)
        return x

    return composed


assert call(compose(lambda x: x + 1, lambda x: x * 2, str), 3) == "8"
assert call(lambda fs: [f() for f in fs.values()], {"a": lambda: 1, "b": lambda: 2}) == [1, 2]

# Back home: the very same.
assert call(lambda f: f, bump) is bump
assert call(lambda fs: fs, [even, odd, inner])[2] is inner
made = call(lambda: make_counter(5))
assert (made[0](), made[0]()) == (6, 7)
assert made[1].__globals__ is globals()

# In an importable module's function: against that module's globals there.
from collections import namedtuple  # noqa: E402
from contextlib import contextmanager  # noqa: E402


@contextmanager
def managed():
    yield "managed"


def use():
    with managed() as value:
        return value


assert call(use) == "managed"
assert call(lambda: managed.__globals__["__name__"]) == "contextlib"
assert call(lambda: managed.__globals__ is vars(__import__("contextlib")))
Point = namedtuple("Point", "x y", defaults=[7])
assert call(lambda p: p.x + p.y, Point(1, 2)) == 3
assert call(lambda: Point(1)) == Point(1)
assert type(call(lambda: Point(1))) is Point
print("ok")
