"""Puts atoll in the place of the standard module, at the start of every interpreter.

`tests/cpython/run.py` puts this folder on PYTHONPATH, so that child processes
and interpreters that CPython's tests make by other means have it too.
"""

import os

if os.environ.get("ATOLL_CPYTHON_TESTS") == "atoll":
    import atoll

    atoll.install()
