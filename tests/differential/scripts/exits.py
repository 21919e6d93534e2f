import sys

from concurrent import interpreters

interp = interpreters.create()
for code in ("raise SystemExit(3)", "import sys; sys.exit('text')", "raise KeyboardInterrupt"):
    try:
        interp.exec(code)
    except BaseException as error:
        info = getattr(error, "excinfo", None)
        print(type(error).__name__, info.type.__name__ if info else None, info.msg if info else None)
interp.exec("print('usable')")
sys.exit(7)
