"""Tables of results: rows as dicts, columns as lists, and frames where the packages for them are installed."""

from __future__ import annotations

import html
import importlib
import itertools
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ._program import program
from .errors import Error
from .exact import Exact, is_marked
from .process import called, environment, folder_of

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped,import-not-found,unused-ignore]
    import polars  # type: ignore[import-not-found,unused-ignore]
    import pyarrow  # type: ignore[import-untyped,import-not-found,unused-ignore]

SHOWN = 20  # rows that a notebook shows


class Table(Sequence[Mapping[str, Any]]):
    """Rows of results. They are read when they are asked for.

    ``table[0]`` is a row, ``table["score"]`` a column; ``len(table)`` is the number of rows.
    """

    def __init__(self, read: Callable[[], list[dict[str, Any]]]) -> None:
        self._read = read
        self._rows: list[dict[str, Any]] | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows, as dicts by the names of the columns."""
        if self._rows is None:
            self._rows = self._read()
        return self._rows

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return names_of(self.rows)

    @property
    def columns(self) -> dict[str, list[Any]]:
        """The columns, as lists by their names."""
        return {name: [row.get(name) for row in self.rows] for name in self.names}

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: str) -> list[Any]: ...
    @overload
    def __getitem__(self, key: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, key: int | str | slice) -> dict[str, Any] | list[Any]:
        if isinstance(key, str):
            if key not in self.names:
                raise KeyError(f"there is no column {key!r} (columns: {', '.join(self.names)})")
            return [row.get(key) for row in self.rows]
        return self.rows[key]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __eq__(self, other: object) -> bool:
        return self.rows == (other.rows if isinstance(other, Table) else other)

    __hash__ = None  # type: ignore[assignment]

    def head(self, count: int = SHOWN) -> list[dict[str, Any]]:
        """The first rows."""
        return self.rows[:count]

    def to_pandas(self) -> pandas.DataFrame:
        """A frame of pandas."""
        frame: Any = package("pandas").DataFrame(self.columns)
        return frame  # type: ignore[no-any-return,unused-ignore]

    def to_polars(self) -> polars.DataFrame:
        """A frame of polars."""
        frame: Any = package("polars").DataFrame(self.rows, infer_schema_length=None)
        return frame  # type: ignore[no-any-return,unused-ignore]

    def to_arrow(self) -> pyarrow.Table:
        """A table of Arrow."""
        return package("pyarrow").table(self.columns)

    def __repr__(self) -> str:
        rows = self.head(SHOWN + 1)
        names = names_of(rows)
        cells = [[shown(row.get(name)) for name in names] for row in rows[:SHOWN]]
        widths = [max(map(len, column)) for column in zip(names, *cells)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in [names, *cells]]
        return "\n".join([*lines, *(["..."] if len(rows) > SHOWN else [])]) if names else "(no rows)"

    def _repr_html_(self) -> str:
        rows = self.head(SHOWN + 1)
        names = names_of(rows)
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(shown(row.get(name)))}</td>" for name in names) + "</tr>"
            for row in rows[:SHOWN]
        )
        more = "<tr><td>...</td></tr>" if len(rows) > SHOWN else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}{more}</tbody></table>"


def names_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the columns of rows, as they come."""
    return list(dict.fromkeys(name for row in rows for name in row))


def shown(value: Any) -> str:
    """A cell for people."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text if len(text) <= 80 else text[:77] + "..."
    return text.replace("\n", " ")


def package(name: str) -> Any:
    """A package that this needs and the rest does not."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Error(f"this takes {name}: pip install {name}, or use rows and columns, which take nothing") from None


class Export(Table):
    """A table that ``gridmpi export`` writes, with its types and names."""

    def __init__(self, folder: str, options: Sequence[str] = ()) -> None:
        self._folder, self._words = folder, ["export", folder, *options]
        self._groups = options[1] if options[:1] == ["--groups"] else None
        super().__init__(self._read_all)

    def _read_all(self) -> list[dict[str, Any]]:
        text = called([*self._words, "--format", "jsonl"])
        rows = [json.loads(line) for line in text.split(b"\n") if line]
        exact = Exact(self._folder)
        exact.runs(rows) if self._groups is None else exact.groups(rows, self._groups)
        return rows

    def head(self, count: int = SHOWN) -> list[dict[str, Any]]:
        if self._rows is not None or count < 0:
            return self.rows[:count]
        words = [program(), *self._words, "--format", "jsonl"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()) as process:
            assert process.stdout is not None
            lines = list(itertools.islice(process.stdout, count))
            has_all = len(lines) == count and all(line.endswith(b"\n") for line in lines)
            has_failed = not has_all and process.wait() != 0
            process.kill()
        rows = [] if has_failed else [json.loads(line) for line in lines]
        if has_failed or self._groups is not None and any(map(is_marked, rows)):
            return self.rows[:count]  # which says why
        if self._groups is None:
            Exact(self._folder).runs(rows)
        return rows

    def _parquet(self, read: Callable[[str], Any]) -> Any:
        with folder_of("table") as folder:
            file = str(Path(folder) / "table.parquet")
            called([*self._words, "--format", "parquet", "--to", file])
            return read(file)

    def to_pandas(self) -> pandas.DataFrame:
        """A frame of pandas, with the types of the Parquet export. This takes pyarrow, too."""
        read = package("pandas").read_parquet
        package("pyarrow")
        frame: Any = self._parquet(read)
        return frame  # type: ignore[no-any-return,unused-ignore]

    def to_polars(self) -> polars.DataFrame:
        """A frame of polars, with the types of the Parquet export."""
        read = package("polars").read_parquet
        frame: Any = self._parquet(lambda file: read(file, memory_map=False))
        return frame  # type: ignore[no-any-return,unused-ignore]

    def to_arrow(self) -> pyarrow.Table:
        """A table of Arrow, with the types of the Parquet export."""
        package("pyarrow")
        read = package("pyarrow.parquet").read_table
        return self._parquet(lambda file: read(file, memory_map=False))
