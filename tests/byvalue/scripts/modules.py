"""Modules that an import would not find, and modules that it would."""

import importlib.util
import os
import sys
import tempfile
import types

import atoll

interp = atoll.create()
call = interp.call
folder = tempfile.mkdtemp()
path = os.path.join(folder, "loose.py")
with open(path, "w") as file:
    file.write(
        """
LIMIT = 3
class Error(Exception):
    pass
def check(x):
    if x > LIMIT:
        raise Error(x)
    return (__name__, x)
def indirect(x):
    return check(x) + (LIMIT,)
"""
    )

# Loaded by hand: no import there would find it.
spec = importlib.util.spec_from_file_location("loose", path)
loose = importlib.util.module_from_spec(spec)
sys.modules["loose"] = loose
spec.loader.exec_module(loose)
assert call(loose.check, 1) == ("loose", 1)
assert call(loose.indirect, 1) == ("loose", 1, 3)
assert call(lambda: loose.check(2)) == ("loose", 2)
assert call(lambda: "loose" in sys.modules) is False
try:
    call(loose.check, 7)
except atoll.ExecutionFailed as error:
    assert type(error.__cause__) is loose.Error
    assert f'"{path}", line 7' in error.excinfo.errdisplay
else:
    raise AssertionError
loose.LIMIT = 10
assert call(loose.check, 7) == ("loose", 7)

# A module of no file.
synthetic = types.ModuleType("synthetic")
exec("state = []\ndef put(x):\n    state.append(x)\n    return len(state), __name__\ndef get():\n    return state", vars(synthetic))
sys.modules["synthetic"] = synthetic
assert call(synthetic.put, 1) == (1, "synthetic")
assert call(synthetic.put, 1) == (2, "synthetic")
assert call(synthetic.get) == [1, 1]
assert synthetic.state == []

# A namespace that is no module's.
namespace = {"__name__": "cell"}
exec("x = 1\ndef f():\n    return x, __name__\nclass C:\n    y = f", namespace)
assert call(namespace["f"]) == (1, "cell")
namespace["x"] = 2
assert call(namespace["f"]) == (2, "cell")
assert type(call(namespace["C"])) is namespace["C"]

# Found by an import there, once sys.path leads there: by reference.
package = os.path.join(folder, "found_package")
os.mkdir(package)
with open(os.path.join(package, "__init__.py"), "w") as file:
    file.write("imported = 0\n")
with open(os.path.join(package, "part.py"), "w") as file:
    file.write(
        """
import functools
state = []
def remember(x):
    state.append(x)
    return __name__, len(state)
def make():
    def inner(x):
        return remember(x), globals() is __import__("sys").modules[__name__].__dict__
    return inner
class Outer:
    class Inner:
        def method(self):
            return type(self).__qualname__
    @classmethod
    def build(cls):
        return cls()
    @staticmethod
    def static():
        return "static"
def wrapped(f):
    @functools.wraps(f)
    def wrapper(*args):
        return "wrapped", f(*args)
    return wrapper
@wrapped
def decorated(x):
    return remember(x)
def monkey():
    return "original"
def _hidden():
    return "by value", __name__
"""
    )
sys.path.insert(0, folder)
from found_package import part  # noqa: E402

late = atoll.create()
assert late.call(part.remember, 1) == ("found_package.part", 1)
assert late.call(part.remember, 1) == ("found_package.part", 2)
late.exec("import found_package.part as p; assert p.state == [1, 1]")
assert late.call(part.make(), 5) == (("found_package.part", 3), True)
assert part.state == []
assert late.call(part.Outer.Inner().method) == "Outer.Inner"
assert type(late.call(part.Outer.build)) is part.Outer
assert late.call(part.Outer.static) == "static"
assert late.call(part.decorated, 2) == ("wrapped", ("found_package.part", 4))
assert late.call(part.decorated.__wrapped__, 2) == ("found_package.part", 5)
assert late.call(lambda: part.remember(0)) == ("found_package.part", 6)
assert late.call(lambda: part.monkey is part.monkey and part.monkey()) == "original"

# Not what the name says any more: by value, in the module's own globals.
monkey = part.monkey
part.monkey = lambda: "patched"
assert late.call(monkey) == "original"
assert late.call(part.monkey) == "patched"
assert late.call(lambda: part.monkey()) == "original"  # its own, there
late.exec("p.monkey = lambda: 'theirs'")
part.monkey = monkey
assert late.call(part.monkey) == "theirs"
hidden = part._hidden
del part._hidden
assert late.call(hidden) == ("by value", "found_package.part")

# The same name, another file: not what an import there would give.
impostor = importlib.util.module_from_spec(importlib.util.spec_from_file_location("found_package", path))
exec("def who():\n    return 'impostor'", vars(impostor))
sys.modules["found_package"] = impostor
assert late.call(impostor.who) == "impostor"

# Built-in things.
import collections.abc  # noqa: E402

for thing in (
    len,
    int,
    type,
    object,
    type(None),
    type(...),
    type(NotImplemented),
    types.FunctionType,
    types.GeneratorType,
    type({}.keys()),
    collections.OrderedDict,
    os.path.join,
    os.getpid,
    collections.abc.Mapping,
    types.SimpleNamespace,
    str.upper,
    [].append.__class__,
    dict.fromkeys,
    collections.deque,
    os.stat_result,
    ValueError,
    os.fspath,
):
    assert call(lambda x: x, thing) == thing, thing
    assert call(lambda: thing) == thing, thing
assert call([3, 1, 2].count, 1) == 1
assert call("a,b".split, ",") == ["a", "b"]
print("ok")
