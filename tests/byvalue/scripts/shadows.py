"""Classes with attributes whose names a class itself answers to, or its metaclass."""

import atoll

interp = atoll.create()
call = interp.call


def echo(value):
    return value


class Proxy:
    """As mocks and proxies do it."""

    def __init__(self, target):
        self.target = target

    @property
    def __class__(self):
        return type(self.target)

    @property
    def __name__(self):
        return "a proxy"

    @property
    def __doc__(self):
        return "proxied"

    @property
    def __module__(self):
        return "elsewhere"


assert call(lambda p: isinstance(p, dict) and type(p) is Proxy, Proxy({}))
assert call(lambda p: (p.__name__, p.__doc__, p.__module__, Proxy.__name__), Proxy(1)) == (
    "a proxy",
    "proxied",
    "elsewhere",
    "Proxy",
)
assert type(call(echo, Proxy(1))) is Proxy


class Named:
    __name__ = "not the class's"
    __bases__ = 5
    __mro__ = 6


assert call(lambda: (Named().__name__, Named().__bases__, Named().__mro__)) == ("not the class's", 5, 6)
assert call(lambda: (Named.__name__, Named.__bases__)) == ("Named", (object,))


class Inherits(Named):
    pass


assert call(lambda: Inherits().__name__ + Inherits.__name__) == "not the class'sInherits"


class Pretends:
    @property
    def __dict__(self):
        return {"pretended": 1}


class Tight:
    __slots__ = ("x",)

    @property
    def __dict__(self):
        return {"x": self.x}


def no_room():
    tight = Tight()
    tight.x = 1
    try:
        tight.y = 2
    except AttributeError:
        return tight.__dict__
    return None


assert call(lambda: Pretends().__dict__) == {"pretended": 1}
assert call(no_room) == {"x": 1}


class Meta(type):
    @property
    def read(cls):
        return "of the metaclass"

    @property
    def written(cls):
        return "of the metaclass"

    @written.setter
    def written(cls, value):
        raise AssertionError("nobody writes it")


class Under(metaclass=Meta):
    read = "of the class"


Under2 = Meta("Under2", (), {"read": 1, "written": 2})
assert call(lambda: (Under.read, Under().read)) == ("of the metaclass", "of the class")
assert call(lambda: (Under2.written, Under2().read, Under2().written)) == ("of the metaclass", 1, 2)
print("ok")
