"""Interpreter objects as values."""

from concurrent import interpreters

interp, other = interpreters.create(), interpreters.create()
print(interpreters.is_shareable(interp))
try:
    interp.prepare_main(other=other)
    interp.exec("other.exec('print(6 * 7)')")
except Exception as error:
    print(type(error).__name__)
