"""Seeded stress: random operations against a simple model, and streams through everything at once.

Time-bounded: ATOLL_STRESS_SECONDS (of each test, 1 by default).  A failure
prints its seed; ATOLL_STRESS_SEED runs that one alone.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import elsewhere
from helpers import Thread

import atoll
from atoll import _core

SECONDS = float(os.environ.get("ATOLL_STRESS_SECONDS", "1"))
SEED = os.environ.get("ATOLL_STRESS_SEED")


#: 3.12.1 aborts at exit after an isolated interpreter has imported asyncio.
NO_ASYNCIO_ELSEWHERE = sys.version_info < (3, 13)


def seeds() -> Iterator[int]:
    if SEED is not None:
        yield int(SEED)
        return
    end = time.monotonic() + SECONDS
    seed = 0
    while time.monotonic() < end:
        yield seed
        seed += 1


@dataclass
class Item:
    value: object
    sender: int
    policy: str | None
    lost: bool = False


@dataclass
class Model:
    """What a queue is, without anything that makes it fast."""

    maxsize: int
    policy: str | None
    items: deque[Item] = field(default_factory=deque)
    unfinished: int = 0
    shut: bool = False

    def full(self) -> bool:
        return 0 < self.maxsize <= len(self.items)

    def put(self, item: Item) -> str | None:
        if self.shut:
            return "QueueShutDown"
        if self.full():
            return "QueueFull"
        self.items.append(item)
        self.unfinished += 1
        return None

    def get(self) -> tuple[object, ...]:
        if not self.items:
            return "QueueShutDown" if self.shut else "QueueEmpty", None
        item = self.items.popleft()
        if item.lost:
            return ("ok", atoll.UNBOUND) if item.policy == "UNBOUND" else ("ItemInterpreterDestroyed", None)
        if is_fragile(item.value):
            return "QueueItemError", item
        return "ok", item.value

    def sender_died(self, sender: int) -> None:
        for item in list(self.items):
            if item.sender == sender and item.policy is not None and not item.lost:
                if item.policy == "UNBOUND_REMOVE":
                    self.items.remove(item)
                    self.unfinished -= 1
                else:
                    item.lost = True


def is_fragile(value: object) -> bool:
    return type(value) is tuple and value[0] == "fragile"


class World:
    """Some queues and interpreters, and what they should be."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.number = 0
        self.interps: list[atoll.Interpreter | None] = [None, *(atoll.create() for _ in range(3))]
        self.queues: list[tuple[atoll.Queue, Model]] = []
        for _ in range(3):
            self.new_queue()

    def close(self) -> None:
        for interp in self.interps[1:]:
            interp.close()

    def new_queue(self) -> None:
        maxsize = self.dice.choice([-1, 0, 1, 2, 5])
        policy = self.dice.choice([None, None, "UNBOUND", "UNBOUND_ERROR", "UNBOUND_REMOVE"])
        made = atoll.create_queue(maxsize, unbounditems=None if policy is None else getattr(atoll, policy))
        self.queues.append((made, Model(maxsize, policy)))

    def value(self) -> object:
        self.number += 1
        if self.dice.random() < 0.06:
            return ("fragile", self.number)
        return self.dice.choice([self.number, str(self.number), [self.number, {"n": self.number}]])

    def step(self) -> None:
        dice = self.dice
        name = dice.choices(
            ["put", "put_many", "get", "get_many", "close", "shutdown", "task_done", "sizes", "replace"],
            [30, 10, 30, 10, 1, 0.3, 10, 5, 0.3],
        )[0]
        if name == "close":
            where = dice.randrange(1, len(self.interps))
            interp = self.interps[where]
            number = interp.id
            interp.close()
            for _, model in self.queues:
                model.sender_died(number)
            self.interps[where] = atoll.create()
        elif name == "replace":
            self.queues.pop(dice.randrange(len(self.queues)))
            self.new_queue()
        else:
            getattr(self, name)(*dice.choice(self.queues))

    def at(self) -> tuple[int, atoll.Interpreter | None]:
        interp = self.dice.choice(self.interps)
        return (0 if interp is None else interp.id), interp

    def do(self, interp: atoll.Interpreter | None, *args: object) -> tuple[object, ...]:
        return elsewhere.do(*args) if interp is None else interp.call(elsewhere.do, *args)

    def put(self, queue: atoll.Queue, model: Model) -> None:
        sender, interp = self.at()
        policy = self.dice.choice([None, None, "UNBOUND", "UNBOUND_ERROR", "UNBOUND_REMOVE"])
        value = self.value()
        wanted = model.put(Item(value, sender, policy or model.policy))
        assert self.do(interp, queue, "put", (value, policy)) == (wanted or "ok", None)

    def put_many(self, queue: atoll.Queue, model: Model) -> None:
        sender, interp = self.at()
        values = tuple(self.value() for _ in range(self.dice.randrange(5)))
        count, wanted = 0, None
        for value in values:
            wanted = model.put(Item(value, sender, model.policy))
            if wanted is not None:
                break
            count += 1
        assert self.do(interp, queue, "put_many", values) == (wanted or "ok", count)

    def get(self, queue: atoll.Queue, model: Model) -> None:
        _, interp = self.at()
        other, other_model = self.dice.choice(self.queues)
        bad = self.dice.choice(["drop", "put back", other])
        wanted = model.get()
        if wanted[0] == "QueueItemError":
            item = wanted[1]
            wanted = ("QueueItemError", None)
            if bad == "put back" or (bad is other and other_model.put(item) is not None):
                model.items.appendleft(item)
        assert self.do(interp, queue, "get_nowait", (), bad) == wanted

    def get_many(self, queue: atoll.Queue, model: Model) -> None:
        _, interp = self.at()
        count = self.dice.randrange(1, 6)
        values: list[object] = []
        wanted: tuple[object, ...] = ("ok", values)
        while len(values) < count:
            before = list(model.items)
            kind, value = model.get()
            if kind != "ok":
                if values:
                    model.items = deque(before)
                else:
                    wanted = (kind, None)
                break
            values.append(value)
        assert self.do(interp, queue, "get_many", (count,)) == wanted

    def shutdown(self, queue: atoll.Queue, model: Model) -> None:
        _, interp = self.at()
        immediate = self.dice.random() < 0.5
        model.shut = True
        if immediate:
            model.unfinished = max(0, model.unfinished - len(model.items))
            model.items.clear()
        assert self.do(interp, queue, "shutdown", (immediate,)) == ("ok", None)

    def task_done(self, queue: atoll.Queue, model: Model) -> None:
        # Only for what was got: what is in counts as a task, too.
        if model.unfinished > len(model.items):
            model.unfinished -= 1
            assert self.do(self.at()[1], queue, "task_done", ()) == ("ok", None)
        elif not model.unfinished:
            assert self.do(self.at()[1], queue, "task_done", ()) == ("ValueError", None)

    def sizes(self, queue: atoll.Queue, model: Model) -> None:
        _, interp = self.at()
        assert self.do(interp, queue, "qsize", ()) == ("ok", len(model.items))
        assert self.do(interp, queue, "empty", ()) == ("ok", not model.items)
        assert self.do(interp, queue, "full", ()) == ("ok", model.full())
        assert self.do(interp, queue, "ready", ()) == ("ok", bool(model.items) or model.shut)
        assert _core._queue_waiting(queue) == (0, 0, 0, 0)
        if model.unfinished == 0:
            queue.join()


