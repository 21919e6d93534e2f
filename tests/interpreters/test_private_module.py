"""Interpreters that 3.12's private module made: used with atoll, and ended by either.

Each case runs in a process of its own: what goes wrong here is a crash.
"""

from __future__ import annotations

import pytest
from children import run_child

pytestmark = pytest.mark.python("<3.13")

START = """
import atoll
import _xxsubinterpreters as low
made = low.create()
interp = atoll.Interpreter(int(made))
"""
USES = {
    "untouched": "",
    "called": "assert interp.call(pow, 2, 3) == 8",
    "called in a thread": "interp.call_in_thread(pow, 2, 3).join()",
    "refused": """
assert interp.call(pow, 2, 3) == 8
try:
    interp.close()
except atoll.InterpreterError:
    pass
else:
    raise AssertionError("its first state is not ours to delete")
""",
}
ENDS = {
    "dropped": "del made",
    "destroyed": "low.destroy(made)",
    "left open": "raise SystemExit(0)",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("use", USES)
def test_made_by_the_private_module(use: str, end: str) -> None:
    after = """
assert [i.id for i in atoll.list_all()] == [0]
try:
    interp.call(len, "")
except atoll.InterpreterNotFoundError:
    print("gone")
"""
    child = run_child(START + USES[use] + "\n" + ENDS[end] + "\n" + after)
    child.check("" if end == "left open" else "gone\n")
