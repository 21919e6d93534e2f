from concurrent import interpreters

print(interpreters.__name__, *sorted(interpreters.__all__))
for name in sorted(interpreters.__all__):
    print(name, callable(getattr(interpreters, name)), isinstance(getattr(interpreters, name), type))
for child, parent in [
    (interpreters.InterpreterNotFoundError, interpreters.InterpreterError),
    (interpreters.ExecutionFailed, interpreters.InterpreterError),
    (interpreters.InterpreterError, Exception),
    (interpreters.NotShareableError, TypeError),
]:
    print(child.__name__, parent.__name__, issubclass(child, parent))
