"""What the user's own modules are made of: each one as a whole, comments and places apart, with all those that it
imports. A module may do anything when it is imported, so no part of it stands for itself.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

INSTALLED = {sysconfig.get_paths()[name] for name in ("purelib", "platlib")} | {site.getusersitepackages()}
LIBRARY = {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib")} | {os.path.dirname(os.__file__)}
PACKAGE = os.path.dirname(os.path.abspath(__file__))


def is_own(path: str | None) -> bool:
    """Whether a file is the user's: neither the standard library's nor an installed package's."""
    if not path or path.startswith("<"):
        return False
    path = os.path.abspath(path)
    if "/site-packages/" in path or "/dist-packages/" in path:
        return False
    return not any(path.startswith(os.path.join(folder, "")) for folder in INSTALLED | LIBRARY | {PACKAGE})


def spec_of(module: str) -> ModuleSpec | None:
    """Where a module is found. Nothing is imported for that."""
    loaded: ModuleSpec | None = getattr(sys.modules.get(module), "__spec__", None)
    if loaded is not None:
        return loaded
    package = module.rpartition(".")[0]
    if not package:
        return importlib.util.find_spec(module)
    around = spec_of(package)
    within = around.submodule_search_locations if around else None
    return PathFinder.find_spec(module, within) if within is not None else None


def own_file(module: str) -> str | None:
    """The file of a module of the user's, or nothing."""
    if module == "__main__":
        return None
    try:
        spec = spec_of(module)
    except (ImportError, AttributeError, TypeError, ValueError):
        return None
    return spec.origin if spec and spec.has_location and is_own(spec.origin) else None


def digest_of(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=12).hexdigest()


class Modules:
    """Collects the modules that functions reach."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}  # by paths that are the same wherever the module lies
        self.sources: dict[str, str] = {}  # by the digest that stands for them
        self.files: dict[str, str] = {}  # the digest of the content, by path
        self._seen: set[str] = set()
        self._below: set[str] = set()

    def add(self, module: str) -> None:
        """A module, the packages around it, and all that it imports."""
        waiting = [module]
        while waiting:
            name = waiting.pop()
            if name and name not in self._seen:
                self._seen.add(name)
                waiting += [name.rpartition(".")[0], *self._read(name)]

    def add_all_below(self, module: str) -> None:
        """A module, and what is loaded of those within it: they are its attributes."""
        if module not in self._below:
            self._below.add(module)
            for name in within(module):
                self.add(name)

    def add_imported(self, name: str, names: Iterable[str], level: int, package: str | None) -> None:
        """What an import statement names."""
        for module in imported(name, names, level, package):
            self.add(module)

    def _read(self, module: str) -> list[str]:
        path = own_file(module)
        if path is None:
            return []
        is_package = os.path.basename(path).startswith("__init__.")
        part = module.replace(".", "/") + ("/__init__" if is_package else "") + os.path.splitext(path)[1]
        while not os.path.isfile(path) and os.path.dirname(path) != path:
            path = os.path.dirname(path)  # the archive that it is in
        try:
            content = Path(path).read_bytes()
        except OSError:
            self.parts[part] = "cannot be read"
            return []
        self.files[os.path.abspath(path)] = digest_of(content)
        try:
            digest, text, statements = read(content)
        except (SyntaxError, ValueError, RecursionError):  # compiled, say
            self.parts[part] = f"content {digest_of(content)}"
            return []
        self.parts[part] = f"source {digest}"
        self.sources[digest] = text
        package = module if is_package else module.rpartition(".")[0]
        return [found for name, names, level in statements for found in imported(name, names, level, package)]


@functools.lru_cache(maxsize=256)
def read(content: bytes) -> tuple[str, str, tuple[tuple[str, tuple[str, ...], int], ...]]:
    """The digest of a source, its text without comments, and its import statements: a module, the names from it, and how
    many packages up it begins. A session reads the same modules for each value that it carries.
    """
    tree = ast.parse(content)
    statements: list[tuple[str, tuple[str, ...], int]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            statements += [(alias.name, (), 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            statements.append((node.module or "", tuple(alias.name for alias in node.names), node.level))
    return digest_of(ast.dump(tree).encode("utf-8", "surrogatepass")), ast.unparse(tree), tuple(statements)


def within(module: str) -> list[str]:
    """A module, and those loaded that are within it."""
    return [module, *sorted(name for name in list(sys.modules) if name.startswith(f"{module}.") and own_file(name))]


def imported(name: str, names: Iterable[str], level: int, package: str | None) -> list[str]:
    """The modules that an import statement may mean: each name from a package may be one."""
    try:
        module = importlib.util.resolve_name("." * level + name, package) if level else name
    except (ImportError, ValueError):
        return []
    found = [module]
    for one in names:
        found += within(module) if one == "*" else [f"{module}.{one}"]
    return found


def python_version() -> str:
    """The version of Python that decides what code is: its minor one."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
