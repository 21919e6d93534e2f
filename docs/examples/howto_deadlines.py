import threading
import time

import atoll
from atoll import InterpreterPoolExecutor


def spin(log):
    try:
        while True:
            pass
    finally:
        log.put("finally ran")


log = atoll.create_queue()
with atoll.create() as interp:
    # A deadline for one call.
    try:
        interp.options(timeout=0.2).call(spin, log)
    except atoll.ExecutionTimeout:
        print("call: stopped at its deadline;", log.get())

    # From another thread, whenever it likes.
    threading.Timer(0.2, interp.interrupt).start()
    try:
        interp.call(spin, log)
    except atoll.ExecutionInterrupted:
        print("call: interrupted;", log.get())

with InterpreterPoolExecutor(2) as pool:
    # A deadline for a task: from the moment it begins to run.
    late = pool.options(timeout=0.2).submit(spin, log)
    print("task:", type(late.exception()).__name__)

    # Or stop the one that runs; cancel() only drops one that still waits.
    running = pool.submit(spin, log)
    while not running.running():
        time.sleep(0.01)
    running.interrupt()
    print("task:", type(running.exception()).__name__)
    print("and the pool goes on:", pool.submit(sum, [1, 2]).result())
