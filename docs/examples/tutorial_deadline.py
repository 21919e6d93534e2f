import atoll


def spin():
    while True:
        pass


with atoll.create() as interp:
    try:
        interp.options(timeout=0.2).call(spin)
    except atoll.ExecutionTimeout as error:
        print(type(error).__name__)
    print("still usable:", interp.call(sum, [1, 2, 3]))
