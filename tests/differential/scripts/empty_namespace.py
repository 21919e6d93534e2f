"""prepare_main() with nothing to bind."""

from concurrent import interpreters

interp = interpreters.create()
for args in ((), ({},), (None,)):
    try:
        print(interp.prepare_main(*args))
    except Exception as error:
        print(type(error).__name__)
