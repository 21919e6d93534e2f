import io
import pstats
from pathlib import Path

import atoll


def profiled(stats_file, func, *args):
    """Call func under cProfile; the numbers go to a file."""
    try:
        from cProfile import Profile
    except ImportError:  # 3.12: its C part refuses isolated interpreters
        from profile import Profile
    profile = Profile()
    try:
        return profile.runcall(func, *args)
    finally:
        profile.dump_stats(stats_file)


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


with atoll.create() as interp:
    print("fib(15) =", interp.call(profiled, "fib.prof", fib, 15))
text = io.StringIO()
stats = pstats.Stats("fib.prof", stream=text)
stats.sort_stats("calls").print_stats("fib")
calls = next(line for line in text.getvalue().splitlines() if line.endswith("(fib)"))
print("calls of fib:", calls.split("/")[0].strip())
Path("fib.prof").unlink()
