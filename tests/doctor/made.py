"""Distributions of each class, made for the tests of `atoll doctor`.

Each is a folder of files and a .dist-info beside it; the extension modules
come from one piece of C, whose behaviour a macro chooses.
"""

from __future__ import annotations

import shlex
import subprocess
import sysconfig
from pathlib import Path

SOURCE = r"""
#include <Python.h>
#include <stdlib.h>
#include <unistd.h>

static int is_main(void)
{
    return PyInterpreterState_Get() == PyInterpreterState_Main();
}

static int times;

static int fill(PyObject *module)
{
    times++;
#ifdef ONLY_MAIN
    if (!is_main()) {
        PyErr_SetString(PyExc_ImportError, "only the main interpreter may load this");
        return -1;
    }
#endif
#ifdef CRASH_SECOND
    if (times > 1) abort();
#endif
#ifdef QUIT
    if (!is_main()) _exit(7);
#endif
#ifdef HANG
    if (!is_main()) for (;;) pause();
#endif
    return PyModule_AddIntConstant(module, "times", times + is_main());
}

static void let_go(void *module)
{
#ifdef CRASH_CLOSING
    if (!is_main()) abort();
#endif
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill},
#ifndef NO_SLOT
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef def = {
    PyModuleDef_HEAD_INIT, .m_name = "made", .m_free = let_go,
#ifdef SINGLE
    .m_size = 0,
#else
    .m_slots = slots,
#endif
};

PyMODINIT_FUNC INIT(void)
{
#ifdef SINGLE
    PyObject *module = PyModule_Create(&def);
    if (module != NULL && fill(module) < 0) Py_CLEAR(module);
    return module;
#else
    return PyModuleDef_Init(&def);
#endif
}
"""

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


class Site:
    """A folder to be put on PYTHONPATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "made.c"
        self.source.write_text(SOURCE)

    def compile(self, path: str, *macros: str) -> None:
        target = self.folder / (path + SUFFIX)
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [
            *shlex.split(sysconfig.get_config_var("CC")),
            "-shared",
            "-fPIC",
            "-Wno-unused",
            f"-I{sysconfig.get_path('include')}",
            f"-DINIT=PyInit_{target.name.split('.')[0]}",
            *(f"-D{macro}" for macro in macros),  # an INIT among them comes later, and counts
            str(self.source),
            "-o",
            str(target),
        ]
        out = subprocess.run(command, capture_output=True, text=True)
        assert out.returncode == 0, out.stderr

    def add(self, name: str, files: dict[str, str], extensions: dict[str, list[str]] | None = None) -> None:
        """A distribution of Python files (path -> text) and extension modules (path -> macros)."""
        for path, text in files.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        for path, macros in (extensions or {}).items():
            self.compile(path, *macros)
        info = self.folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        listed = [*files, *(path + SUFFIX for path in extensions or {}), f"{info.name}/METADATA"]
        (info / "RECORD").write_text("".join(f"{path},,\n" for path in listed))


def make(folder: Path) -> Site:
    """One distribution of each class."""
    site = Site(folder)
    site.add("made-works", {"made_works/__init__.py": "from . import _c"}, {"made_works/_c": []})
    site.add(
        "Made.Slower",
        {
            "made_slower/__init__.py": "try:\n    from . import _c\nexcept ImportError:\n    from . import _pure\n",
            "made_slower/_pure.py": "",
        },
        {"made_slower/_c": ["SINGLE"]},
    )
    site.add(
        "made-without",
        {"made_without.py": "try:\n    import made_helper\nexcept ImportError:\n    made_helper = None\n"},
    )
    # An old private name beside the package, which minds what the package goes without.
    site.add(
        "made-alias",
        {
            "made_alias/__init__.py": "try:\n    from . import _c\nexcept ImportError:\n    _c = None\n",
            "_made_alias.py": "import made_alias\nif made_alias._c is None:\n    raise ModuleNotFoundError('_made_alias')\n",
        },
        {"made_alias/_c": ["SINGLE"]},
    )
    # Its part in C stands alone, and is wanted by a module that nothing imports at first.
    site.add(
        "made-apart",
        {
            "made_apart/__init__.py": "",
            "made_apart/api.py": "try:\n    import _made_apart_c\nexcept ImportError:\n    _made_apart_c = None\n",
        },
        {"_made_apart_c": ["SINGLE"]},
    )
    # In the main interpreter another part in C takes the place of the one that the fallback would be from.
    site.add(
        "made-choice",
        {
            "made_choice/__init__.py": "try:\n    from . import fast_best\nexcept ImportError:\n"
            "    try:\n        from . import fast\n    except ImportError:\n"
            "        import warnings\n        warnings.warn('the fast part is missing')\n",
        },
        {"made_choice/fast_best": ["SINGLE"], "made_choice/fast": ["SINGLE"]},
    )
    # Its part in C is no module: api loads it in a way of its own, for which it needs what refuses.
    site.add(
        "made-by-hand",
        {"made_by_hand/__init__.py": "", "made_by_hand/api.py": "import made_helper\nPART = '_raw'\n"},
        {"made_by_hand/_raw": ["INIT=no_module"]},
    )
    site.add("made-helper", {}, {"made_helper": ["NO_SLOT"]})
    site.add(
        "made-shared", {"made_shared/__init__.py": "from ._c import times"}, {"made_shared/_c": ["SINGLE"]}
    )
    site.add("made-main", {"made_main/__init__.py": "from . import _c"}, {"made_main/_c": ["ONLY_MAIN"]})
    # Imports nothing of C by itself.
    site.add(
        "made-lazy",
        {"made_lazy/__init__.py": "", "made_lazy/use.py": "from made_lazy import _c\n"},
        {"made_lazy/_c": ["NO_SLOT"]},
    )
    site.add("made-needs", {"made_needs.py": "import made_between\n"})
    site.add("made-between", {"made_between/__init__.py": "import made_shared\n"})
    site.add(
        "made-crash", {"made_crash/__init__.py": "from . import _c"}, {"made_crash/_c": ["CRASH_SECOND"]}
    )
    site.add(
        "made-crash-late",
        {"made_crash_late/__init__.py": "from . import _a, _c"},
        {"made_crash_late/_a": [], "made_crash_late/_c": ["CRASH_CLOSING"]},
    )
    site.add("made-quit", {"made_quit/__init__.py": "from . import _c"}, {"made_quit/_c": ["QUIT"]})
    site.add("made-broken", {"made_broken.py": "import no_such_module_of_mine\n"})
    site.add(
        "made-thread",
        {
            "made_thread.py": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        },
    )
    site.add("made-space", {"made_space/inner/__init__.py": "", "made_space/alone.py": ""})
    site.add("made-nothing", {"made_nothing.txt": "no module"})
    site.add(
        "made-tests",
        {"made_tests_of/__init__.py": "", "made_tests_of/tests/__init__.py": "import made_tests_of._test_c"},
        {"made_tests_of/_test_c": ["SINGLE"]},
    )
    return site
