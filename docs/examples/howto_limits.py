import atoll


def spin():
    while True:
        pass


def hoard():
    kept = []
    while True:
        kept.append("more" * 1000)


atoll.track_memory()  # early: what is held before is not counted
with atoll.create() as interp:
    interp.limits(cpu_seconds=0.3, memory_bytes=64 << 20)  # for every call from now on
    for func in (spin, hoard):
        try:
            interp.call(func)
        except atoll.ExecutionInterrupted as error:
            print(f"{func.__name__}: {error.__cause__}")
    print("the interpreter goes on:", interp.call(sum, [1, 2]))

    # In a block, one budget for all its calls; afterwards the limits are as before.
    try:
        with interp.limits(wall_seconds=0.3):
            while True:
                interp.call(sorted, "limits")
    except atoll.ExecutionInterrupted as error:
        print("many short calls:", error.__cause__)

    interp.limits()  # no limits any more
    print("unlimited:", interp.call(sum, [1, 2]))
