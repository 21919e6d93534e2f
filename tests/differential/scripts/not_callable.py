"""call_in_thread() of what cannot be called."""

import threading

from concurrent import interpreters

interp = interpreters.create()
threading.excepthook = lambda args: print("in the thread:", args.exc_type.__name__)
try:
    interp.call_in_thread(1).join()
except TypeError:
    print("TypeError")
