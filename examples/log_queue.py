"""Logging from many interpreters into one place: QueueHandler on an atoll queue.

    python examples/log_queue.py [--workers N] [--lines N]

Each interpreter logs through logging.handlers.QueueHandler; a QueueListener in
the main interpreter writes all of it, through the handlers that only it has.
"""

import argparse
import logging
import logging.handlers
import sys

import atoll


def work(queue, number, lines):
    """Runs in an interpreter: logs as any program does."""
    import logging
    import logging.handlers

    root = logging.getLogger()
    root.handlers[:] = [logging.handlers.QueueHandler(queue)]
    root.setLevel(logging.INFO)
    log = logging.getLogger(f"worker.{number}")
    for line in range(lines):
        log.info("line %d of %d", line + 1, lines)
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("it went wrong")


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--workers", type=int, default=3, metavar="N")
parser.add_argument("--lines", type=int, default=3, metavar="N")
args = parser.parse_args()

queue = atoll.create_queue()
handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
listener = logging.handlers.QueueListener(queue, handler)
listener.start()
interps = [atoll.create() for _ in range(args.workers)]
threads = [interp.call_in_thread(work, queue, n, args.lines) for n, interp in enumerate(interps)]
for thread in threads:
    thread.future.result()
    thread.join()
listener.stop()
for interp in interps:
    interp.close()
