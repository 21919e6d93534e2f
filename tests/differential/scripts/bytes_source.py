"""Source text as bytes."""

from concurrent import interpreters

interp = interpreters.create()
try:
    interp.exec(b"print('bytes')")
except TypeError:
    print("TypeError")
