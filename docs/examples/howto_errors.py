from concurrent.futures import as_completed

from atoll import InterpreterPoolExecutor


class TooBig(Exception):
    pass


def root(n):
    if n > 100:
        raise TooBig(n)
    return n**0.5


with InterpreterPoolExecutor(2) as pool:
    futures = {pool.submit(root, n): n for n in (25, 144, 81)}
    outcomes = {}
    for future in as_completed(futures):
        try:
            outcomes[futures[future]] = future.result()
        except TooBig as error:  # the very class that this script defines
            outcomes[futures[future]] = f"failed: {error!r}"
for n in sorted(outcomes):
    print(n, outcomes[n])
