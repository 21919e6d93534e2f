"""Functions with state: the standard module refuses most, atoll sends them by value."""

from concurrent import interpreters

interp = interpreters.create()
FACTOR = 3


def with_default(a, b=2):
    return a * b


def with_global(a):
    return a * FACTOR


def with_closure(n):
    def inner(a):
        return a + n

    return inner


def recursive(n):
    return 1 if n == 0 else n * recursive(n - 1)


class Thing:
    def __init__(self, value):
        self.value = value

    def double(self):
        return self.value * 2


cases = {
    "default": lambda: interp.call(with_default, 4),
    "closure": lambda: interp.call(with_closure(1), 2),
    "lambda with a cell": lambda: interp.call((lambda n: lambda a: a + n)(5), 6),
}
for name, do in cases.items():
    try:
        print(name, do())
    except Exception as error:
        print(name, type(error).__name__)
