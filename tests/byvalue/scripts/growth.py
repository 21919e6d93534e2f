"""Ever new functions and classes: neither side grows."""

import gc
import sys
import weakref

import atoll
from atoll import _core, _rebuild

N = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
interp = atoll.create()
call = interp.call


def remote_size():
    import gc

    from atoll import _core, _rebuild

    gc.collect()
    return (
        len(gc.get_objects()),
        sum(_core._definitions()[:2]),
        len(_rebuild._identities) + len(_rebuild._objects) + len(_rebuild._spaces),
    )


def local_size():
    gc.collect()
    return (
        len(gc.get_objects()),
        sum(_core._definitions()[:2]),
        len(_rebuild._identities) + len(_rebuild._objects) + len(_rebuild._spaces),
    )


def lambdas(n):
    for i in range(n):
        call(lambda: i)


def closures(n):
    for i in range(n):
        held = [i]
        call(lambda: held)


def recursive(n):
    for i in range(n):

        def again(k):
            return k if k == 0 else again(k - 1) + i

        call(again, 1)


def mutual(n):
    for i in range(n):

        def ping(k):
            return k if k == 0 else pong(k - 1)

        def pong(k):
            return k if k == 0 else ping(k - 1)

        call(ping, 3)
        call(pong, 3)


def classes(n):
    for i in range(n):

        class Local:
            number = i

            def me(self):
                return __class__

        assert type(call(lambda: Local())) is Local
        assert call(Local().me) is Local


def namespaces(n):
    for i in range(n):
        namespace = {"__name__": "cell", "items": [i]}
        exec("def f():\n    return items, g\ndef g():\n    return f", namespace)
        namespace["items"].append(namespace["f"])
        call(namespace["g"])


def theirs(n):
    """Functions and classes made there, used here."""
    for _ in range(n):
        made = call(make_there)
        assert call(made) == 1


def make_there():
    class There:
        pass

    def f():
        return 1 if There else 0

    return f


def rebinding(n):
    global bound
    for i in range(n):
        bound = [i]
        call(read_bound)


bound = None


def read_bound():
    return bound


for work, share in [
    (lambdas, 1),
    (closures, 5),
    (recursive, 5),
    (mutual, 10),
    (classes, 25),
    (namespaces, 10),
    (theirs, 25),
    (rebinding, 10),
]:
    n = max(N // share, 2000) // 4
    sizes = {"here": [local_size()], "there": [call(remote_size)]}
    for _ in range(4):
        work(n)
        sizes["here"].append(local_size())
        sizes["there"].append(call(remote_size))
    # What is kept for a while rises to a level within the first rounds; what
    # is never let go rises on.
    for side, measured in sizes.items():
        for first, *rounds in zip(*measured, strict=True):
            level, later = max(rounds[:2]), max(rounds[2:])
            assert later - level < n + 0.3 * max(0, level - first), (work.__name__, side, n, measured)


# And they die at once, not at some later sweep.
def dies():
    class Local:
        pass

    def f():
        return Local, f

    call(f)
    call(lambda: Local())
    return weakref.ref(Local), weakref.ref(f)


refs = dies()
gc.collect()
assert [r() for r in refs] == [None, None]
print("ok")
