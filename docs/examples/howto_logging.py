import logging
import logging.handlers
import sys

import atoll


def set_up(records):
    """Once in each interpreter: whatever is logged goes into the queue."""
    root = logging.getLogger()
    root.handlers[:] = [logging.handlers.QueueHandler(records)]
    root.setLevel(logging.INFO)


def work(n):
    log = logging.getLogger("work")
    log.info("item %d", n)
    try:
        return 12 // n
    except ZeroDivisionError:
        log.error("item %d cannot be done", n)


records = atoll.create_queue()
handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
listener = logging.handlers.QueueListener(records, handler)
listener.start()
with atoll.InterpreterPoolExecutor(1, initializer=set_up, initargs=(records,)) as pool:
    results = list(pool.map(work, [3, 0, 4]))
listener.stop()  # writes what is left
print(results)
