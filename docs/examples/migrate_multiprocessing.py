"""multiprocessing.Pool's program, with what changes marked."""

# from multiprocessing import Pool
from atoll import InterpreterPoolExecutor


def square(x):
    return x * x


# if __name__ == "__main__":           # not needed: the script is never run again
#     with Pool(2) as pool:
with InterpreterPoolExecutor(2) as pool:
    print(list(pool.map(square, range(5))))  # a list there, an iterator here
    print(pool.submit(square, 9).result())  # pool.apply(square, (9,))
