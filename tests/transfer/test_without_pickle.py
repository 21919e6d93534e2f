"""What the table calls native needs no pickle, not even its import."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys

class Refuser:
    def find_spec(self, name, path=None, target=None):
        if name in ("pickle", "_pickle", "copyreg", "_compat_pickle"):
            raise AssertionError("imported " + name)

for name in ("pickle", "_pickle", "copyreg", "_compat_pickle"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Refuser())
from atoll import _core
shared = [1]
value = [
    None, True, 5, 10**30, 1.5, 2j, "text", "\\u1234", b"b", bytearray(b"b"), (1, ()), [[]], {"a": {1: 2}}, {1},
    frozenset([2]), slice(1, 2), range(5), ..., NotImplemented, shared, (shared, shared),
]
got = _core._roundtrip(value)
assert got == value and got[-1][0] is got[-2]
args, kwargs = _core._roundtrip_args(*value, name=value)
assert list(args) == value and kwargs["name"] == value
assert not {"pickle", "_pickle"} & set(sys.modules)
print("native")
"""


def test_native_values_without_pickle() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "native\n"), done.stderr


def test_objects_without_pickle() -> None:
    code = CODE.replace('"copyreg", ', "").replace(
        'print("native")', 'import decimal, collections; d = decimal.Decimal("1.5")'
    )
    code += (
        "assert _core._roundtrip([d, collections.OrderedDict(a=[d])]) == [d, {'a': [d]}]\nprint('objects')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "objects\n"), done.stderr
