"""Hosts that do not see the caller's folders get what is in them from rank 0, once each."""

import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn import model_selection as own
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor

import gridmpi
from gridmpi.sklearn import GridSearchCV, search

pytestmark = pytest.mark.skipif(
    subprocess.run(["unshare", "--mount", "--uts", "true"], capture_output=True).returncode != 0,
    reason="takes the right to make namespaces")

# All ranks but the first are on a host of another name, which has nothing where the caller's folders are.
HIDES = """#!/bin/sh
[ "$OMPI_COMM_WORLD_RANK" != 0 ] || exec "$@"
exec unshare --mount --uts --propagation private sh -c '
    hostname other
    for folder in HIDDEN; do [ ! -d "$folder" ] || mount -t tmpfs none "$folder"; done
    exec "$@"' sh "$@"
"""
COPIED = re.compile(r"host other does not see .* MiB are copied from rank 0 to (\S+)")
PLACES = [Path("/dev/shm"), Path(tempfile.gettempdir())]  # the second one where the first is small
GRID = {"alpha": [0.1, 1.0, 10.0, 100.0]}

rng = np.random.default_rng(3)
X = rng.normal(size=(4000, 80))  # 2.5 MB, so it is mapped
y = X[:, 0] + rng.normal(size=len(X))


def copies(of=""):
    """What there is of copies, or of these files in them."""
    return [found for place in PLACES for found in place.glob(f"gridmpi-carried-{os.getuid()}-*{of}")]


@pytest.fixture
def hiding(desk):
    """An option of mpirun, for ranks that do not see these folders."""
    def option(*folders):
        wrapper = desk.write("hides", HIDES.replace("HIDDEN", " ".join(map(str, folders))))
        wrapper.chmod(0o755)
        return [str(wrapper)]

    yield option
    assert not copies(), "copies go away with the run"


def test_a_function_and_its_values_reach_a_host_that_sees_nothing(desk, hiding, capfd):
    offsets = np.arange(5.0)

    def fit(x, y):
        return {"score": float(offsets[x] * y), "host": os.uname().nodename}

    nest = gridmpi.Nest("n").loop("x", range(5)).loop("y", {"one": 1.0, "two": 2.0}, reduce="max")
    option = hiding("results/n", "kept")
    found = nest.run(fit, workers=2, mpi=option, verbose=True)
    assert {row["host"] for row in found.runs} == {"other"}
    assert len(COPIED.findall(capfd.readouterr().err)) == 1, "once for both workers"
    assert [row["score"] for row in found.summary] == [0.0, 2.0, 4.0, 6.0, 8.0]
    on_threads = nest.run(fit, workers=2, results="threads")
    assert [row["score"] for row in on_threads.runs] == [row["score"] for row in found.runs]
    # A host that has the folder of another start does not take it for this one.
    nest.start(lambda x, y: -1.0, workers=1, results="kept").wait()
    subprocess.run(["cp", "-r", "kept", "stale"], check=True)
    wrapper = desk.folder / "hides"
    wrapper.write_text(wrapper.read_text().replace("mount -t tmpfs none", "mount --bind stale"))
    again = nest.run(fit, workers=2, mpi=option, results="kept", fresh=True, verbose=True)
    assert [row["score"] for row in again.runs] == [row["score"] for row in found.runs]
    assert len(COPIED.findall(capfd.readouterr().err)) == 1
    # What the host sees is not copied.
    seen = nest.run(fit, workers=2, mpi=hiding("none"), results="seen", verbose=True)
    assert {row["host"] for row in seen.runs} == {"other"} and not COPIED.findall(capfd.readouterr().err)


def test_a_map_reaches_such_a_host(desk, hiding):
    there = hiding("/tmp/gridmpi-map-*")
    found = gridmpi.map(lambda pair: (pair[0], os.uname().nodename), [(1, 2), (3, 4)], workers=1, mpi=there)
    assert found == [(1, "other"), (3, "other")]


def test_searches_on_such_a_host_are_equal(desk, hiding):
    there = hiding("gridmpi-search-*")
    kept, plain = GridSearchCV(Ridge(), GRID, cv=3, workers=2, mpi=there).fit(X, y), own.GridSearchCV(Ridge(), GRID, cv=3).fit(X, y)
    np.testing.assert_array_equal(kept.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])
    with pytest.raises(gridmpi.Error, match="The .solver. parameter"):
        GridSearchCV(Ridge(), {"solver": ["none"]}, cv=3, workers=1, mpi=there, error_score="raise").fit(X, y)


