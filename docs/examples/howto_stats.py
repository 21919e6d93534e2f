import sys

import atoll
from atoll.sync import Event


def serve(started, finish):
    started.set()
    finish.wait()


def fail():
    raise ValueError("bad input")


started, finish = Event(), Event()
with atoll.create(name="parser") as interp:
    assert interp.call(sum, [1, 2, 3]) == 6
    try:
        interp.call(fail)
    except atoll.ExecutionFailed:
        pass
    thread = interp.call_in_thread(serve, started, finish)
    started.wait()

    # Numbers since the interpreter was made.
    for name, value in interp.stats().items():
        print(f"{name:17} {value}")

    # What each of its threads is doing now.
    print()
    for stack in interp.stacks():
        print(stack)

    # The same of all interpreters, the most recent call first.
    print()
    atoll.dump_stacks(sys.stdout)  # or a file descriptor; sys.stderr if no file is named
    finish.set()
