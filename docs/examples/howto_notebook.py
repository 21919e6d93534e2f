# %% A cell: definitions
import atoll

pool = atoll.InterpreterPoolExecutor(2)
scale = 10


def scaled(n):
    print("working on", n)
    return n * scale


# %% Functions of earlier cells go to the interpreters, with the globals they use
print(list(pool.map(scaled, [1, 2], chunksize=2)))

# %% A cell that rebinds a global: the next call sees the new value
scale = 100
print(pool.submit(scaled, 3).result())

# %% At the end
pool.shutdown()
