"""Ctrl-C at any place of some of atoll's Python code, one after the other."""

from __future__ import annotations

import sys
import threading
from types import CodeType, ModuleType

_TOOL = 4


class CtrlCAt:
    """KeyboardInterrupt before the n-th instruction of these modules that this thread runs in the block.

    `came` tells whether there were so many.  That is stricter than CPython,
    which looks for signals after calls, at the start of functions and where
    loops go round.
    """

    def __init__(self, at: int, *modules: ModuleType) -> None:
        self.left = at
        self.files = {module.__file__ for module in modules}
        self.thread = threading.get_ident()

    @property
    def came(self) -> bool:
        return self.left <= 0

    def __enter__(self) -> None:
        event = sys.monitoring.events.INSTRUCTION
        sys.monitoring.use_tool_id(_TOOL, "Ctrl-C")
        sys.monitoring.register_callback(_TOOL, event, self._reached)
        sys.monitoring.restart_events()
        sys.monitoring.set_events(_TOOL, event)

    def __exit__(self, *_: object) -> None:
        sys.monitoring.set_events(_TOOL, 0)
        sys.monitoring.register_callback(_TOOL, sys.monitoring.events.INSTRUCTION, None)
        sys.monitoring.free_tool_id(_TOOL)

    def _reached(self, code: CodeType, _: int) -> object:
        if code.co_filename not in self.files or code.co_name == "<genexpr>":
            return sys.monitoring.DISABLE  # what one raises as it is closed, CPython only reports
        if threading.get_ident() == self.thread:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return None