def test_a_search_over_data_sets_fits_its_best_there(desk, hiding):
    given = {"datasets": {"a": (X, y), "b": (X[:1000], y[:1000])}, "cv": 2,
             "models": {"ridge": (Ridge(), GRID), "near": (KNeighborsRegressor(), {"n_neighbors": [3]})}}
    threads = search(**given, workers=2)
    for results, folders in ((None, "gridmpi-search-*"), ("kept", "kept")):
        (desk.folder / "kept").mkdir(exist_ok=True)
        found = search(**given, workers=2, mpi=hiding(folders), results=results)
        for name, best in found.best.items():
            assert (best.name, best.parameters, best.score) == (
                threads.best[name].name, threads.best[name].parameters, threads.best[name].score)
            np.testing.assert_array_equal(best.estimator.predict(X[:9]), threads.best[name].estimator.predict(X[:9]))


LARGE = 300 << 20  # so that there is time to meet a copy that is under way


def started(desk, hiding, capfd):
    """A run with a large file, of which a worker of the other host has copied less than a half, and is stopped: the run, the
    file's folder, the copy's folder, and the worker. Only of this run is anything left in `capfd`.
    """
    place = desk.folder / "large"
    place.mkdir()
    with open(place / "values", "wb") as file:
        for _ in range(LARGE >> 20):
            file.write(os.urandom(1 << 20))

    def fit(x):
        return float(x)

    nest = gridmpi.Nest("n").loop("x", range(8), reduce="sum")._with(_crunch={"folders": [str(place)]})
    option = hiding("results/n", "large")
    for _ in range(10):
        capfd.readouterr()
        run = nest.start(fit, workers=2, mpi=option, verbose=True, fresh=True)
        until = time.monotonic() + 120
        while time.monotonic() < until and not run.done:
            for found in copies("/unfinished/1/values"):
                if worker := stopped_before_half(found):
                    return run, place, found.parents[2], worker
            time.sleep(0.001)
        # The copy was over before it was met.
        assert run.wait().summary[0]["score"] == 28.0
    raise AssertionError("no copy is met")


def stopped_before_half(copy):
    """The process that writes this copy, if it can be stopped before it has written a half."""
    worker = holder("/unfinished/1/values")
    if worker is None:
        return None
    try:
        os.kill(worker, signal.SIGSTOP)
        while (Path("/proc") / str(worker) / "stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.001)
        if copy.exists() and copy.stat().st_size < LARGE // 2:
            return worker
        os.kill(worker, signal.SIGCONT)
    except OSError:  # it has ended
        pass
    return None


def holder(path):
    """The process that writes a file."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(one).endswith(path) for one in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue
    return None


def test_the_worker_that_copies_is_killed_and_another_goes_on(desk, hiding, capfd):
    run, _, folder, worker = started(desk, hiding, capfd)
    os.kill(worker, signal.SIGKILL)
    found = run.wait()
    assert found.summary[0]["score"] == 28.0
    assert COPIED.findall(capfd.readouterr().err) == [str(folder)] * 2


@pytest.mark.parametrize("harm", ["changes", "goes"])
def test_a_file_that_changes_while_it_is_copied_ends_the_run(desk, hiding, harm, capfd):
    run, place, _, worker = started(desk, hiding, capfd)
    if harm == "changes":
        os.utime(place / "values")
    else:
        (place / "values").unlink()
    os.kill(worker, signal.SIGCONT)
    with pytest.raises(gridmpi.Error, match=r"large/values (is not what it was|cannot be read).*start again"):
        run.wait()


def test_a_run_that_is_cancelled_while_it_copies_ends(desk, hiding, capfd):
    run, _, _, worker = started(desk, hiding, capfd)
    run.cancel()
    os.kill(worker, signal.SIGCONT)
    with pytest.raises(gridmpi.Interrupted):
        run.wait()


def test_where_there_is_no_room_both_places_are_named(desk, hiding):
    wrapper = Path(hiding("results/n")[0])
    full = "mount -t tmpfs -o size=1m none /dev/shm; mkdir -p tmp; mount -t tmpfs -o size=2m none tmp; export TMPDIR=$PWD/tmp\n"
    wrapper.write_text(wrapper.read_text().replace("hostname other\n", f"hostname other; {full}"))
    with pytest.raises(gridmpi.Error, match=r"/dev/shm has \d MiB free, and .*/tmp has \d MiB free"):
        gridmpi.Nest("n").loop("x", [1]).run(lambda x: x, workers=1, mpi=[str(wrapper)])
