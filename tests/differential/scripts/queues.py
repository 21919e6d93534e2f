import queue
import time

from concurrent import interpreters

q = interpreters.create_queue()
print(q.maxsize, q.qsize(), q.empty(), q.full(), repr(q) == f"Queue({q.id})")
for item in (1, "two", None, (3, b"4"), [5]):
    q.put(item)
print(q.qsize(), [q.get() for _ in range(5)], q.empty())
for do in (q.get_nowait, lambda: q.get(block=False), lambda: q.get(timeout=0)):
    try:
        do()
    except interpreters.QueueEmpty as error:
        print("empty", isinstance(error, queue.Empty))
small = interpreters.create_queue(2)
small.put_nowait("a")
small.put("b", timeout=0)
print(small.maxsize, small.full(), small.qsize())
for do in (lambda: small.put_nowait("c"), lambda: small.put("c", block=False), lambda: small.put("c", timeout=0)):
    try:
        do()
    except interpreters.QueueFull as error:
        print("full", isinstance(error, queue.Full))
print(small.get(), small.get())
for wrong in (-1, "x"):
    try:
        print(interpreters.create_queue(wrong).maxsize)
    except (TypeError, ValueError) as error:
        print(type(error).__name__)

same = interpreters.Queue(q.id)
print(same is q, same == q, hash(same) == hash(q), q != small, q == q.id)
for wrong in ("1", None, 10**6, -1):
    try:
        interpreters.Queue(wrong)
    except Exception as error:
        print(type(error).__name__)

interp = interpreters.create()
interp.prepare_main(q=q, small=small)
interp.exec("q.put([1, {'two': 3}]); small.put(q); print(q.qsize())")
print(q.get(), small.get() is q)
started = time.monotonic()
try:
    q.get(timeout=1)
except interpreters.QueueEmpty:
    print("waited", time.monotonic() - started >= 0.9)
