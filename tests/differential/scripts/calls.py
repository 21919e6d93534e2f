from concurrent import interpreters

interp = interpreters.create()


def add(a, b, *rest, key, **more):
    return (a, b, rest, key, more)


def fail(message):
    raise KeyError(message)


def nested():
    from concurrent import interpreters

    inner = interpreters.create()
    try:
        return inner.call(sum, (1, 2, 3))
    finally:
        inner.close()


print(interp.call(add, 1, 2, key=3), interp.call(add, 1, 2, 3, key=4, other=5))
print(interp.call(nested))
for args in ((), (None,), (1,), ("print",)):
    try:
        interp.call(*args)
    except Exception as error:
        print(len(args), type(error).__name__)
try:
    interp.call(fail, "missing")
except interpreters.ExecutionFailed as failed:
    print(failed.excinfo.type.__name__, failed.excinfo.msg, "fail" in failed.excinfo.errdisplay)
try:
    interp.call(add)
except interpreters.ExecutionFailed as failed:
    print(failed.excinfo.type.__name__)
print(interp.call(len, [1, 2]), interp.is_running())
