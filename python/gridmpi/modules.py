"""What the user's own modules are made of: each name with the source that defines it, comments and places apart."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import site
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

SHORT = 80  # a source up to this length stands for itself, in characters
INSTALLED = {sysconfig.get_paths()[name] for name in ("purelib", "platlib")} | {site.getusersitepackages()}
LIBRARY = {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib")} | {os.path.dirname(os.__file__)}


def is_own(path: str | None) -> bool:
    """Whether a file is the user's: neither the standard library's nor an installed package's."""
    if not path or path.startswith("<"):
        return False
    path = os.path.abspath(path)
    if "/site-packages/" in path or "/dist-packages/" in path:
        return False
    return not any(path.startswith(os.path.join(folder, "")) for folder in INSTALLED | LIBRARY)


def own_file(module: str) -> str | None:
    """The file of a module of the user's, or nothing."""
    try:
        spec = importlib.util.find_spec(module)
    except Exception:  # a package around it is imported
        return None
    return spec.origin if spec and spec.has_location and is_own(spec.origin) else None


def digest_of_text(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


@dataclass
class Source:
    """A module's file, taken apart."""

    module: str
    package: str
    items: dict[str, list[ast.stmt]] = field(default_factory=dict)
    rest: list[ast.stmt] = field(default_factory=list)


def is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).replace('"', "'") == "__name__ == '__main__'"


def names_of(node: ast.stmt) -> list[str]:
    """The names that a statement at the top level defines; none if it does something else, too."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = [part for target in node.targets
                   for part in (target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target])]
    elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
        targets = [node.target]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return names if len(names) == len(targets) else []


def read(path: str, module: str) -> Source:
    """Takes a file apart; one that cannot be read as Python counts as a whole."""
    is_package = os.path.basename(path).startswith("__init__.")
    found = Source(module, module if is_package else module.rpartition(".")[0])
    for node in ast.parse(Path(path).read_bytes()).body:
        names = names_of(node)
        for name in names:
            found.items.setdefault(name, []).append(node)
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not names and not is_text and not is_main_guard(node):
            found.rest.append(node)
    return found


class Modules:
    """Collects the parts of modules that functions reach."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.sources: dict[str, str] = {}  # by the digest that stands for them
        self.files: dict[str, str] = {}  # the digest of the content, by path
        self._read: dict[str, Source | None] = {}
        self._seen: set[tuple[str, str]] = set()

    def whole(self, module: str) -> None:
        """All of a module."""
        source = self._source(module)
        if source is not None:
            for name in source.items:
                self.name(module, name)

    def name(self, module: str, name: str) -> None:
        """A name of a module, and all that its source names."""
        source = self._source(module)
        if source is None or (module, name) in self._seen:
            return
        self._seen.add((module, name))
        nodes = source.items.get(name)
        if nodes is None:
            self.whole(f"{module}.{name}")  # a module of a package
            return
        kept = [node for node in nodes if not isinstance(node, (ast.Import, ast.ImportFrom))]
        if kept:
            self._keep(f"{module}.{name}", kept)
        for node in nodes:
            self._follow(source, node)

    def _source(self, module: str) -> Source | None:
        if module in self._read:
            return self._read[module]
        self._read[module] = None
        package, _, _ = module.rpartition(".")
        if package:
            self._source(package)  # it is imported before
        path = own_file(module)
        if path is None:
            return None
        content = Path(path).read_bytes()
        digest = hashlib.blake2b(content, digest_size=12).hexdigest()
        self.files[os.path.abspath(path)] = digest
        try:
            source = read(path, module)
        except (SyntaxError, ValueError):  # compiled
            self.parts[module] = f"content {digest}"
            return None
        self._read[module] = source
        if source.rest:
            self._keep(f"{module}, statements", source.rest)
        for node in source.rest:
            self._follow(source, node)
        return source

    def _keep(self, part: str, nodes: list[ast.stmt]) -> None:
        text = "\n".join(ast.unparse(node) for node in nodes)
        self.parts[part] = self.shown(text)

    def shown(self, text: str) -> str:
        """A source if it is short, else the digest that stands for it."""
        if len(text) <= SHORT and "\n" not in text:
            return text
        digest = digest_of_text(text)
        self.sources[digest] = text
        return f"source {digest}"

    def _follow(self, source: Source, top: ast.stmt) -> None:
        """What a statement names, imports within functions included."""
        for node in ast.walk(top):
            if isinstance(node, ast.Name) and node.id in source.items:
                self.name(source.module, node.id)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.whole(alias.name)
            elif isinstance(node, ast.ImportFrom):
                self._follow_from(source, node)

    def _follow_from(self, source: Source, node: ast.ImportFrom) -> None:
        name = "." * node.level + (node.module or "")
        try:
            module = importlib.util.resolve_name(name, source.package) if node.level else name
        except ImportError:
            return
        for alias in node.names:
            if alias.name == "*":
                self.whole(module)
            else:
                self.name(module, alias.name)


def python_version() -> str:
    """The version of Python that decides what code is: its minor one."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
