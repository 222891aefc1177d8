"""Which gridmpi is called."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from .errors import Error


def program() -> str:
    """The path of the gridmpi that is called: the one that ``GRIDMPI_PROGRAM`` names, else that of this installation,
    else the one that a checkout of the sources has built, else the one on PATH.
    """
    named = os.environ.get("GRIDMPI_PROGRAM")
    if named:
        if not os.access(named, os.X_OK):
            raise Error(f"GRIDMPI_PROGRAM names {named}, which is no program")
        return named
    here = Path(__file__).resolve()
    places = [Path(sys.executable).parent / "gridmpi"]
    places += [here.parents[2] / "target" / kind / "gridmpi" for kind in ("release", "debug")]
    for place in places:
        if place.is_file() and os.access(place, os.X_OK):
            return str(place)
    found = shutil.which("gridmpi")
    if found is None:
        raise Error("there is no program gridmpi: install the package, or name one in GRIDMPI_PROGRAM")
    return found
