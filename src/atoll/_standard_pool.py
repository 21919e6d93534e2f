"""What `concurrent.futures.interpreter` is after `atoll.install()`."""

from atoll.futures import BrokenInterpreterPool, InterpreterPoolExecutor

__all__ = ["BrokenInterpreterPool", "InterpreterPoolExecutor"]
