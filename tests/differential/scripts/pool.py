from concurrent.futures import InterpreterPoolExecutor, as_completed


def square(n):
    return n * n


def fail(n):
    raise ValueError(n)


with InterpreterPoolExecutor(max_workers=2) as pool:
    print(list(pool.map(square, range(10))))
    future = pool.submit(pow, 2, 10)
    print(future.result(), future.done())
    print(sorted(f.result() for f in as_completed([pool.submit(square, n) for n in range(4)])))
    error = pool.submit(fail, 3).exception()
    print(type(error).__name__, error.args)
try:
    pool.submit(square, 1)
except RuntimeError:
    print("RuntimeError after shutdown")
