"""Creating, finding, listing and naming interpreters; what a handle is."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
import weakref
from typing import Any

import pytest
from children import run_child

import atoll


def ids() -> list[int]:
    return [interp.id for interp in atoll.list_all()]


class TestCreate:
    def test_idle_and_listed(self) -> None:
        before = ids()
        interp = atoll.create()
        assert type(interp) is atoll.Interpreter
        assert not interp.is_running()
        assert interp.whence == "_interpreters module"
        assert ids() == [*before, interp.id]
        interp.close()
        assert ids() == before

    def test_ids_are_never_reused(self) -> None:
        seen = []
        for _ in range(3):
            interp = atoll.create()
            seen.append(interp.id)
            interp.close()
        assert seen == sorted(set(seen))

    def test_takes_keywords_only(self) -> None:
        with pytest.raises(TypeError, match="positional"):
            atoll.create("name")  # type: ignore[misc]

    @pytest.mark.parametrize("stdio", ["", "stdout", None, 1, ["creator"]])
    def test_wrong_stdio(self, stdio: Any) -> None:
        before = ids()
        with pytest.raises(ValueError, match="stdio must be 'creator' or 'process', not "):
            atoll.create(stdio=stdio)
        assert ids() == before

    @pytest.mark.parametrize("name", [1, b"name", ["x"]])
    def test_wrong_name(self, name: Any) -> None:
        gc.collect()
        before = ids()
        with pytest.raises(TypeError, match="name must be a str or None, not "):
            atoll.create(name=name)
        gc.collect()
        assert ids() == before

    def test_path_and_filters_are_the_present_ones(self) -> None:
        """Run-time edits of sys.path and of the warning filters are taken over."""
        run_child(
            """
            import sys, warnings, atoll
            sys.path.insert(0, "/somewhere/else")
            sys.path.append(1)  # no text: an import skips it, too
            warnings.simplefilter("error", ResourceWarning)
            warnings.filterwarnings("ignore", "a message", DeprecationWarning, "mod.*", 7)
            interp = atoll.create()
            sys.path.remove("/somewhere/else")  # too late
            def look():
                import sys, warnings
                try:
                    warnings.warn("x", ResourceWarning)
                except ResourceWarning:
                    raised = True
                action, message, category, module, line = warnings.filters[0]
                texts = [p if p is None or isinstance(p, str) else p.pattern for p in (message, module)]
                return sys.path[0], raised, action, category, texts, line
            assert interp.call(look) == (
                "/somewhere/else", True, "ignore", DeprecationWarning, ["a message", "mod.*"], 7
            ), interp.call(look)
            """
        ).check()

    def test_filters_of_own_categories(self) -> None:
        """A category that cannot be found there is left out, and does no harm."""
        run_child(
            """
            import warnings, atoll
            class Mine(UserWarning): pass
            warnings.simplefilter("error", Mine)
            interp = atoll.create()
            print(interp.call(int, "3"))
            """
        ).check("3\n")

    def test_a_broken_path_is_reported(self) -> None:
        """Where atoll cannot be loaded there, the error says so, and the interpreter can be closed."""
        run_child(
            """
            import sys, atoll
            atoll.create().close()  # what create() needs here is loaded
            file = atoll._core.__file__
            atoll._core.__file__ = "/nowhere" + file
            interp = atoll.create()
            atoll._core.__file__ = file
            try:
                interp.call(len, ())
            except atoll.InterpreterError as error:
                assert "could not be set up: ImportError" in str(error), error
            else:
                raise AssertionError("it was set up")
            interp.close()
            assert atoll.list_all() == [atoll.get_main()]
            """
        ).check()

    def test_an_empty_path_is_no_hindrance(self) -> None:
        run_child(
            """
            import sys, atoll
            atoll.create().close()
            path = sys.path[:]
            sys.path[:] = []
            interp = atoll.create()
            sys.path[:] = path
            assert interp.call(len, (1, 2)) == 2
            interp.exec("import sys; assert sys.path == []; print('printed')")
            try:
                interp.exec("import atoll")
            except atoll.ExecutionFailed as error:
                assert str(error).startswith("ModuleNotFoundError"), error
            else:
                raise AssertionError("it was found")
            interp.close()
            """
        ).check("printed\n")

    def test_from_another_interpreter(self) -> None:
        outer = atoll.create()
        inner = outer.call(atoll.create, name="inner")
        assert type(inner) is atoll.Interpreter
        assert inner.name == "inner"
        assert inner.call(lambda: atoll.get_current().id) == inner.id
        assert outer.call(lambda one: one.call(lambda: "from outer"), inner) == "from outer"
        outer.close()
        # It outlives its creator; what it prints is dropped then, or goes elsewhere, and is no error.
        assert inner.call(sum, [1, 2]) == 3
        inner.exec("print('creator is gone', flush=True)")
        inner.close()

    def test_from_many_threads_at_once(self) -> None:
        made: list[int] = []
        failed: list[BaseException] = []

        def work() -> None:
            try:
                for _ in range(3):
                    interp = atoll.create()
                    assert interp.call(lambda: atoll.get_current().id) == interp.id
                    made.append(interp.id)
                    interp.close()
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert len(set(made)) == 12
        assert not set(made) & set(ids())


class TestHandle:
    def test_one_object_per_id(self) -> None:
        interp = atoll.create()
        again = atoll.Interpreter(interp.id)
        assert again is interp
        assert interp in atoll.list_all()
        assert any(one is interp for one in atoll.list_all())
        assert pickle.loads(pickle.dumps(interp)) is interp
        assert copy.copy(interp) is interp
        assert copy.deepcopy([interp]) == [interp]

    def test_equality_and_hash(self) -> None:
        one, other = atoll.create(), atoll.create()
        assert one == one and one != other
        assert len({one, other, atoll.Interpreter(one.id)}) == 2
        assert one != one.id and one != "x"
        with pytest.raises(TypeError):
            one < other  # type: ignore[operator]

    def test_crosses(self) -> None:
        one, other = atoll.create(), atoll.create()

        def use(interp: atoll.Interpreter) -> Any:
            return interp.id, interp, interp is atoll.Interpreter(interp.id), hash(interp)

        id, back, same, hashed = one.call(use, other)
        assert id == other.id and back is other and same and hashed == hash(other)
        assert atoll.is_shareable(other)

    def test_attributes_are_read_only(self) -> None:
        interp = atoll.create()
        for name in ("id", "whence"):
            with pytest.raises(AttributeError):
                setattr(interp, name, 1)
        with pytest.raises(AttributeError):
            interp.something = 1  # type: ignore[attr-defined]

    def test_name(self) -> None:
        interp = atoll.create()
        assert interp.name is None
        assert repr(interp) == f"Interpreter({interp.id})"
        for text in ("a name", "", "ünï \U0001f40d", "\udc80 lone", 'quo"te'):
            interp.name = text
            assert interp.name == text
            assert repr(interp) == f"Interpreter({interp.id}, name={text!r})"
            assert interp.call(lambda: atoll.get_current().name) == text
        interp.name = None
        assert interp.name is None
        interp.name = "again"
        del interp.name
        assert interp.name is None
        for wrong in (1, b"x", ("a",)):
            with pytest.raises(TypeError, match="name must be a str or None"):
                interp.name = wrong  # type: ignore[assignment]
        with pytest.raises(ValueError, match="null"):
            interp.name = "nul\0 inside"
        assert interp.name is None

    def test_name_shows(self) -> None:
        """In thread names, inside and outside, and in tracebacks."""
        interp = atoll.create(name="worker-7")
        thread = interp.call_in_thread(lambda: threading.current_thread().name)
        assert "worker-7" in thread.name
        assert thread.future.result(60)
        thread.join()
        with pytest.raises(atoll.ExecutionFailed) as caught:
            interp.call(int, "x")
        assert "worker-7" in str(caught.value)

    def test_wrong_ids(self) -> None:
        for wrong in ("1", 1.5, None, b"1"):
            with pytest.raises(TypeError):
                atoll.Interpreter(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            atoll.Interpreter()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            atoll.Interpreter(id=1)  # type: ignore[call-arg]
        with pytest.raises(ValueError, match="must not be negative"):
            atoll.Interpreter(-1)
        for large in (2**63, -(2**63) - 1, 10**100):
            with pytest.raises(OverflowError):
                atoll.Interpreter(large)
        for unknown in (10**9, 2**63 - 1):
            with pytest.raises(atoll.InterpreterNotFoundError, match=str(unknown)):
                atoll.Interpreter(unknown)

    def test_cannot_be_subclassed(self) -> None:
        with pytest.raises(TypeError):
            type("Sub", (atoll.Interpreter,), {})

    def test_weak_reference_and_last_reference(self) -> None:
        interp = atoll.create()
        id, ref = interp.id, weakref.ref(interp)
        del interp
        assert ref() is None
        assert id not in ids()
        with pytest.raises(atoll.InterpreterNotFoundError):
            atoll.Interpreter(id)

    def test_a_handle_elsewhere_keeps_it(self) -> None:
        keeper, interp = atoll.create(), atoll.create()
        id = interp.id
        keeper.exec("kept = []")
        keeper.prepare_main(interp=interp)
        del interp
        assert id in ids()
        assert keeper.call(lambda n: atoll.Interpreter(n).call(abs, -5), id) == 5
        keeper.exec("del interp")
        assert id not in ids()

    def test_a_handle_in_a_queue_keeps_it(self) -> None:
        queue = atoll.create_queue()
        interp = atoll.create()
        id = interp.id
        queue.put(interp)
        del interp
        assert id in ids()
        assert queue.get().id == id
        assert id not in ids()

    def test_a_running_call_keeps_it(self) -> None:
        assert atoll.create().call(sum, [1, 2, 3]) == 6
        thread = atoll.create().call_in_thread(sum, [4, 5])
        assert thread.future.result(60) == 9
        thread.join()

    def test_unpickled_after_its_end(self) -> None:
        interp = atoll.create()
        data = pickle.dumps(interp)
        interp.close()
        with pytest.raises(atoll.InterpreterNotFoundError):
            pickle.loads(data)


class TestFind:
    def test_current_and_main(self) -> None:
        main = atoll.get_main()
        assert main.id == 0
        assert atoll.get_current() is main
        assert main.whence == "runtime init"
        assert main.is_running()
        interp = atoll.create()
        assert interp.call(lambda: (atoll.get_current().id, atoll.get_main().id)) == (interp.id, 0)
        assert interp.call(lambda: atoll.get_main().whence) == "runtime init"
        assert interp.call(lambda: [one.id for one in atoll.list_all()]) == ids()

    def test_oldest_first(self) -> None:
        made = [atoll.create() for _ in range(3)]
        found = atoll.list_all()
        assert [one.id for one in found] == sorted(one.id for one in found)
        assert found[0] is atoll.get_main()
        assert found[-3:] == made

    def test_seen_alike_from_everywhere(self) -> None:
        one = atoll.create()
        other = one.call(atoll.create)
        assert ids()[-2:] == [one.id, other.id]
        assert one.call(ids) == ids()

    def test_take_no_arguments(self) -> None:
        for func in (atoll.get_current, atoll.get_main, atoll.list_all):
            with pytest.raises(TypeError):
                func(1)  # type: ignore[call-arg]


class TestMain:
    def test_refuses_what_it_cannot(self) -> None:
        main = atoll.get_main()
        for attempt in (
            lambda: main.exec("x = 1"),
            lambda: main.call(len, ()),
            lambda: main.prepare_main(x=1),
            lambda: main.close(),
            lambda: main.close(interrupt=True, timeout=1),
        ):
            with pytest.raises(atoll.InterpreterError):
                attempt()

    def test_from_another_interpreter(self) -> None:
        interp = atoll.create()

        def attempts() -> list[str]:
            told = []
            main = atoll.get_main()
            for attempt in (lambda: main.exec("x = 1"), lambda: main.call(len, ()), lambda: main.close()):
                try:
                    attempt()
                except atoll.InterpreterError as error:
                    told.append(str(error))
            return told

        assert len(interp.call(attempts)) == 3


class TestClosed:
    def test_every_method_says_so(self) -> None:
        interp = atoll.create(name="gone")
        interp.close()
        for attempt in (
            lambda: interp.exec("x = 1"),
            lambda: interp.call(len, ()),
            lambda: interp.prepare_main(x=1),
            lambda: interp.is_running(),
            lambda: interp.interrupt(),
            lambda: interp.close(),
            lambda: interp.options(timeout=5).call(len, ()),
        ):
            with pytest.raises(atoll.InterpreterNotFoundError, match=str(interp.id)):
                attempt()
        # A handle is still a handle.
        assert interp.name == "gone" and "gone" in repr(interp)
        assert interp == interp and isinstance(hash(interp), int)
        assert isinstance(interp.whence, str)


class TestNothingIsLeft:
    def test_of_handles_that_went(self) -> None:
        def count() -> int:
            gc.collect()
            return sum(type(found) is weakref.ref for found in gc.get_objects())

        atoll.create().close()
        before = count()
        for _ in range(20):
            atoll.create().close()
        assert count() <= before + 5

    def test_a_new_handle_for_the_same(self) -> None:
        interp = atoll.create()
        other = atoll.create()
        number = interp.id
        other.prepare_main(interp=interp)  # which keeps it open
        for _ in range(3):
            del interp
            interp = atoll.Interpreter(number)
            assert interp is atoll.Interpreter(number)
        other.close()


class TestShareable:
    @pytest.mark.parametrize(
        "value",
        [None, True, 1, -1, 1.5, "text", b"bytes", (), (1, ("x", None)), memoryview(b"x")],
        ids=repr,
    )
    def test_yes(self, value: Any) -> None:
        assert atoll.is_shareable(value) is True

    @pytest.mark.parametrize("value", [object(), type, sys, [], {}, set(), len], ids=repr)
    def test_no(self, value: Any) -> None:
        assert atoll.is_shareable(value) is False

    def test_references(self) -> None:
        interp = atoll.create()
        assert atoll.is_shareable(interp)
        assert atoll.is_shareable(atoll.create_queue())
        assert atoll.is_shareable((atoll.create_queue(), interp))
