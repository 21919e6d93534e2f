"""atoll.anyio, on asyncio and on Trio, with the real anyio."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from ecosystem_tasks import adder, count_in, fail_always, here, spin

from atoll import NotShareableError, get_current, sync
from atoll.anyio import current_default_interpreter_limiter, run_sync

LIMIT = 120.0

pytestmark = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def run(backend: str, main: Callable[[], Awaitable[Any]]) -> Any:
    return anyio.run(main, backend=backend)


def test_result(backend: str) -> None:
    async def main() -> Any:
        return await run_sync(pow, 2, 100), await run_sync(adder(3), 4), await run_sync(here)

    number, text, ident = run(backend, main)
    assert (number, text) == (2**100, 7)
    assert ident != get_current().id


def test_exception_keeps_its_type(backend: str) -> None:
    async def main() -> None:
        with pytest.raises(LookupError, match="no such thing"):
            await run_sync(fail_always)
        with pytest.raises(NotShareableError):
            await run_sync(print, threading.Lock())

    run(backend, main)


def test_workers_are_reused(backend: str) -> None:
    async def main() -> set[int]:
        return {await run_sync(here) for _ in range(20)}

    assert len(run(backend, main)) == 1


def test_cancelled_call_has_stopped(backend: str) -> None:
    counter = sync.AtomicInt(0)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(run_sync, spin, counter)
            while counter.load() == 0:
                await anyio.sleep(0.001)
            group.cancel_scope.cancel()
        before = counter.load()
        time.sleep(0.05)
        assert counter.load() == before
        assert await run_sync(pow, 2, 3) == 8

    run(backend, main)


def test_deadline(backend: str) -> None:
    counter = sync.AtomicInt(0)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.2):
                await run_sync(spin, counter)

    run(backend, main)


def test_waiting_call_is_dropped(backend: str) -> None:
    """Cancelled while it waits for the limiter: it never runs."""
    counter, called = sync.AtomicInt(0), sync.AtomicInt(0)

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        async with anyio.create_task_group() as group:

            async def one() -> None:
                await run_sync(spin, counter, limiter=limiter)

            async def other() -> None:
                await run_sync(called.add, 1, limiter=limiter)

            group.start_soon(one)
            while counter.load() == 0:
                await anyio.sleep(0.001)
            group.start_soon(other)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        assert limiter.borrowed_tokens == 0

    run(backend, main)
    assert called.load() == 0


def test_limiter_bounds_what_runs(backend: str) -> None:
    now, most, release = sync.AtomicInt(0), sync.AtomicInt(0), sync.Event()

    async def main() -> None:
        limiter = anyio.CapacityLimiter(2)
        async with anyio.create_task_group() as group:
            for _ in range(8):

                async def one() -> None:
                    await run_sync(count_in, now, most, release, limiter=limiter)

                group.start_soon(one)

    run(backend, main)
    assert now.load() == 0
    assert 1 <= most.load() <= 2


def test_default_limiter(backend: str) -> None:
    async def main() -> tuple[Any, Any]:
        return current_default_interpreter_limiter(), current_default_interpreter_limiter()

    first, second = run(backend, main)
    assert first is second
    assert first.total_tokens >= 1


def test_pool_goes_with_the_loop(backend: str) -> None:
    async def main() -> None:
        await run_sync(pow, 2, 2)

    for _ in range(3):
        run(backend, main)
    end = time.monotonic() + LIMIT
    while any(thread.name.startswith("atoll.anyio") for thread in threading.enumerate()):
        gc.collect()
        assert time.monotonic() < end, "the threads of an event loop that has ended stay"
        time.sleep(0.01)
