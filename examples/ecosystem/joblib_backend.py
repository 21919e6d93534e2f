"""joblib in interpreters: the same Parallel(), another backend.

pip install 'atoll[joblib]'
python examples/ecosystem/joblib_backend.py
"""

from __future__ import annotations

import time

from joblib import Parallel, delayed, parallel_config

import atoll.joblib  # noqa: F401  # registers the backend


def collatz(start: int) -> int:
    """Steps until 1."""
    steps = 0
    while start != 1:
        start = start // 2 if start % 2 == 0 else 3 * start + 1
        steps += 1
    return steps


# No main guard: nothing runs this file a second time.
numbers = range(1, 20_001)
for backend in ("sequential", "atoll"):
    begun = time.perf_counter()
    with parallel_config(backend=backend, n_jobs=2):
        steps = Parallel()(delayed(collatz)(n) for n in numbers)
    print(f"{backend:10} {time.perf_counter() - begun:6.2f} s, at most {max(steps)} steps")
