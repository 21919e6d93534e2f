"""Tests of CPython's that are not run on atoll, each with its reason.

Only what is about CPython's private modules, or about a deviation that
docs/deviations.md states, may stand here.  The key is a regular expression
for the whole name; the versions are those on which it is left out (none: all).
"""

from __future__ import annotations

EXCLUDED: dict[str, tuple[tuple[str, ...], str]] = {}
