"""Text that does not compile: ExecutionFailed for atoll, like any other failure."""

from concurrent import interpreters

interp = interpreters.create()
for code in ("print 1", "def f(:", "x = (", "return 1"):
    try:
        interp.exec(code)
    except interpreters.ExecutionFailed as failed:
        print("ExecutionFailed", failed.excinfo.type.__name__)
    except SyntaxError as error:
        print(type(error).__name__)
interp.exec("print('usable')")
