import sys

import atoll

counter = 0


def bump():
    global counter
    counter += 1
    return counter


def modules():
    import sys

    return "json" in sys.modules


import json  # noqa: F401

with atoll.create() as interp:
    print(interp.call(bump), interp.call(bump), "here:", counter)
    print("json loaded here:", "json" in sys.modules, "- there:", interp.call(modules))
    interp.exec("import os; os.environ['ATOLL_EXAMPLE'] = '1'")
    import os

    print("in this interpreter's os.environ:", "ATOLL_EXAMPLE" in os.environ)
