"""Job files: what a nest is written as, and read from."""

from __future__ import annotations

import glob
import importlib
import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import functions, toml
from .digests import Contents, contents_of
from .errors import Error
from .functions import Carried, own_place
from .keys import KINDS, PRIVATE
from .loops import Loop

if TYPE_CHECKING:
    from .nest import Nest

FILE = "job.toml"
CARRIED, ID = "carried.json", "carried.id"  # what hosts get that do not see the folders, and by what they know these
IN_A_FILE = 'name a function of a file for it: "file.py:function"'


def text_of(top: Mapping[str, Any], crunch: Mapping[str, Any], final: Any, loops: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """The text of a job file."""
    tables = {key: value for key, value in top.items() if isinstance(value, Mapping)}
    plain = {key: value for key, value in top.items() if key not in tables}
    text = "".join(f"{key} = {toml.value(value, key)}\n" for key, value in plain.items())
    for name, fields in tables.items():
        text += "\n" + toml.table(name, fields)
    text += "\n" + toml.table("crunch", crunch)
    if final is not None:
        text += "\n" + toml.table("final", final)
    for name, keys in loops:
        text += "\n" + toml.table("loop", {"name": name, **keys}, many=True)
    return text


def base(nest: Nest) -> Path:
    """The folder to which relative paths are relative."""
    return Path(os.path.abspath(nest._top.get("folder", ".")))


def needs_function(nest: Nest) -> None:
    if not any(kind in nest._crunch for kind in KINDS):
        raise Error(f"say what to call: a function, or one of {', '.join(kind for kind in KINDS if kind != 'python')}")
    if not nest._loops:
        raise Error("the nest has no loop: add one with .loop(name, points)")


def portable(nest: Nest) -> str:
    """A job file that stands for itself; an error names what no file can hold."""
    needs_function(nest)
    folder, cannot = base(nest), []

    def named(function: Any, what: str) -> Any:
        if not callable(function):
            return function
        place = own_place(function, folder)
        if place is None:
            cannot.append(f"{what}, {functions.named(function)}, is in no file that it can name")
        return place

    def of_table(table: Mapping[str, Any], what: str) -> dict[str, Any]:
        return {key: named(value, f"{key} of {what}") for key, value in table.items()}

    loops = []
    for one in nest._loops:
        keys = dict(one.keys)
        if "objects" in keys:
            cannot.append(f"the points of loop '{one.name}' are objects of this session: {', '.join(keys['objects'])}")
        if "points" in keys:
            keys = {"python": named(keys.pop("points"), f"what gives the points of loop '{one.name}'"), **keys}
        if isinstance(keys.get("reduce"), Mapping):
            keys["reduce"] = of_table(keys["reduce"], f"the reduction of loop '{one.name}'")
        loops.append((one.name, keys))
    crunch = of_table({key: value for key, value in nest._crunch.items() if key not in PRIVATE}, "[crunch]")
    final = None if nest._final is None else of_table(nest._final, "[final]")
    if cannot:
        raise Error("a job file cannot hold this nest: " + "; ".join(cannot))
    top = dict(nest._top)
    if "folder" in top:
        top["folder"] = os.fspath(top["folder"])
    return text_of(top, crunch, final, loops)


def read(path: Path) -> Nest:
    """The nest of a job file."""
    from .nest import Nest

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            tomllib: Any = importlib.import_module("tomli")
        except ImportError:
            raise Error("to read a job file takes Python 3.11 or newer, or the package tomli") from None
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Error(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Error(f"{path}: not TOML: {error}") from None
    loops, crunch, final = found.pop("loop", None), found.pop("crunch", None), found.pop("final", None)
    if not isinstance(loops, list) or not isinstance(crunch, dict):
        raise Error(f"{path} is no job file: it has no [crunch], or no [[loop]]")
    nest = Nest(found.pop("name", path.stem))
    parsed = tuple(Loop(keys.pop("name", ""), keys) for keys in loops)
    folder = {"folder": os.path.join(os.path.abspath(path.parent), found.pop("folder", ""))}
    crunch["of_file"] = True
    return nest._with(_top={**nest._top, **found, **folder}, _loops=parsed, _crunch=crunch, _final=final)


class JobFile:
    """A nest on its way into a folder: its functions become files there."""

    def __init__(self, nest: Nest, results: Path) -> None:
        needs_function(nest)
        self.nest, self.folder = nest, base(nest)
        self.place = Path(os.path.abspath(results)) / functions.FOLDER
        self.objects = {one.name: one.keys["objects"] for one in nest._loops if "objects" in one.keys}
        self.files_of_objects: dict[str, str] = {}
        self.versions = {one.name: object_versions(one, self.files_of_objects) for one in nest._loops if "objects" in one.keys}
        self.carried: list[tuple[Carried, Contents | None, str | None]] = []
        self.beside: Mapping[str, str] = nest._crunch.get("beside", {})  # texts for children, by the names of their files
        self.folders: Sequence[str] = nest._crunch.get("folders", ())  # of files that the functions read

    def named(self, carried: Carried, function: str) -> str:
        """How the job file names a carried function."""
        return f"{os.path.relpath(self.place / (carried.file + '.py'), self.folder)}:{function}"

    def pattern(self, path: str) -> str:
        """A file as a pattern that matches it alone."""
        below = os.path.relpath(path, self.folder)
        return glob.escape(path if below.startswith("..") else below)

    def crunch(self) -> dict[str, Any]:
        """The table [crunch]."""
        keys = dict(self.nest._crunch)
        by_place, of_file = keys.pop("by_place", None), keys.pop("of_file", False)
        keys.pop("beside", None)
        keys.pop("folders", None)
        if "python" in keys and not of_file:
            keys.setdefault("interpreter", sys.executable or "python3")
        given = {name: keys[key] for name, key in (("crunch", "python"), ("load", "load")) if callable(keys.get(key))}
        if not given and self.objects:
            names = ", ".join(f"'{name}'" for name in self.objects)
            raise Error(f"only a function of this session gets objects as the points of {names}: give the function itself")
        if not given:
            return keys
        first = self.nest._loops[0].name
        data = keys.get("data", first)
        loads = "load" in given
        # What is loaded stands in place of the point of this loop.
        of_crunch = {name: one for name, one in self.objects.items() if not (loads and name == data)}
        of_load = {name: one for name, one in self.objects.items() if loads and name == data}
        carried = Carried("gridmpi_crunch", given, {"crunch": of_crunch, "load": of_load}, by_place)
        keys.update({key: self.named(carried, name) for name, key in (("crunch", "python"), ("load", "load")) if name in given})
        contents, known = None, None
        if "version" not in keys:
            contents = contents_of(carried.functions)
            keys["version"] = contents.all()
            contents.modules.files.update(self.files_of_objects)  # these count by the versions of the points
            seen = [self.pattern(path) for path in contents.modules.files]
            if seen:
                keys["ignore"] = [*keys.get("ignore", ()), *seen]
            known = contents_of({"functions": contents.digest(), "objects": self.versions}).digest()
            if any("version" in one.keys for one in self.nest._loops):
                known = None  # what the user says is no content
        self.carried.append((carried, contents, known))
        return keys

    def final(self) -> dict[str, Any] | None:
        """The table [final]."""
        if self.nest._final is None:
            return None
        keys = dict(self.nest._final)
        if callable(keys.get("python")):
            carried = Carried("gridmpi_final", {"final": keys["python"]}, {"final": self.objects})
            keys["python"] = self.named(carried, "final")
            contents = contents_of(carried.functions, IN_A_FILE)
            self.carried.append((carried, contents, contents.digest()))
        return keys

    def loops(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The tables [[loop]]."""
        points = Carried("gridmpi_points")
        reduce = Carried("gridmpi_reduce")
        found: list[tuple[str, Mapping[str, Any]]] = []
        for level, one in enumerate(self.nest._loops):
            keys = dict(one.keys)
            if "objects" in keys:
                objects = keys.pop("objects")
                keys = {**keys, "values": list(objects), "version": self.versions[one.name]}
            if "points" in keys:
                points.functions[f"points_{level}"] = keys.pop("points")
                points.objects[f"points_{level}"] = self.objects
                keys = {"python": self.named(points, f"points_{level}"), **keys}
            if isinstance(keys.get("reduce"), Mapping) and callable(keys["reduce"].get("python")):
                reduce.functions[f"reduce_{level}"] = keys["reduce"]["python"]
                keys["reduce"] = {"python": self.named(reduce, f"reduce_{level}")}
            found.append((one.name, keys))
        if points.functions:
            self.carried.append((points, None, None))
        if reduce.functions:
            contents = contents_of(reduce.functions, IN_A_FILE)
            self.carried.append((reduce, contents, contents.digest()))
        return found

    def write(self) -> Path:
        crunch, final, loops = self.crunch(), self.final(), self.loops()
        text = text_of({**self.nest._top, "folder": str(self.folder)}, crunch, final, loops)
        self.place.mkdir(parents=True, exist_ok=True)
        kept = set()
        for carried, contents, known in self.carried:
            kept.add(carried.write(self.place, contents, known))
        for old in self.place.glob("*.pickle"):
            if old.name not in kept:
                old.unlink(missing_ok=True)
        if self.carried:
            functions.write(self.place / "context.json", functions.context())
        for name, beside in self.beside.items():
            functions.write(self.place / name, beside.encode())
        self.let_carry()
        functions.write(self.place / FILE, text.encode())
        return self.place / FILE

    def let_carry(self) -> None:
        """Says which folders children read: hosts that do not see them get them from rank 0."""
        folders = [str(self.place), *self.folders] if self.carried else []
        (self.place / CARRIED).unlink(missing_ok=True)
        if folders:
            unguessable = secrets.token_hex(16)
            for folder in folders:
                functions.write(Path(folder) / ID, unguessable.encode())
            functions.write(self.place / CARRIED, json.dumps({"id": unguessable, "folders": folders}).encode())


def object_versions(loop: Loop, files: dict[str, str]) -> dict[str, str]:
    """The content of the objects of a loop, but for those of which the user says it; adds the files of their modules."""
    said = loop.keys.get("version", {})

    def version(name: str, one: Any) -> str:
        way_out = f'say what it is yourself, with version={{"{name}": "1"}} in the loop, and change that when it changes'
        contents = contents_of({f"'{name}' of loop '{loop.name}'": one}, way_out)
        files.update(contents.modules.files)
        return contents.digest()

    return {name: str(said[name]) if name in said else version(name, one) for name, one in loop.keys["objects"].items()}


def write(nest: Nest, results: Path) -> Path:
    """Puts a job file and its functions into a folder; returns the file's path."""
    return JobFile(nest, results).write()
