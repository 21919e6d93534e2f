"""atoll.aio, and pools under asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Any

import pytest
from children import LIMIT

import atoll
from atoll import InterpreterPoolExecutor, aio, sync

LONG = 60


def spin(started: Any, counter: Any) -> None:
    started.set()
    while True:
        counter.add(1)


def carried() -> dict[str, str]:
    from atoll.aio import carried

    return carried.get()


async def until_set(event: sync.Event) -> None:
    assert await asyncio.to_thread(event.wait, LONG)


async def has_stopped(counter: sync.AtomicInt) -> None:
    """Until the counter moves no more; never returns if it goes on."""
    before = -1
    while before != (before := counter.load()):
        await asyncio.sleep(0.05)


def run(main: Any) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(LONG):
            return await main

    return asyncio.run(limited())


def test_to_interpreter() -> None:
    async def main() -> list[int]:
        factor = 3
        return await asyncio.gather(*(aio.to_interpreter(lambda n: n * factor, n) for n in range(20)))

    assert run(main()) == [3 * n for n in range(20)]


def test_failure() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await aio.to_interpreter(divmod, 1, 0)
        with pytest.raises(ZeroDivisionError):
            await aio.options(timeout=LONG).to_interpreter(divmod, 1, 0)

    run(main())


def test_closed_with_the_loop() -> None:
    before = len(atoll.list_all())
    seen = []

    async def main() -> None:
        await aio.to_interpreter(int)
        seen.append(len(atoll.list_all()))

    run(main())
    assert seen == [before + 1]
    end = time.monotonic() + LIMIT
    # The pool's end does not wait long for its threads.
    while len(atoll.list_all()) != before or any(
        thread.name.startswith("atoll.aio") for thread in threading.enumerate()
    ):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_cancellation_stops_the_call() -> None:
    async def main() -> None:
        started, counter = sync.Event(), sync.AtomicInt(0)
        task = asyncio.create_task(aio.to_interpreter(spin, started, counter))
        await until_set(started)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await has_stopped(counter)
        assert await aio.to_interpreter(pow, 2, 3) == 8

    run(main())


def test_deadline() -> None:
    async def main() -> None:
        started, counter = sync.Event(), sync.AtomicInt(0)
        with pytest.raises(atoll.ExecutionTimeout):
            await aio.options(timeout=0.05).to_interpreter(spin, started, counter)
        await has_stopped(counter)

    run(main())


def test_carry() -> None:
    async def main() -> None:
        with_trace = aio.options(carry={"traceparent": "00-1-2-01"})
        assert await with_trace.to_interpreter(carried) == {"traceparent": "00-1-2-01"}
        assert await aio.to_interpreter(carried) == {}
        with contextlib.closing(atoll.create()) as interp:
            assert await with_trace.call(interp, carried) == {"traceparent": "00-1-2-01"}

    run(main())


@pytest.mark.parametrize("carry", [{"a": 1}, {1: "a"}, [("a", "b")], "ab"])
def test_bad_carry(carry: Any) -> None:
    with pytest.raises(TypeError):
        aio.options(carry=carry)


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_bad_timeout(timeout: float) -> None:
    with pytest.raises(ValueError):
        aio.options(timeout=timeout)


def test_call() -> None:
    async def main() -> None:
        interp = atoll.create()
        try:
            assert await aio.call(interp, pow, 2, exp=5) == 32
            with pytest.raises(atoll.ExecutionFailed):
                await aio.call(interp, divmod, 1, 0)
            with pytest.raises(TypeError):
                await aio.call(interp, 3)  # type: ignore[arg-type]
            started, counter = sync.Event(), sync.AtomicInt(0)
            task = asyncio.create_task(aio.call(interp, spin, started, counter))
            await until_set(started)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await has_stopped(counter)
        finally:
            await asyncio.to_thread(interp.close, interrupt=True, timeout=LONG)

    run(main())


def test_run_in_executor() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with InterpreterPoolExecutor(1) as pool:
            assert await loop.run_in_executor(pool, pow, 2, 10) == 1024
            with pytest.raises(ZeroDivisionError):
                await loop.run_in_executor(pool, divmod, 1, 0)
            assert await asyncio.wrap_future(pool.submit(pow, 2, 4)) == 16

    run(main())
