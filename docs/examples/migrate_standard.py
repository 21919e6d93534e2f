"""A program for concurrent.interpreters runs on atoll, on every version."""

import atoll

atoll.install()  # an application's first lines; not for libraries

from concurrent import interpreters

interp = interpreters.create()
queue = interpreters.create_queue()
interp.prepare_main(queue=queue)
interp.exec("queue.put([1, 2, 3])")
print(queue.get(timeout=0.5))
print(interpreters.create is atoll.create)
interp.close()
