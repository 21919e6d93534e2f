"""An endless loop in another interpreter: stopped by a deadline, and by Ctrl-C.

    python examples/stop.py [--wait]

The script presses Ctrl-C itself (it sends itself SIGINT, as a terminal does);
with --wait it leaves that to you.
"""

import argparse
import os
import signal
import threading
import time

import atoll


def spin(began, ended):
    try:
        began.set()
        while True:
            pass
    finally:
        ended.set()


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--wait", action="store_true", help="press Ctrl-C yourself")
args = parser.parse_args()
# A shell that starts a script in the background switches Ctrl-C off for it.
signal.signal(signal.SIGINT, signal.default_int_handler)
began, ended = atoll.sync.Event(), atoll.sync.Event()

with atoll.create() as interp:
    # A deadline.
    start = time.perf_counter()
    try:
        interp.options(timeout=0.5).call(spin, began, ended)
    except atoll.ExecutionTimeout:
        late = time.perf_counter() - start - 0.5
        print(f"deadline of 0.5 s: stopped {late * 1000:.1f} ms after it; its finally ran: {ended.is_set()}")

    # Ctrl-C, while the main thread is in the loop itself.
    began.clear()
    ended.clear()
    pressed = []

    def press():
        began.wait()
        pressed.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    if args.wait:
        print("press Ctrl-C")
    else:
        threading.Thread(target=press).start()
    try:
        interp.call(spin, began, ended)
    except KeyboardInterrupt:
        after = f" after {(time.perf_counter() - pressed[0]) * 1000:.1f} ms" if pressed else ""
        print(f"Ctrl-C: KeyboardInterrupt here{after}; its finally ran: {ended.is_set()}")

    print("the interpreter is as good as before:", interp.call(sum, range(5)))
