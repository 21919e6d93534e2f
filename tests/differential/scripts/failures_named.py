"""What an exception is called in excinfo.formatted, and in str() of what the caller gets."""

from concurrent import interpreters

interp = interpreters.create()
for text in (
    "raise ValueError('x')",
    "class Own(Exception): pass\nraise Own(5)",
    "def f():\n    class Local(Exception): pass\n    raise Local('two', 2)\nf()",
    "import asyncio; raise asyncio.QueueEmpty",
    "import json; json.loads('{')",
    "import zipfile; raise zipfile.BadZipFile('two\\nlines')",
    "raise type('Made', (Exception,), {'__module__': 'some.where'})",
    "raise type('Made', (Exception,), {'__module__': 'builtins'})(1)",
):
    try:
        interp.exec(text)
    except interpreters.ExecutionFailed as error:
        info = error.excinfo
        print(repr(info.formatted), repr(info.msg), info.type.__qualname__, info.type.__module__)
        print(str(error).startswith(info.formatted))
interp.close()
