"""Looking at the threads of one interpreter while others run."""

from __future__ import annotations

import pytest
from children import run_child

WORK = """
import sys, threading
import atoll

def work():
    def deep(n):
        return n and deep(n - 1)
    for _ in range(3000):
        try:
            raise LookupError
        except LookupError:
            deep(50)

def look(function):
    seen = 0
    for _ in range(300):
        seen += len(function())
    return seen > 0
"""


@pytest.mark.parametrize("name", ["_current_frames", "_current_exceptions"])
def test_while_others_run(name: str) -> None:
    run_child(
        f"""{WORK}
interps = [atoll.create() for _ in range(2)]
threads = [interp.call_in_thread(work) for interp in interps]
while any(thread.is_alive() for thread in threads):
    look(sys.{name})
print(interps[0].call(lambda: len(__import__("sys").{name}()) > 0))
"""
    ).check("True\n")


def test_frames_of_this_interpreter() -> None:
    run_child(
        """
import sys, threading
import atoll
ready, end = threading.Event(), threading.Event()
def waiting():
    ready.set()
    end.wait()
thread = threading.Thread(target=waiting)
thread.start()
ready.wait()
frames = sys._current_frames()
names = set()
frame = frames[thread.ident]
while frame is not None:
    names.add(frame.f_code.co_name)
    frame = frame.f_back
print(set(frames) == {threading.get_ident(), thread.ident}, "waiting" in names)
print(frames[threading.get_ident()] is sys._getframe())
try:
    raise KeyError
except KeyError as error:
    print(sys._current_exceptions()[threading.get_ident()] is error)
print(sys._current_exceptions()[thread.ident])
end.set()
"""
    ).check("True True\nTrue\nTrue\nNone\n")


def test_auditing() -> None:
    run_child(
        """
import sys
import atoll
seen = []
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith("sys._current") else None)
sys._current_frames(), sys._current_exceptions()
print(seen)
"""
    ).check("['sys._current_frames', 'sys._current_exceptions']\n")
