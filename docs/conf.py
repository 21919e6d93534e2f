"""How Sphinx builds the documentation: `tools/dev docs`.

Pages are Markdown (MyST).  Three things are made here rather than bought:

- ``{example} NAME``: docs/examples/NAME and, below it, what it prints, which is
  the file NAME.out that tests/meta/test_docs.py compares with the real output;
- signatures of the C types and functions come from the stubs, which have types;
- docstrings are written for help(): a paragraph that begins with a parameter's
  name and a colon, or with "Raises", becomes a field of the reference.
"""

from __future__ import annotations

import ast
import builtins
import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

import atoll

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

project = "atoll"
author = "The atoll authors"
copyright = author
version = release = atoll.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.intersphinx", "sphinx_copybutton"]
exclude_patterns = ["_generated/*.md", "examples", "benchmarks/*.md"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["ref.python"]  # there are three classes Options
nitpicky = False

html_theme = "furo"
html_title = f"atoll {version}"
html_static_path = ["_static"]
html_css_files = ["atoll.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"

# No network at build time: the inventory is not fetched, links go by hand.
intersphinx_mapping: dict[str, Any] = {}

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_docstring_signature = False  # the stubs have them
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


# ---------------------------------------------------------------- examples


class Example(Directive):
    """The program, then what it prints."""

    required_arguments = 1
    option_spec = {"lines": str, "no-output": lambda _: True}

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        folder = ROOT / "examples" if name.startswith("/") else HERE / "examples"
        name = name.lstrip("/")
        path = folder / name
        if not path.exists():
            raise self.error(f"there is no example {path.relative_to(ROOT)}")
        env = self.state.document.settings.env
        env.note_dependency(str(path))
        language = {".py": "python", ".sh": "console", ".pycon": "pycon"}[path.suffix]
        text = path.read_text()
        lines = [*self.block(language, text, str(path.relative_to(ROOT)) if path.suffix == ".py" else "")]
        out = HERE / "examples" / (name + ".out")
        if "no-output" not in self.options and path.suffix != ".pycon":
            if not out.exists():
                raise self.error(f"{out.relative_to(ROOT)} is missing")
            env.note_dependency(str(out))
            lines += ["", *self.block("text", out.read_text(), "Output")]
        node = nodes.container()
        self.state.nested_parse(StringList(lines, source=str(path)), self.content_offset, node)
        return node.children

    def block(self, language: str, text: str, caption: str) -> list[str]:
        """A fenced block, longer fences than the text has."""
        if language == "console":
            text = "".join(f"$ {line}\n" for line in text.splitlines() if line and not line.startswith("#"))
        return [
            f"`````{{code-block}} {language}",
            *([f":caption: {caption}"] if caption else []),
            *([":class: output"] if caption == "Output" else []),
            "",
            *text.rstrip("\n").split("\n"),
            "`````",
        ]


class CommandHelp(Directive):
    """What `atoll --help` and the --help of each of its commands say, asked for as the page is built."""

    def run(self) -> list[nodes.Node]:
        from atoll.__main__ import _parser

        os.environ["COLUMNS"] = "88"
        os.environ["NO_COLOR"] = "1"
        parser = _parser()
        lines = ["## atoll", "", *self.block(parser.format_help())]
        (commands,) = (action for action in parser._actions if action.dest == "command")
        for name, command in (commands.choices or {}).items():
            lines += ["", f"## atoll {name}", "", *self.block(command.format_help())]
        node = nodes.section()
        node.document = self.state.document
        self.state.nested_parse(StringList(lines, source="atoll --help"), 0, node, match_titles=True)
        return node.children

    def block(self, text: str) -> list[str]:
        return ["````{code-block} text", "", *text.rstrip().split("\n"), "````"]


# ------------------------------------------------- signatures from the stubs


def stub_signatures() -> dict[str, tuple[str, str | None]]:
    """For "Interpreter.call" and the like: its arguments and what it returns."""
    found: dict[str, tuple[str, str | None]] = {}
    tree = ast.parse((ROOT / "src/atoll/_core.pyi").read_text())

    def add(prefix: str, body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                add(f"{node.name}.", node.body)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                name = prefix + node.name
                args = node.args
                if prefix:
                    for group in (args.posonlyargs, args.args):
                        if group and group[0].arg in ("self", "cls"):
                            del group[0]
                            break
                if name.endswith(".__new__"):
                    name = prefix[:-1]
                returns = None if name == prefix[:-1] or node.returns is None else ast.unparse(node.returns)
                text = re.sub(r"\b_([PRT])\b", r"\1", f"({ast.unparse(args)})")
                found[name] = text, returns and re.sub(r"\b_([PRT])\b", r"\1", returns)

    add("", tree.body)
    return found


SIGNATURES = stub_signatures()


def give_signature(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    own = name.removeprefix("atoll.").removeprefix("sync.").removeprefix("_core.")
    if what in ("class", "method", "function") and own in SIGNATURES:
        # Where the C part and a Python class share a name, C has no code.
        if not hasattr(obj, "__code__"):
            return SIGNATURES[own]
    return None


# -------------------------------------------------------------- docstrings


PARAMETERS = re.compile(r"([a-z_]\w*(?:, [a-z_]\w*)*): (.*)")
#: Names of exceptions in docstrings become links.
EXCEPTIONS = {
    name
    for module in (builtins, atoll)
    for name in dir(module)
    if isinstance(getattr(module, name), type) and issubclass(getattr(module, name), BaseException)
}


def exception(match: re.Match[str]) -> str:
    name = match[0]
    if name not in EXCEPTIONS:
        return name
    return f":py:exc:`~atoll.{name}`" if hasattr(atoll, name) else f"``{name}``"


def mark_up(text: str) -> str:
    """What looks like a call is code, the name of an exception a link."""
    parts = re.split(r"(``.*?``|:[\w:]+:`.*?`|(?<![`\w.:])[A-Za-z_][\w.]*\([^()`]*\))", text)
    for i, part in enumerate(parts):
        if i % 2 and not part.startswith(("`", ":")):
            parts[i] = f"``{part}``"
        elif not i % 2:
            parts[i] = re.sub(r"(?<![\w.`])[A-Z]\w+(?![\w`(])", exception, part)
    return "".join(parts)


def give_fields(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Paragraphs "name: text" and "Raises X ..." become fields."""
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if not line.strip():
            paragraphs.append([])
        elif re.match(PARAMETERS, line) and callable(obj):
            paragraphs.append([line])
        else:
            paragraphs[-1].append(line)
    done: list[str] = []
    literal = False
    for paragraph in paragraphs:
        if not paragraph:
            continue
        if paragraph[0].startswith(" "):
            done += [*paragraph, ""]
            continue
        paragraph = [mark_up(text) for text in paragraph]
        first = paragraph[0]
        match = re.match(PARAMETERS, first)
        if match and callable(obj) and not literal:
            rest = [f"    {line.strip()}" for line in paragraph[1:]]
            done += [f":param {match[1]}: {match[2]}", *rest, ""]
        else:
            done += [*paragraph, ""]
        literal = paragraph[-1].endswith("::")
    lines[:] = done


def setup(app: Any) -> None:
    app.add_directive("example", Example)
    app.add_directive("command-help", CommandHelp)
    app.connect("autodoc-process-signature", give_signature)
    app.connect("autodoc-process-docstring", give_fields)