def test_against_the_model() -> None:
    count = 0
    for seed in seeds():
        world = World(seed)
        try:
            for _ in range(400):
                world.step()
            for queue, model in world.queues:
                world.sizes(queue, model)
        except BaseException:
            print(f"ATOLL_STRESS_SEED={seed}")
            raise
        finally:
            world.close()
        count += 1
    assert count


def test_streams() -> None:
    """Producers and consumers of every kind: each item once, and in each producer's order."""
    interps = [atoll.create() for _ in range(4)]
    count, each = 0, 300
    for seed in seeds():
        dice = random.Random(seed)
        queue = atoll.create_queue(dice.choice([0, 1, 2, 10, 100]))
        homes = [None, *interps]

        def start(function: object, *args: object, homes=homes, dice=dice) -> Thread:
            home = dice.choice(homes)
            if function is elsewhere.consume_async and NO_ASYNCIO_ELSEWHERE:
                home = None
            if home is None:
                return Thread(function, *args)
            homes.remove(home)  # one call at a time
            return Thread(home.call, function, *args)

        kinds = [elsewhere.consume, elsewhere.consume, elsewhere.consume_async]
        chosen = dice.choices(kinds, k=dice.randrange(1, 4))
        consumers = [start(kind, queue, seed * 100 + i) for i, kind in enumerate(chosen)]
        names = range(dice.randrange(1, 4))
        producers = [start(elsewhere.produce, queue, name, each, seed * 100 + 50 + name) for name in names]
        try:
            for thread in producers:
                thread.result()
            queue.shutdown()
            results = [thread.result() for thread in consumers]
            assert sorted(sum(results, [])) == [(name, n) for name in names for n in range(each)]
            # What a cancelled get gives back goes to the next in line, who may
            # have later ones already.
            for got in results if elsewhere.consume_async not in chosen else ():
                for name in names:
                    mine = [item for item in got if item[0] == name]
                    assert mine == sorted(mine)
            assert _core._queue_waiting(queue) == (0, 0, 0, 0)
        except BaseException:
            print(f"ATOLL_STRESS_SEED={seed}")
            raise
        count += 1
    assert count
    for interp in interps:
        interp.close()


def test_interrupted_streams() -> None:
    """Consumers are interrupted at any moment, and begin again.

    An interruption that comes just after get() has returned may hit before
    the item is stored, as Ctrl-C may; so an item may be missing for each, but
    none comes twice, and what is in the queue stays in order.
    """
    interps = [atoll.create() for _ in range(2)]
    for interp in interps:
        interp.call(elsewhere.drop)
    count = 0
    for seed in seeds():
        dice = random.Random(seed)
        queue, results = atoll.create_queue(dice.choice([0, 1, 5])), atoll.create_queue()
        threads = [Thread(consume_until_done, interp, queue, results) for interp in interps]
        producer = Thread(elsewhere.produce, queue, 0, 300, seed)
        interruptions = 0
        try:
            while producer.is_alive():
                interruptions += dice.choice(interps).interrupt()
                time.sleep(dice.choice([0, 0.0001, 0.001]))
            producer.result()
            queue.shutdown()
            for thread in threads:
                thread.result()
            got = [n for _, n in results.get_many(1000)] if results.qsize() else []
            assert len(got) == len(set(got))
            assert 300 - interruptions <= len(got) <= 300
            assert _core._queue_waiting(queue) == (0, 0, 0, 0)
        except BaseException:
            print(f"ATOLL_STRESS_SEED={seed}")
            raise
        count += 1
    assert count
    for interp in interps:
        interp.close()


def consume_until_done(interp: atoll.Interpreter, queue: atoll.Queue, results: atoll.Queue) -> None:
    while True:
        try:
            return interp.call(elsewhere.move_all, queue, results)
        except atoll.ExecutionInterrupted:
            continue
        except atoll.ExecutionFailed as error:
            # The interruption came while the arguments were being rebuilt.
            if error.excinfo.type.__name__ != "Interrupted":
                raise
