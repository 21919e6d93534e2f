from textwrap import dedent

from concurrent import interpreters

interp = interpreters.create()
interp.exec('print("one line")')
interp.exec("""if True:
    print('a block')
    """)
interp.exec(dedent("""
    print('dedented by the caller')
    """))
print(interp.exec("x = 1"))
interp.exec("print(x, __name__)")
interp.exec("def f(n):\n    return n * 2\nprint(f(21))")
interp.exec("")
interp.exec("# only a comment")
interp.exec("import sys; print('__main__' in sys.modules, sys.modules['__main__'].x)")

for code in ("1 / 0", "raise ValueError('wrong')", "undefined", "import no_such_module", "assert False, 'why'"):
    try:
        interp.exec(code)
    except interpreters.ExecutionFailed as failed:
        info = failed.excinfo
        print(info.type.__name__, info.type.__qualname__, info.type.__module__, info.msg)
        print(str(failed).splitlines()[0])
        print(info.formatted)
interp.exec("class Mine(Exception): pass")
try:
    interp.exec("raise Mine('of my own')")
except interpreters.ExecutionFailed as failed:
    print(failed.excinfo.type.__name__, failed.excinfo.msg)
interp.exec("print('still usable', x)")

for wrong in (None, 1, ["print(1)"]):
    try:
        interp.exec(wrong)
    except Exception as error:
        print(type(error).__name__)
