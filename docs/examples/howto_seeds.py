import random

from atoll import InterpreterPoolExecutor


def throw(job):
    seed, item = job
    rng = random.Random(f"{seed}/{item}")  # a stream of its own for each item
    return sum(rng.randint(1, 6) for _ in range(100))


def sample(seed, workers):
    with InterpreterPoolExecutor(workers) as pool:
        return list(pool.map(throw, [(seed, item) for item in range(1000)]))


print("the same on 1 and 3 workers:", sample(2026, 1) == sample(2026, 3))
print("another seed, other numbers:", sample(2026, 1) != sample(2027, 1))
