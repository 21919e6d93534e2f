"""Two plugins that bring different versions of a module of the same name."""

import tempfile
from pathlib import Path

import atoll


def load(folder):
    import sys

    sys.path.insert(0, folder)  # of this interpreter alone
    import plugin

    return plugin.NAME


def use(text):
    import plugin

    return plugin.convert(text)


PLUGINS = {
    "shout": {
        "helper.py": "def change(text): return text.upper()",
        "plugin.py": "import helper\nNAME = 'shout'\ndef convert(text): return helper.change(text) + '!'",
    },
    "mirror": {
        "helper.py": "def change(text): return text[::-1]",
        "plugin.py": "import helper\nNAME = 'mirror'\ndef convert(text): return helper.change(text)",
    },
    "stuck": {"plugin.py": "NAME = 'stuck'\ndef convert(text):\n    while True: pass"},
}

with tempfile.TemporaryDirectory() as folder:
    hosts = {}
    for name, files in PLUGINS.items():
        place = Path(folder, name)
        place.mkdir()
        for file, text in files.items():
            (place / file).write_text(text)
        host = atoll.create(name=f"plugin {name}")
        host.call(load, str(place))
        host.limits(cpu_seconds=0.5)  # for every call from now on
        hosts[name] = host
    for name, host in hosts.items():
        try:
            print(name, "->", host.call(use, "lagoon"))
        except atoll.ExecutionInterrupted as error:
            print(name, "-> stopped:", error.__cause__)
            host.close()  # the others do not notice
