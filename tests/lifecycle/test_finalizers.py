"""Finalizers of what an interpreter's __main__ holds: at its end they find their globals, as in a process of its own."""

from __future__ import annotations

import sys

import pytest
from children import run_child

MAKE = '''
import os
TEXT = """
import os, weakref
class Thing:
    def __del__(self):
        os.write(1, b"deleted\\\\n")
def produce():
    try:
        yield
    finally:
        os.write(1, b"finally\\\\n")
thing, producer = Thing(), produce()
next(producer)
"""
'''
TOLD = "deleted\nfinally\n"

ENDERS = {
    "nothing of atoll's": "exec(TEXT, globals())",
    "close": "import atoll; interp = atoll.create(); interp.exec(TEXT); interp.close()",
    "last reference": "import atoll; interp = atoll.create(); interp.exec(TEXT); del interp",
    "end of the process": "import atoll; interp = atoll.create(); interp.exec(TEXT)",
    "put off": "import atoll; interp, queue = atoll.create(), atoll.create_queue()\n"
    "interp.exec(TEXT); interp.prepare_main(queue=queue)\n"
    "interp.exec('queue.put(memoryview(bytearray(9)))'); view = queue.get(); interp.close(); view.release()",
    "standard module": "import atoll, _interpreters; interp = atoll.create(); interp.exec(TEXT)\n"
    "_interpreters.destroy(interp.id)",
}


if sys.version_info < (3, 13):
    del ENDERS["standard module"]  # 3.12 has none


@pytest.mark.parametrize("ender", ENDERS)
def test_run(ender: str) -> None:
    outcome = run_child(f"{MAKE}\n{ENDERS[ender]}")
    assert (outcome.status, sorted(outcome.out.splitlines()), outcome.err) == (0, TOLD.split(), ""), outcome
