import atoll


def average(numbers):
    total = sum(numbers)
    breakpoint()
    return total / len(numbers)


with atoll.create() as interp:
    print("average:", interp.call(average, [1, 2, 6]))
