"""Run it with pytest."""

import pytest

import atoll


@pytest.fixture
def interp():
    with atoll.create() as interp:
        yield interp
    # Closed; a test that leaves a thread running is interrupted first.


def greet(name):
    print(f"hello, {name}")
    return len(name)


def test_prints_are_captured(interp, capsys):
    assert interp.call(greet, "atoll") == 5
    assert capsys.readouterr().out == "hello, atoll\n"


def test_assertions_cross(interp):
    def check(n):
        assert n % 2 == 0, f"{n} is odd"

    interp.call(check, 2)
    with pytest.raises(atoll.ExecutionFailed, match="3 is odd") as caught:
        interp.call(check, 3)
    assert isinstance(caught.value.__cause__, AssertionError)


def test_a_hang_fails_quickly(interp):
    def hang():
        while True:
            pass

    with pytest.raises(atoll.ExecutionTimeout):
        interp.options(timeout=0.2).call(hang)
