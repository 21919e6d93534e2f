"""Items in a queue, and what becomes of them when their interpreter ends."""

from concurrent import interpreters

queue = interpreters.create_queue()
interp = interpreters.create()
interp.prepare_main(queue=queue)
interp.exec("queue.put('from an interpreter that is gone')")
interp.close()
item = queue.get()
print(item if isinstance(item, str) else repr(item))
