"""Functions of __main__: code, defaults, attributes, recursion, helpers."""

import functools
import inspect
import os.path
import xml.dom.minidom

import atoll

interp = atoll.create()
call = interp.call
assert __name__ == "__main__"


# Which module a function runs in, and which not.
def where():
    return __name__, "where" in globals(), globals() is vars(__import__("__main__"))


assert call(where) == ("<fake __main__>", False, False)
assert call(lambda: __name__) == "<fake __main__>"


# Recursion, mutual recursion, helpers.
def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)


def is_even(n):
    return n == 0 or is_odd(n - 1)


def is_odd(n):
    return n != 0 and is_even(n - 1)


def helped(n):
    return [factorial(i) for i in range(n)], is_even(n)


assert call(factorial, 20) == factorial(20)
assert call(is_even, 10) is True
assert call(helped, 5) == helped(5)
assert call(lambda: helped(4)) == helped(4)


# Parameters of every kind.
def parameters(a, b=[1], /, c=(2, 3), *args, d, e={"k": "v"}, **kwargs):
    "What parameters() says."
    return a, b, c, args, d, e, kwargs


assert call(parameters, 1, d=2) == parameters(1, d=2)
assert call(parameters, 1, 2, 3, 4, d=5, e=6, f=7) == parameters(1, 2, 3, 4, d=5, e=6, f=7)
assert call(lambda: (parameters.__defaults__, parameters.__kwdefaults__)) == (([1], (2, 3)), {"e": {"k": "v"}})
assert call(lambda: str(inspect.signature(parameters))) == str(inspect.signature(parameters))

# Attributes.
parameters.note = {"x": [1, 2]}


def attributes(function):
    return function.__name__, function.__qualname__, function.__module__, function.__doc__, function.note


assert call(attributes, parameters) == ("parameters", "parameters", "__main__", "What parameters() says.", {"x": [1, 2]})
parameters.note = "changed"
assert call(attributes, parameters)[-1] == "changed"
del parameters.note
assert call(hasattr, parameters, "note") is False
assert call(lambda f: f.__code__.co_filename, parameters) == __file__
assert call(lambda f: f.__code__.co_firstlineno, parameters) == parameters.__code__.co_firstlineno


def annotated(a: int, b: "str" = "x", *c: list[int]) -> dict[str, "int"]:
    return {}


assert call(lambda: annotated.__annotations__) == annotated.__annotations__


def generic[T: int, *Ts, **P](x: T) -> T:
    return x


assert call(lambda: [str(p) for p in generic.__type_params__]) == ["T", "Ts", "P"]
assert call(lambda: generic.__type_params__[0].__bound__) is int
assert call(lambda: generic.__type_params__) == generic.__type_params__
assert call(lambda: generic.__annotations__["x"] is generic.__type_params__[0])


# Generators, coroutines, decorators.
def numbers(n):
    yield from range(n)


class Pause:
    def __await__(self):
        yield "paused"


async def later(n):
    await Pause()
    return [i async for i in ticks(n)]


async def ticks(n):
    for i in range(n):
        yield i


assert call(lambda: list(numbers(4))) == [0, 1, 2, 3]


def drive(n):
    # Not asyncio.run(): on 3.12.1 asyncio in any second interpreter breaks
    # the process's exit.
    coroutine = later(n)
    assert coroutine.send(None) == "paused"
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value


assert call(drive, 3) == [0, 1, 2]


def shouting(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs).upper()

    return wrapper


@shouting
@shouting
def greet(name):
    "Say hello."
    return f"hello {name}"


assert call(greet, "bob") == "HELLO BOB"
assert call(lambda: (greet.__name__, greet.__doc__, greet.__wrapped__.__wrapped__("x"))) == (
    "greet",
    "Say hello.",
    "hello x",
)


@functools.lru_cache(maxsize=100)
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


assert call(fibonacci, 80) == 23416728348467685
assert call(lambda: fibonacci.cache_info().currsize) == 81
assert call(lambda: fibonacci.cache_parameters()) == {"maxsize": 100, "typed": False}
assert call(lambda: fibonacci.__wrapped__.__name__) == "fibonacci"
assert fibonacci.cache_info().currsize == 0


@functools.cache
def cached():
    return object()


assert call(lambda: cached() is cached())


@functools.singledispatch
def describe(x):
    return "something"


@describe.register
def _(x: int):
    return "an int"


@describe.register(list)
def describe_list(x):
    return "a list of " + ", ".join(describe(i) for i in x)


assert call(describe, [1, "x", [2]]) == "a list of an int, something, a list of an int"
assert call(lambda: sorted(t.__name__ for t in describe.registry)) == ["int", "list", "object"]

# Partials and methods of by-value things.
assert call(functools.partial(parameters, 1, d=3)) == parameters(1, d=3)
assert call(functools.partial(lambda *a, **k: (a, k), 1, x=2), 3, y=4) == ((1, 3), {"x": 2, "y": 4})
assert call(lambda: list(map(factorial, range(4)))) == [1, 1, 2, 6]

# Modules: by import there, submodules too.
assert call(lambda: os.path.join("a", "b")) == os.path.join("a", "b")
assert call(lambda: xml.dom.minidom.Node.TEXT_NODE) == 3


def imports_inside():
    import json.decoder

    return json.decoder.JSONDecoder().decode("[1]")


assert call(imports_inside) == [1]


def with_local_module():
    import email.mime.text

    def inner():
        return email.mime.text.MIMEText("x").get_payload()

    return inner


assert call(with_local_module()) == "x"

# A function that was changed is sent anew.
assert call(factorial, 3) == 6
factorial.__code__ = (lambda n: -n).__code__
assert call(factorial, 3) == -3
factorial.__defaults__ = (8,)
assert call(factorial) == -8
factorial.__defaults__ = None


def keywords(*, a=1):
    return a


assert call(keywords) == 1
keywords.__kwdefaults__["a"] = 2
assert call(keywords) == 2
keywords.__kwdefaults__ = {"a": 3}
assert call(keywords) == 3


# Many names, so that the byte code has extended arguments.
for i in range(300):
    globals()[f"name_{i}"] = i
exec("def wide():\n" + "".join(f"    v = name_{i}\n" for i in range(299)) + "    return name_299 + len([v])")
assert call(wide) == 300  # noqa: F821
exec("class Wide:\n" + "".join(f"    v{i} = name_{i}\n" for i in range(300)))


def makes_class():
    class Local:
        x = name_7  # noqa: F821
        y = helped

    return Local.x, Local.y(2)


assert call(makes_class) == (7, helped(2))

# As results: a function made there belongs to this module here.
made = call(lambda: lambda: name_5)  # noqa: F821
assert made() == 5
assert made.__globals__ is globals()
assert made.__module__ == "__main__"
assert call(lambda f: f, factorial) is factorial
assert call(lambda: factorial) is factorial
assert call(lambda: helped) is helped
print("ok")
