"""Arrays and frames by their content: how they lie in memory and what they have cached does not count."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from typing import Any


def is_of(value: Any, module: str, *names: str) -> bool:
    """Whether a value is of one of these classes of a module, if that is loaded."""
    loaded = sys.modules.get(module)
    kinds = [getattr(loaded, name, None) for name in names] if loaded else []
    return any(isinstance(kind, type) and isinstance(value, kind) for kind in kinds)


def is_array(value: Any) -> bool:
    """Whether a value is an array, a frame, a series or an index that `pieces_of` knows."""
    return (is_of(value, "numpy", "ndarray") and not is_of(value, "numpy.ma", "MaskedArray")
            or is_of(value, "pandas", "DataFrame", "Series", "Index")
            or is_of(value, "pandas.api.extensions", "ExtensionArray")
            or is_of(value, "polars", "DataFrame", "Series"))


def pieces_of(value: Any) -> Iterator[Any]:
    """What it holds, as simpler values."""
    if is_of(value, "pandas", "DataFrame", "Series"):
        return frame(value)
    if is_of(value, "pandas", "Index"):
        return index(value)
    if is_of(value, "pandas.api.extensions", "ExtensionArray"):
        return extension(value)
    if is_of(value, "polars", "DataFrame", "Series"):
        return of_polars(value)
    return array(value)


def array(value: Any) -> Iterator[Any]:
    kind = value.dtype
    yield f"{kind.str} {kind.descr if kind.names else ''} {value.shape}"
    if kind.hasobject:
        yield value.tolist()
    else:
        hasher = hashlib.blake2b(digest_size=16)
        try:
            hasher.update(memoryview(value).cast("B"))  # a large one is not copied
        except (TypeError, ValueError, BufferError):  # in another order, empty, or dates
            hasher.update(value.tobytes())
        yield hasher.digest()
    more = getattr(value, "__dict__", None)
    if more:  # of a class that adds to arrays
        yield dict(more)


def frame(value: Any) -> Iterator[Any]:
    yield value.index
    yield dict(value.attrs)
    yield bool(value.flags.allows_duplicate_labels)
    yield {name: getattr(value, name, None) for name in value._metadata}
    if value.ndim == 1:
        yield from column(value)
        return
    yield value.columns
    for at in range(value.shape[1]):
        yield from column(value.iloc[:, at])


def column(value: Any) -> Iterator[Any]:
    """The values of a series or an index, with their type."""
    yield repr(value.dtype)
    yield value.to_numpy() if is_of(value.dtype, "numpy", "dtype") else value.array


def index(value: Any) -> Iterator[Any]:
    yield list(value.names)
    yield getattr(value, "freqstr", None)
    for level in range(value.nlevels):
        one = value.get_level_values(level) if value.nlevels > 1 else value
        yield from column(one)


def extension(value: Any) -> Iterator[Any]:
    """An array of pandas' own."""
    yield f"{value.dtype!r} {getattr(value.dtype, 'storage', '')}"
    if hasattr(value.dtype, "categories"):
        yield bool(value.ordered)
        yield value.categories
        yield value.codes
    elif hasattr(value, "asi8"):  # dates and periods
        yield str(value.dtype)
        yield value.asi8
    else:
        yield value.astype(object).tolist()


def of_polars(value: Any) -> Iterator[Any]:
    for one in value.get_columns() if hasattr(value, "get_columns") else [value]:
        yield one.name
        yield repr(one.dtype)
        categories: Any = getattr(one.dtype, "categories", None)
        yield list(categories) if is_of(categories, "polars", "Series") else None
        yield one.to_list()
