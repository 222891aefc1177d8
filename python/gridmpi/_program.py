"""Where the program ``gridmpi`` is that this package starts."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

from .errors import Error

_VARIABLE = "GRIDMPI_PROGRAM"
_NAME = "gridmpi"


def program() -> str:
    """Return the absolute path of the program.

    It is the one that the environment variable ``GRIDMPI_PROGRAM`` names; else the one that was
    installed with this package; else, in a checkout of the sources, the newest that cargo has
    built; else the one on ``PATH``.

    Raises:
        Error: ``GRIDMPI_PROGRAM`` names no executable file, or there is no program.
    """
    named = os.environ.get(_VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            raise Error(f"{_VARIABLE}={named}: not an executable file")
        return str(Path(found).absolute())
    checkout = Path(__file__).resolve().parent.parent.parent
    is_checkout = (checkout / "Cargo.toml").is_file()
    for path in _built(checkout) if is_checkout else _installed():
        if os.access(path, os.X_OK) and path.is_file():
            return str(path)
    found = shutil.which(_NAME)
    if found is None:
        raise Error(
            f"there is no program {_NAME} beside this package, in target/ of a checkout or on PATH; "
            f"`pip install {_NAME}` brings one, and {_VARIABLE} names another"
        )
    return str(Path(found).absolute())


def _installed() -> list[Path]:
    """The places of a wheel's program: of this environment, of the user, below ``--target``."""
    package = Path(__file__).resolve().parent
    folders = [sysconfig.get_path("scripts")]
    if f"{os.name}_user" in sysconfig.get_scheme_names():
        folders.append(sysconfig.get_path("scripts", f"{os.name}_user"))
    return [*(Path(folder) / _NAME for folder in folders), package.parent / "bin" / _NAME]


def _built(checkout: Path) -> list[Path]:
    """What cargo has built in a checkout, the newest first."""
    target = checkout / os.environ.get("CARGO_TARGET_DIR", "target")
    built = [target / profile / _NAME for profile in ("release", "debug")]
    return sorted((path for path in built if path.is_file()), key=_modified, reverse=True)


def _modified(path: Path) -> float:
    return path.stat().st_mtime
