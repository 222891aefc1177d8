"""Points that are stopped early: how a nest says it, and what the results have of them."""

import math

import pytest

import gridmpi

FIT = """
def fit(dataset, alpha, fold):
    with open('calls', 'a') as file:
        file.write('x')
    return alpha / 100 + (alpha + fold) % 3 / 100
"""


def nest(stop, alphas=(10, 20, 60), **more):
    given = {"stop": stop} if stop else {}
    return (gridmpi.Nest("early")
            .loop("dataset", ["x", "y"])
            .loop("alpha", list(alphas), reduce="max", **given, **more)
            .loop("fold", range(6), reduce="mean"))


@pytest.fixture
def at(desk):
    desk.write("fit.py", FIT)
    return desk


def skipped(rows):
    return [row for row in rows if row["status"] == "skipped"]


@pytest.mark.parametrize("stop, text", [("sure", '"sure"'), ({"halve": 3, "from": 2}, "{ halve = 3, from = 2 }")])
def test_a_job_file_has_it_both_ways(at, stop, text):
    least = [0, math.inf]
    written = nest(stop).to_toml("fit.py:fit", score_range=least)
    assert f"\nstop = {text}\n" in written and "\nscore_range = [0, inf]\n" in written
    path = at.write("job.toml", written)
    read = gridmpi.from_toml(path)
    assert f"\nstop = {text}\n" in read.to_toml() and "\nscore_range = [0, inf]\n" in read.to_toml()
    again = at.write("again.toml", read.to_toml())
    assert gridmpi.from_toml(again) == read


def test_results_have_what_was_skipped(at):
    results = nest("sure").run("fit.py:fit", score_range=(0, 1), workers=2)
    assert len(at.folder.joinpath("calls").read_text()) == 24
    runs = results.runs
    assert [row["task"] for row in runs] == list(range(36))
    assert [row["task"] for row in skipped(runs)] == [3, 4, 5, 9, 10, 11, 21, 22, 23, 27, 28, 29]
    row = runs[10]
    assert (row["alpha"], row["fold"], row["score"]) == (20, 4, None)
    assert row["error"] == "cannot beat alpha = 60: at most 0.605 against 0.61"
    assert len(results.failures) == 0
    assert len(results.where("status = 'skipped' and alpha = 20")) == 6
    assert [row["best_alpha"] for row in results.summary] == [60, 60]
    assert results.summary["skipped"] == [6, 6] and results.summary["stopped"] == [2, 2]
    assert results.best()["alpha"] == [60, 60]
    points = results.groups("alpha")
    assert points["status"] == ["skipped", "skipped", "complete"] * 2
    assert points["rank"] == [None, None, 1] * 2


def test_all_that_is_left_is_computed_without_stop(at):
    fit = "fit.py:fit"
    first = nest("sure").run(fit, score_range=(0, 1), workers=1)
    best = first.best().rows
    full = nest(None).run(fit, score_range=(0, 1), workers=1)
    assert len(at.folder.joinpath("calls").read_text()) == 36
    assert [row["score"] for row in full.runs if row["score"] is None] == []
    assert "stopped" not in full.summary.names and full.best().rows == best
    # The same again, in a folder that has all of it: marked, and counted nowhere.
    again = nest("sure").run(fit, score_range=(0, 1), workers=1)
    marked = skipped(again.runs)
    assert len(at.folder.joinpath("calls").read_text()) == 36
    assert len(marked) == 12 and all(row["score"] is not None for row in marked)
    assert all(row["error"].endswith("counts nowhere") for row in marked)
    assert again.summary["skipped"] == [6, 6]


def test_what_is_not_known_is_refused_in_words(at):
    results = nest("sure", (20, 60, 58)).run("fit.py:fit", score_range=(0, 1), workers=2)
    with pytest.raises(gridmpi.Error, match="were stopped early and are not ranked.*remove `stop` and run again"):
        results.groups("alpha").rows
    with pytest.raises(gridmpi.Error, match="score_range"):
        nest("sure").run("fit.py:fit", results="other")
    with pytest.raises(gridmpi.Error, match=r'expected "sure" or \{ halve = 3, from = 1 \}'):
        nest("soon").run("fit.py:fit", results="other")


def test_scores_out_of_range_fail(at):
    with pytest.raises(gridmpi.RunsFailed, match="outside score_range"):
        nest(None).run("fit.py:fit", score_range=(0, 0.5), workers=2)


def test_points_that_json_lacks_are_read_in_skipped_rows(at):
    at.write("fit.py", "def fit(alpha, fold): return 0.9 if alpha == float('inf') else 0.0 if alpha == float('-inf') else 0.1\n")
    points = [-math.inf, 1.5, math.inf]
    early = (gridmpi.Nest("inf").loop("alpha", points, reduce="max", stop="sure").loop("fold", range(8), reduce="mean"))
    results = early.run("fit.py:fit", score_range=(0, 1), workers=2)
    lost = skipped(results.runs)
    assert lost and {row["alpha"] for row in lost} <= {-math.inf, 1.5}
    assert -math.inf in {row["alpha"] for row in lost}
    assert results.groups("alpha")["alpha"] == points
    assert len(results.groups("all")) == 3 + 24


def test_progress_counts_what_is_skipped(at):
    results = nest("sure").run("fit.py:fit", score_range=(0, 1), workers=2)
    progress = results.progress
    assert (progress.state, progress.tasks, progress.done) == ("complete", 36, 24)
    assert progress.skipped == 12 and progress.fraction == 1.0
    assert progress.words() == "24/36, 12 skipped"
