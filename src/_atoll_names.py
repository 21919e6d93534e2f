"""`concurrent.interpreters` on CPython 3.12 and 3.13, which have no such module.

`atoll-names.pth` imports this file at every start of an interpreter, so it is
kept small: it appends one finder to `sys.meta_path`, which answers to one
name, after all others have said no.  atoll itself is imported only when
somebody asks for that name.  The environment variable ATOLL_NO_ALIAS switches
it off; nothing here raises.
"""

import sys


class AtollNames:
    """Finds `concurrent.interpreters` in atoll, where nothing else does."""

    @staticmethod
    def find_spec(fullname, path=None, target=None):
        if fullname != "concurrent.interpreters":
            return None
        try:
            from importlib.machinery import ModuleSpec, SourceFileLoader

            file = __file__.rpartition("_atoll_names")[0] + "atoll/_standard.py"
            loader = SourceFileLoader(fullname, file)
            loader.path_stats(file)  # OSError: atoll is no longer there
            spec = ModuleSpec(fullname, loader, origin=file)
            spec.has_location = True
            return spec
        except Exception:
            return None


sys.meta_path.append(AtollNames)
