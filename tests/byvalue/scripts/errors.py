"""What cannot cross, and what goes wrong on the way."""

import sys
import threading

import atoll

interp = atoll.create()
call = interp.call
lock = threading.Lock()


def refused(function, *args):
    try:
        call(function, *args)
    except atoll.NotShareableError as error:
        return str(error) + " / " + str(error.__cause__)
    raise AssertionError("it crossed")


def uses_lock():
    with lock:
        return 1


def uses_it_through_a_helper():
    return uses_lock()


message = refused(uses_lock)
assert "lock" in message, message
message = refused(uses_it_through_a_helper)
assert "lock" in message, message
message = refused(lambda f: f(), uses_lock)
assert "args[" in message, message


def closure(x):
    def inner():
        return x

    return inner


message = refused(closure(lock))
assert "lock" in message, message
message = refused(closure(open(__file__)))  # noqa: SIM115
assert "TextIOWrapper" in message, message


class Holder:
    lock = lock


assert "lock" in refused(Holder)
assert "lock" in refused(lambda: Holder)

# The same function works once it can.
lock = None


def uses_lock_if_any():
    return lock


assert call(uses_lock_if_any) is None
lock = threading.Lock()
assert "lock" in refused(uses_lock_if_any)
lock = 3
assert call(uses_lock_if_any) == 3


# An import that fails there says so, and leaves nothing half done.
sys.modules["only_here"] = type(sys)("only_here")
import only_here  # noqa: E402

only_here.value = 5


def uses_module():
    return only_here.value


assert call(uses_module) == 5
del sys.modules["only_here"]
assert "only_here" in refused(lambda: only_here)


class Bomb:
    def __reduce__(self):
        raise RuntimeError("boom")


bomb = Bomb()
try:
    call(lambda: bomb)
except atoll.NotShareableError as error:
    chain = []
    while error is not None:
        chain.append(str(error))
        error = error.__cause__
    assert "boom" in chain[-1], chain
else:
    raise AssertionError


class Unbuildable:
    def __reduce__(self):
        return build, ()


def build():
    raise KeyError("not built")


class Fine:
    x = 1


stuck = Unbuildable()


def needs_both():
    return Fine.x, stuck


try:
    call(needs_both)
except Exception as error:  # noqa: BLE001
    found = error
    while found is not None and "not built" not in str(found):
        found = found.__cause__ or found.__context__
    assert found is not None, error
else:
    raise AssertionError
stuck = "not any more"
assert call(needs_both) == (1, "not any more")
assert type(call(lambda: Fine())) is Fine


class Evil:
    def __eq__(self, other):
        raise RuntimeError("compared")

    __hash__ = object.__hash__


evil = Evil()


def uses_evil():
    return type(evil) is Evil


assert call(uses_evil)
evil = Evil()
assert call(uses_evil)
print("ok")
