"""atexit functions of an interpreter, and who runs them."""

from __future__ import annotations

from children import run_child


def test_run_by_the_code_inside() -> None:
    """It is not the end: the interpreter stays usable, and closes as ever."""
    run_child("""
        import atoll
        interp = atoll.create()
        for number in range(2):
            interp.exec("import atexit; atexit._run_exitfuncs(); print('after')")
        interp.close()
        print("closed")
    """).check("after\nafter\nclosed\n")


def test_ctrl_c_while_they_run() -> None:
    """KeyboardInterrupt is not lost; the interpreter is closed."""
    outcome = run_child("""
        import atoll, os, signal
        interp = atoll.create()
        interp.exec('''if True:
            import atexit, os, signal
            def spin():
                os.kill(os.getpid(), signal.SIGINT)
                while True:
                    pass
            atexit.register(spin)
        ''')
        try:
            interp.close()
        except KeyboardInterrupt:
            print("interrupted")
        print(interp in atoll.list_all())
    """)
    assert (outcome.status, outcome.out) == (0, "interrupted\nFalse\n"), outcome


def test_a_thread_that_was_never_started() -> None:
    """Ctrl-C may cut Thread.start() off: threading goes on listing the thread as one that is being started."""
    run_child("""
        import atoll
        interp = atoll.create()
        interp.exec('''if True:
            import threading
            thread = threading.Thread(target=print)
            threading._limbo[thread] = thread
        ''')
        interp.close()
        print("closed")
    """).check("closed\n")
