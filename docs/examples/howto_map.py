from atoll import InterpreterPoolExecutor


def collatz(n):
    """How many steps it takes from n to 1."""
    steps = 0
    while n != 1:
        n = 3 * n + 1 if n % 2 else n // 2
        steps += 1
    return steps


with InterpreterPoolExecutor(2) as pool:
    # Cheap calls in any number: the pool sends many at once, as many as pay.
    steps = list(pool.map(collatz, range(1, 5001)))
    print("the longest way below 5,000:", max(steps), "steps, from", steps.index(max(steps)) + 1)

    # An input without end: so many results wait at most, no more is read.
    endless = iter(range(1, 10**12))
    for n, count in zip(range(1, 4), pool.map(collatz, endless, buffersize=100)):
        print(n, count)
