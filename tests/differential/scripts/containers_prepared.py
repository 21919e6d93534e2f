"""Containers and instances in prepare_main()."""

from concurrent import interpreters

interp = interpreters.create()
for value in ([1], {"a": 1}, {1}, range(3), slice(1), bytearray(b"x")):
    try:
        interp.prepare_main(value=value)
        interp.exec("print(type(value).__name__)")
    except interpreters.NotShareableError:
        print("NotShareableError")
