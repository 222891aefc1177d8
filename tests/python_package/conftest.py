"""What the tests of the Python package share: a folder of their own, and scripts that are run in it."""

import json
import os
import subprocess
import sys
import time
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

    def search_goes_on_after_a_kill(self, text, says, fits=12):
        """Kills a script, whose search of so many fits is kept in `kept`, after some of them, and runs it again: that makes the others.
        Each fit is noted in `calls`; from the sixth on, they wait for the file `go`.
        """
        self.write("slow.py", text)
        calls = self.write("calls", "")
        process = subprocess.Popen([sys.executable, "slow.py"], cwd=self.folder, env=self.environment())
        until = time.monotonic() + 200
        while len(calls.read_text().splitlines()) < 3:
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        process.kill()
        process.wait()
        status = next(self.folder.glob("kept/*/runs/status.json"))

        def wait_while(state):
            while json.loads(status.read_text())["state"] == state:
                assert time.monotonic() < until
                time.sleep(0.05)

        wait_while("running")  # it ends in order with its caller
        self.write("go", "")
        wait_while("ending")
        before = self.calls()
        assert self.python("slow.py").ends().out == says
        after = self.calls()
        assert 3 <= before < fits and fits - before <= after <= fits - before + 1, (before, after)
        assert not list(self.folder.glob("kept/*/fits-*")), "the copy of the data of the killed one is gone"

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
