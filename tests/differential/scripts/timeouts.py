"""Time-outs below a second."""

import time

from concurrent import interpreters

queue = interpreters.create_queue()
started = time.monotonic()
try:
    queue.get(timeout=0.5)
except interpreters.QueueEmpty:
    print("waited half a second:", time.monotonic() - started >= 0.45)
