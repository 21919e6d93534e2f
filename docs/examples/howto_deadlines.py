import threading
import time

import atoll
from atoll import InterpreterPoolExecutor


def spin():
    while True:
        pass


def spin_and_tell(log):
    try:
        log.put("spinning")
        spin()
    finally:
        log.put("finally ran")


with atoll.create() as interp:
    # A deadline for one call.
    try:
        interp.options(timeout=0.2).call(spin)
    except atoll.ExecutionTimeout:
        print("call: stopped at its deadline")

    # From another thread, whenever it likes.
    log = atoll.create_queue()

    def stop():
        print("call:", log.get())
        interp.interrupt()

    threading.Thread(target=stop).start()
    try:
        interp.call(spin_and_tell, log)
    except atoll.ExecutionInterrupted:
        print("call: interrupted;", log.get())

with InterpreterPoolExecutor(2) as pool:
    # A deadline for a task: from the moment it begins to run.
    late = pool.options(timeout=0.2).submit(spin)
    print("task:", type(late.exception()).__name__)

    # Or stop the one that runs; cancel() only drops one that still waits.
    running = pool.submit(spin)
    while not running.running():
        time.sleep(0.01)
    running.interrupt()
    print("task:", type(running.exception()).__name__)
    print("and the pool goes on:", pool.submit(sum, [1, 2]).result())
