"""What only newer Pythons have: lazy imports, sentinels, lazy annotations."""

import sys

import atoll

interp, other = atoll.create(), atoll.create()
call = interp.call

if sys.version_info >= (3, 15):
    exec("lazy import colorsys\nlazy from fractions import Fraction as F", globals())

    def lazily():
        return colorsys.rgb_to_hls(0, 0, 0), F(1, 2)  # noqa: F821

    assert "colorsys" not in sys.modules
    assert call(lazily) == ((0, 0, 0), __import__("fractions").Fraction(1, 2))
    assert call(lazily)[0] == lazily()[0]
    assert call(lazily)[0] == (0, 0, 0)

    MISSING = sentinel("MISSING")  # noqa: F821

    def first(x=MISSING):
        return x is MISSING

    def second():
        return MISSING

    assert call(second) is MISSING
    assert call(first) is True
    assert call(first, MISSING) is True
    assert call(lambda: repr(MISSING)) == repr(MISSING)
    assert other.call(first, MISSING) is True

if sys.version_info >= (3, 14):
    import annotationlib

    def forward(a: Later, b: list[Never]) -> Later:  # noqa: F821
        return a

    def evaluate():
        try:
            forward.__annotations__
        except NameError as error:
            return error.name

    def as_strings():
        return annotationlib.get_annotations(forward, format=annotationlib.Format.STRING)

    assert call(evaluate) == evaluate() == "Later"
    assert call(as_strings) == as_strings() == {"a": "Later", "b": "list[Never]", "return": "Later"}

    class Later:
        here: Later
        size: int = 3

        class Inner:
            pass

        def method(self, other: Inner, *more: size) -> Later:
            return self

    Never = str

    def all_there():
        return (
            forward.__annotations__ == {"a": Later, "b": list[str], "return": Later},
            Later.__annotations__ == {"here": Later, "size": int},
            Later.method.__annotations__ == {"other": Later.Inner, "more": 3, "return": Later},
        )

    assert call(all_there) == all_there() == (True, True, True)
    assert call(lambda: Later.method.__annotations__["return"]) is Later

    # (no syntax here that an older compiler could not read)
    exec('def template(name):\n    t = t"hello {name}"\n    return t.strings, t.values', globals())
    assert call(template, "x") == (("hello ", ""), ("x",))  # noqa: F821
print("ok")
