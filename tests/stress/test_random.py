"""Random operations on interpreters, against a model of what they hold.

Bounded by time (ATOLL_STRESS_SECONDS, 1 by default).  A failure prints its
seed; ATOLL_STRESS_SEED runs that one alone.  tests/queues/test_stress.py does
the same for queues alone.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import stress_elsewhere as there

import atoll
from atoll.sync import AtomicInt

SECONDS = float(os.environ.get("ATOLL_STRESS_SECONDS", "1"))
SEED = os.environ.get("ATOLL_STRESS_SEED")
#: A safety net against a hang.
LIMIT = 120.0
NAMES = ["a", "b", "c"]


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
class Model:
    """What is bound in __main__ there, and what it is called."""

    variables: dict[str, object] = field(default_factory=dict)
    name: str | None = None


def make_counter(start: int) -> tuple[Callable[[int], int], Callable[[], int]]:
    """A closure that changes its cell, and one that reads it."""
    count = start

    def bump(by: int) -> int:
        nonlocal count
        count += by
        return count

    def look() -> int:
        return count

    return bump, look


class World:
    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.open: dict[atoll.Interpreter, Model] = {}
        self.closed: deque[atoll.Interpreter] = deque(maxlen=3)
        self.queue = atoll.create_queue()
        self.items: deque[object] = deque()
        self.bump, self.look = make_counter(0)
        self.count = 0
        self.others = set(atoll.list_all())
        self.create()

    def end(self) -> None:
        for interp in self.open:
            interp.close(interrupt=True, timeout=LIMIT)

    def step(self) -> None:
        choices = {
            self.bind: 10,
            self.execute: 10,
            self.read: 10,
            self.fail: 6,
            self.closure: 10,
            self.own_class: 6,
            self.put: 8,
            self.get: 8,
            self.nested: 6,
            self.rename: 3,
            self.interrupt: 3,
            self.deadline: 2,
            self.use_closed: 3,
            self.look_around: 3,
            self.create: 1,
            self.close: 1,
        }
        self.dice.choices(list(choices), list(choices.values()))[0]()

    def pick(self) -> tuple[atoll.Interpreter, Model]:
        interp = self.dice.choice(list(self.open))
        return interp, self.open[interp]

    def value(self) -> object:
        number = self.dice.randrange(1 << 70)
        return self.dice.choice(
            [number, str(number), [number, {"n": (number,)}], None, b"x" * (number % 3000)]
        )

    # --- life

    def create(self) -> None:
        if len(self.open) < 4:
            name = self.dice.choice([None, "a name"])
            self.open[atoll.create(name=name)] = Model(name=name)

    def close(self) -> None:
        if len(self.open) > 1:
            interp, _ = self.pick()
            del self.open[interp]
            interp.close(interrupt=self.dice.random() < 0.5)
            self.closed.append(interp)

    def use_closed(self) -> None:
        for interp in self.closed:
            with pytest.raises(atoll.InterpreterNotFoundError):
                self.dice.choice([lambda: interp.exec("x = 1"), lambda: interp.call(there.echo, 1)])()

    def look_around(self) -> None:
        assert set(atoll.list_all()) - self.others == set(self.open)
        for interp, model in self.open.items():
            assert interp.name == model.name and not interp.is_running()
            assert atoll.Interpreter(interp.id) is interp and not interp.interrupt()

    def rename(self) -> None:
        interp, model = self.pick()
        interp.name = model.name = self.dice.choice([None, "another", "\udcff"])

    # --- what is bound there

    def bind(self) -> None:
        interp, model = self.pick()
        values = {name: self.value() for name in self.dice.sample(NAMES, 2)}
        interp.prepare_main(**values)
        model.variables.update(values)

    def execute(self) -> None:
        interp, model = self.pick()
        target, source = self.dice.choice(NAMES), self.dice.choice(NAMES)
        code = f"{target} = [{source}]"
        if source in model.variables:
            interp.exec(code)
            model.variables[target] = [model.variables[source]]
        else:
            with pytest.raises(atoll.ExecutionFailed, match="NameError"):
                interp.exec(code)

    def read(self) -> None:
        interp, model = self.pick()
        name = self.dice.choice(NAMES)
        assert interp.call(there.read, name) == model.variables.get(name)

    def nested(self) -> None:
        (outer, _), (inner, model) = self.pick(), self.pick()
        name = self.dice.choice(NAMES)
        if outer is inner:
            with pytest.raises(atoll.ExecutionFailed, match="already running"):
                outer.call(there.call_through, inner, name)
        else:
            assert outer.call(there.call_through, inner, name) == model.variables.get(name)

    def fail(self) -> None:
        interp, model = self.pick()
        value = self.value()
        with pytest.raises(atoll.ExecutionFailed) as caught:
            interp.exec(f"a = 1\nraise ValueError({value!r})")
        assert isinstance(caught.value.__cause__, ValueError)
        assert caught.value.__cause__.args == (value,)
        model.variables["a"] = 1

    # --- by value

    def closure(self) -> None:
        """It sees the cell as it is here, and changes a copy."""
        interp, _ = self.pick()
        by = self.dice.randrange(10)
        assert interp.call(self.bump, by) == self.count + by
        assert interp.call(self.look) == self.look() == self.count
        if self.dice.random() < 0.5:
            self.count += by
            assert self.bump(by) == self.count

    def own_class(self) -> None:
        """What comes back is of the class that was sent."""
        interp, _ = self.pick()
        number = self.dice.randrange(100)

        class Point:
            def __init__(self, x: int) -> None:
                self.x = x

            def moved(self) -> Point:
                return Point(self.x + number)

        class Odd(Exception):
            pass

        def move(point: Any) -> Any:
            if point.x % 2:
                raise Odd(point)
            return point.moved()

        x = self.dice.randrange(100)
        try:
            got = interp.call(move, Point(x))
        except atoll.ExecutionFailed as error:
            assert type(error.__cause__) is Odd and x % 2
            assert type(error.__cause__.args[0]) is Point and error.__cause__.args[0].x == x
        else:
            assert type(got) is Point and got.x == x + number and x % 2 == 0

    # --- queues: an item outlives its sender

    def put(self) -> None:
        interp, _ = self.pick()
        value = ("item", self.value())
        self.items.append(value)
        interp.call(there.put, self.queue, value)

    def get(self) -> None:
        interp, _ = self.pick()
        assert interp.call(there.get, self.queue) == (self.items.popleft() if self.items else None)

    # --- interruption: it stops, and what comes next is not hit

    def interrupt(self) -> None:
        interp, model = self.pick()
        number = AtomicInt()
        thread = interp.call_in_thread(there.move_until_told, number)
        future = thread.future
        until = time.monotonic() + LIMIT
        while number.load() == 0 and time.monotonic() < until:
            time.sleep(0)
        assert thread.interrupt()
        assert isinstance(future.exception(LIMIT), atoll.ExecutionInterrupted)
        thread.join(LIMIT)
        self.has_stopped(interp, model, number)

    def deadline(self) -> None:
        interp, model = self.pick()
        number = AtomicInt()
        with pytest.raises(atoll.ExecutionTimeout):
            interp.options(timeout=0.001).call(there.move_until_told, number)
        self.has_stopped(interp, model, number)

    def has_stopped(self, interp: atoll.Interpreter, model: Model, number: AtomicInt) -> None:
        there_now = number.load()
        assert interp.call(there.read, "a") == model.variables.get("a")
        assert number.load() == there_now


def test_against_the_model() -> None:
    count = 0
    for seed in seeds():
        world = World(seed)
        try:
            for _ in range(200):
                world.step()
            world.look_around()
        except BaseException:
            print(f"ATOLL_STRESS_SEED={seed}")
            raise
        finally:
            world.end()
        count += 1
    assert count
