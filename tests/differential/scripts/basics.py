from concurrent import interpreters

main = interpreters.get_main()
print(main.id, main.whence, repr(main), main == interpreters.get_current(), main is interpreters.get_main())
print(interpreters.list_all() == [main])

first, second = interpreters.create(), interpreters.create()
print(first.id < second.id, first != second, first == first, len({first, second, first, main}))
print(interpreters.list_all() == [main, first, second])
print(repr(first) == f"Interpreter({first.id})", first.whence)
print(interpreters.Interpreter(first.id) is first, interpreters.Interpreter(first.id) == first)
print(hash(first) == hash(interpreters.Interpreter(first.id)))
print(first == first.id, first == "text")

for wrong in ("1", 1.5, None, -1, 10**9, 2**70, first):
    try:
        interpreters.Interpreter(wrong)
    except Exception as error:
        print("Interpreter", type(error).__name__)
    else:
        print("Interpreter of that is one")
for name in ("id", "whence"):
    try:
        setattr(first, name, 1)
    except AttributeError:
        print(name, "is read-only")

first.exec("from concurrent import interpreters; me = interpreters.get_current()")
first.exec("print(me == interpreters.get_main(), me.whence, len(interpreters.list_all()))")
second.close()
print(interpreters.list_all() == [main, first])
