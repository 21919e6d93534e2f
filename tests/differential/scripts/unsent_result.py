"""A result that cannot cross."""

from concurrent import interpreters


def generator():
    return (i for i in ())


interp = interpreters.create()
try:
    interp.call(generator)
except Exception as error:
    print(type(error).__name__, isinstance(error, interpreters.NotShareableError))
interp.exec("print('usable')")
