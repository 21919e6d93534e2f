from concurrent import interpreters

interp = interpreters.create()
interp.prepare_main({"spam": 42, "eggs": "ham"})
interp.exec("print(spam, eggs)")
interp.prepare_main(spam=43, more=(1, 2))
interp.exec("print(spam, eggs, more)")
interp.prepare_main({"spam": 1, "x": 2}, spam=3)
interp.exec("print(spam, x)")
interp.exec("print(sorted(n for n in globals() if not n.startswith('__')))")
for wrong in ([("a", 1)], 1, "ab", {"new": 1, "bad": (i for i in ())}, {1: 2}):
    try:
        interp.prepare_main(wrong)
    except Exception as error:
        print(type(error).__name__)
    else:
        print("accepted")
interp.exec("print('new' in globals(), 'bad' in globals())")
