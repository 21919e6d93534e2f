from concurrent import interpreters

main = interpreters.get_main()
interp = interpreters.create()
print(interp.is_running(), main.is_running())
interp.exec("print('before')")
print(interp.close())
print(interpreters.list_all() == [main])
for do in (
    interp.close,
    interp.is_running,
    lambda: interp.exec("print('after')"),
    lambda: interp.call(print, "after"),
    lambda: interp.prepare_main(x=1),
    lambda: interpreters.Interpreter(interp.id),
    main.close,
    interpreters.get_current().close,
):
    try:
        do()
    except interpreters.InterpreterNotFoundError:
        print("InterpreterNotFoundError")
    except interpreters.InterpreterError:
        print("InterpreterError")
    else:
        print("nothing")
print(repr(interp) == f"Interpreter({interp.id})")

inner = interpreters.create()
inner.prepare_main(me=inner.id)
inner.exec("""if True:
    from concurrent import interpreters
    this = interpreters.Interpreter(me)
    print(this == interpreters.get_current(), this.is_running())
    for do in (this.close, lambda: this.exec('print(1)'), lambda: this.call(print, 1)):
        try:
            do()
        except interpreters.InterpreterError as error:
            print(type(error).__name__)
    """)
print(inner.is_running())
inner.close()

by_other = interpreters.create()
helper = interpreters.create()
helper.prepare_main(target=by_other.id)
helper.exec("from concurrent import interpreters; interpreters.Interpreter(target).close()")
try:
    by_other.exec("pass")
except interpreters.InterpreterNotFoundError:
    print("closed by another")
count = len(interpreters.list_all())
del helper
print(count - len(interpreters.list_all()))
