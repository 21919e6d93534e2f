import io
import types

from concurrent import interpreters


class Thing:
    pass


def plain():
    pass


interp, queue = interpreters.create(), interpreters.create_queue()
named = {
    "None": None, "bool": True, "int": 1, "huge": 10**100, "float": 1.0, "str": "s", "bytes": b"b", "tuple": (1, "a"),
    "memoryview": memoryview(b"x"), "queue": queue,
    "module": types, "file": io.StringIO, "class": Thing, "object": object(),
}
for name, value in named.items():
    print(name, interpreters.is_shareable(value))
try:
    interpreters.is_shareable()
except TypeError:
    print("is_shareable() needs an argument")
for name, value in {"generator": (i for i in ()), "file": open(__file__), "lock": __import__("_thread").allocate_lock()}.items():
    for do in (lambda: interp.call(len, value), lambda: interp.prepare_main(x=value), lambda: queue.put(value)):
        try:
            do()
        except interpreters.NotShareableError:
            print(name, "NotShareableError")
        except Exception as error:
            print(name, type(error).__name__)
print(queue.qsize(), queue.empty())
interp.exec("print('x' in globals())")
