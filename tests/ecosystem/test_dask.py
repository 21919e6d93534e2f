"""atoll.dask on a real cluster: a scheduler and two workers in processes, over TCP."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import dask
import dask.bag
import ecosystem_tasks as tasks
import pytest
from distributed import Client, LocalCluster, Reschedule, as_completed, wait

from atoll import dask as atoll_dask
from atoll import sync

LIMIT = 120


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=2,
        threads_per_worker=2,
        processes=True,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as made:
        yield made


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster) as made:
        made.wait_for_workers(2, timeout=LIMIT)
        yield made


def test_tasks_run_in_interpreters_of_the_workers(client: Client) -> None:
    got = client.gather(atoll_dask.map(client, tasks.process_and_interpreter, range(40), pure=False))
    processes = {pid for pid, _ in got}
    assert os.getpid() not in processes
    assert processes <= {
        info["pid"] for info in client.run(lambda dask_worker: {"pid": os.getpid()}).values()
    }
    assert all(ident > 0 for _, ident in got)


def test_results_and_arguments(client: Client) -> None:
    base = client.submit(pow, 2, 10)  # a future of Dask's own as an argument
    assert atoll_dask.submit(client, pow, base, 2).result(LIMIT) == 2**20
    assert atoll_dask.submit(client, sorted, [3, 1, 2], reverse=True).result(LIMIT) == [3, 2, 1]
    assert client.gather(atoll_dask.map(client, tasks.adder(5), range(4))) == [5, 6, 7, 8]


def test_exceptions(client: Client) -> None:
    future = atoll_dask.submit(client, tasks.fail_with, 7)
    with pytest.raises(LookupError) as caught:
        future.result(LIMIT)
    assert caught.value.args == (7, "no such number")


def test_retries(client: Client, tmp_path: Any) -> None:
    path = str(tmp_path / "tries")
    assert atoll_dask.submit(client, tasks.fail_until, path, 3, retries=5).result(LIMIT) == 3


def test_cancellation_stops_the_code(client: Client, tmp_path: Any) -> None:
    path = tmp_path / "moving"
    future = atoll_dask.submit(client, tasks.append_forever, str(path))
    end = time.monotonic() + LIMIT
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    future.cancel()
    while True:
        size = path.stat().st_size
        time.sleep(0.3)
        if path.stat().st_size == size:
            break
        assert time.monotonic() < end, "a cancelled task goes on"
    # The workers go on, too.
    assert sorted(client.gather(atoll_dask.map(client, abs, range(8)))) == list(range(8))


class FakeWorker:
    """What a plugin sees of a Dask worker."""

    def __init__(self, state: str) -> None:
        self.metrics: dict[str, Any] = {}
        self.state = SimpleNamespace(nthreads=1, tasks={"key": SimpleNamespace(state=state)})


@pytest.mark.parametrize("blocked", [False, True])
def test_cancelled_while_it_is_sent(monkeypatch: pytest.MonkeyPatch, blocked: bool) -> None:
    """Its call is stopped, running or not, as soon as there is one."""
    plugin, worker = atoll_dask.AtollPlugin(), FakeWorker("executing")
    plugin.setup(worker)
    event, started = sync.Event(), sync.Event()
    submit = plugin.pool.submit
    if blocked:
        submit(event.wait, LIMIT)

    def submit_and_cancel(*args: Any) -> Any:
        future = submit(*args)
        assert blocked or started.wait(LIMIT)
        plugin.transition("key", "executing", "released")
        return future

    monkeypatch.setattr(plugin.pool, "submit", submit_and_cancel)
    try:
        with pytest.raises(Reschedule):
            plugin.run("key", tasks.set_and_wait, (started, event, LIMIT), {})
    finally:
        asyncio.run(plugin.teardown(worker))


def test_cancelled_before_it_is_sent() -> None:
    plugin, worker = atoll_dask.AtollPlugin(), FakeWorker("cancelled")
    plugin.setup(worker)
    plugin.transition("key", "executing", "released")
    try:
        with pytest.raises(Reschedule):
            plugin.run("key", pow, (2, 3), {})
    finally:
        asyncio.run(plugin.teardown(worker))


def test_killed_worker(client: Client, cluster: LocalCluster, tmp_path: Any) -> None:
    """Its tasks run again elsewhere; no result is lost."""
    path = tmp_path / "go"
    futures = atoll_dask.map(client, tasks.slow_square, range(12), path=str(path))
    end = time.monotonic() + LIMIT
    while True:
        busy = client.processing()
        if len([worker for worker, keys in busy.items() if keys]) == 2:
            break
        assert time.monotonic() < end
        time.sleep(0.01)
    before = set(client.scheduler_info(n_workers=-1)["workers"])
    pids = client.run(os.getpid)
    victim = sorted(pids)[0]
    os.kill(pids[victim], signal.SIGKILL)
    while set(client.scheduler_info(n_workers=-1)["workers"]) == before:
        assert time.monotonic() < end
        time.sleep(0.01)
    path.write_text("")
    assert client.gather(futures) == [n * n for n in range(12)]
    client.wait_for_workers(2, timeout=LIMIT)


def test_a_new_worker_has_a_pool_too(client: Client) -> None:
    atoll_dask.submit(client, pow, 2, 2).result(LIMIT)
    assert all(client.run(lambda dask_worker: "atoll" in dask_worker.plugins).values())


def test_elsewhere_in_dask(client: Client) -> None:
    atoll_dask.submit(client, pow, 2, 2).result(LIMIT)
    square = atoll_dask.in_interpreter(lambda n: n * n)
    assert dask.bag.from_sequence(range(10), npartitions=4).map(square).sum().compute() == 285
    assert dask.delayed(square)(5).compute() == 25


def test_numbers(client: Client) -> None:
    """What the pools have done is among the workers' metrics."""
    done = atoll_dask.map(client, tasks.process_and_interpreter, range(20), pure=False)
    wait(done, timeout=LIMIT)
    assert len(list(as_completed(done))) == 20
    end = time.monotonic() + LIMIT
    while True:
        infos = client.scheduler_info(n_workers=-1)["workers"].values()
        numbers = [info["metrics"].get("atoll") for info in infos]
        if all(numbers) and sum(one["done"] for one in numbers) >= 20:
            return
        assert time.monotonic() < end
        time.sleep(0.05)


def test_without_the_plugin(cluster: LocalCluster) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as bare:
        with Client(bare) as client:
            with pytest.raises(RuntimeError, match="register_plugin"):
                client.submit(atoll_dask.in_interpreter(pow), 2, 3).result(LIMIT)


def test_no_callable() -> None:
    with pytest.raises(TypeError, match="expected a callable"):
        atoll_dask.in_interpreter(3)  # type: ignore[arg-type]
