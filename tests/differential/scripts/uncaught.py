from concurrent import interpreters

interp = interpreters.create()
interp.exec("print('first')")
interp.exec("raise LookupError('nobody catches this')")
print("never")
