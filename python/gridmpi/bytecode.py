"""What the code of a function names, and where it is found again."""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
import sys
import textwrap
import types
from collections.abc import Iterator
from typing import Any

READS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")


def is_importable(value: Any) -> bool:
    """Whether a function or class is found again by its module and name, in a process that imports it."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "<")
    if not isinstance(module, str) or module == "__main__" or "<" in name:
        return False
    found: Any = sys.modules.get(module)
    if getattr(found, "__file__", None) is None and module not in sys.builtin_module_names:
        return False
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code and those within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


def global_names(code: types.CodeType) -> list[str]:
    """The global names that a code reads, and those of the codes within it."""
    return sorted({instruction.argval for inner in codes(code) for instruction in dis.get_instructions(inner)
                   if instruction.opname in READS and isinstance(instruction.argval, str)})


def imports(code: types.CodeType) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """What a code imports: a module, the names from it, and how many packages up it begins."""
    for inner in codes(code):
        before: list[Any] = []
        for instruction in dis.get_instructions(inner):
            if instruction.opname == "IMPORT_NAME":
                level, names = before  # these two constants are always loaded for it
                yield str(instruction.argval), tuple(names or ()), int(level)
            if instruction.opname != "EXTENDED_ARG":
                before = [*before[-1:], instruction.argval]


def source_of(function: types.FunctionType) -> str:
    """The source of a function for people, without comments where it can be read; empty if nobody has it."""
    try:
        linecache.checkcache(function.__code__.co_filename)
        lines = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError, IndexError, SyntaxError):
        return ""
    try:
        return ast.unparse(ast.parse(lines))
    except (SyntaxError, ValueError):
        return lines.strip()  # a lambda in the middle of a statement
