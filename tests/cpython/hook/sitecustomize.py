"""Puts atoll in the place of the standard module, at the start of every interpreter.

`tests/cpython/run.py` puts this folder on PYTHONPATH, so that child processes
and interpreters that CPython's tests make by other means have it too.

test_queues imports two private modules of the standard package.  `_queues`
gives it atoll's names under the private ones; `_crossinterp` is CPython's own,
for its tests of private functions.
"""

import os
import sys

if os.environ.get("ATOLL_CPYTHON_TESTS") == "atoll":
    import atoll

    atoll.install()

    ModuleType = type(sys)

    class Queues(ModuleType):
        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return getattr(atoll, name)

        @staticmethod
        def create(maxsize=0, *, unbounditems=None):
            # The tests are about a queue that has a policy, which atoll's
            # have only where it is named: docs/deviations.md.
            policy = atoll.UNBOUND if unbounditems is None else unbounditems
            return atoll.create_queue(maxsize, unbounditems=policy)

    class CrossInterp(ModuleType):
        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            from concurrent import __path__
            from importlib.util import module_from_spec, spec_from_file_location

            file = os.path.join(__path__[0], "interpreters", "_crossinterp.py")
            spec = spec_from_file_location(self.__name__, file)
            module = sys.modules[self.__name__] = module_from_spec(spec)
            spec.loader.exec_module(module)
            self.__dict__.update(vars(module))
            return vars(module)[name]

    for kind, private in (Queues, "_queues"), (CrossInterp, "_crossinterp"):
        full = f"concurrent.interpreters.{private}"
        sys.modules[full] = kind(full)
