"""What the tests of the Python package share: a folder of their own, and scripts that are run in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "python"


class Ran:
    """What a script has printed, and how it ended."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def ends(self, code=0):
        assert self.code == code, f"{self.out}\n{self.err}"
        return self


class Desk:
    """An empty working folder."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def environment(self, **more):
        return {**os.environ, "PYTHONPATH": str(PACKAGE), **more}

    def python(self, *words, **more):
        """Runs Python in the folder."""
        done = subprocess.run([sys.executable, *map(str, words)], cwd=self.folder, env=self.environment(**more),
                              capture_output=True, text=True, timeout=300)
        return Ran(done)

    def script(self, text, *words, name="tune.py", **more):
        """Runs a script in the folder."""
        self.write(name, text)
        return self.python(name, *words, **more)

    def calls(self):
        """How many calls were noted in the file `calls` since the last look."""
        path = self.folder / "calls"
        count = len(path.read_text().splitlines()) if path.exists() else 0
        path.unlink(missing_ok=True)
        return count


@pytest.fixture
def desk(tmp_path, monkeypatch):
    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)
