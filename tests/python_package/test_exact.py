"""Values come back as they were returned, and arrive as they were given."""

import math
import os
import signal
import time
import warnings
from math import inf, nan

import pytest

import gridmpi

RETURNED = [
    {"score": 1, "verdict": "NaN", "curve": [1.0, inf], "deep": {"a": [{"NaN": nan, "text": "NaN"}]}, "error": "Infinity"},
    {"score": 2, "verdict": "Infinity", "curve": [2.0, nan], "deep": {"a": [{"NaN": "NaN", "text": nan}]}, "error": -inf},
    {"score": inf, "verdict": nan, "curve": ["Infinity", -0.0], "deep": {"a": [], "b.c": "-Infinity"}, "error": "NaN"},
    {"score": 1, "verdict": nan, "curve": [1.0, "Infinity"], "deep": {"a": [{"NaN": "NaN", "text": nan}]}, "error": inf},
]


def same(found, expected):
    """Whether both are the same, where NaN is itself, and -0.0 is not 0.0."""
    return repr(found) == repr(expected)


def of_result(row):
    return {"score": row["score"], **{name: row[name] for name in ("verdict", "curve", "deep")}, "error": row["value.error"]}


def as_score(result):
    return {**result, "score": float(result["score"])}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exact") / "r"
    returned = RETURNED
    nest = gridmpi.Nest("r").loop("o", [1, inf, "Infinity", -inf]).loop("x", [0, 1, 2, 3], reduce="max")

    def fit(o, x):
        return returned[x]

    return nest.run(fit, results=folder, workers=1)


def test_runs_are_what_was_returned(results):
    runs = results.runs
    assert same([of_result(row) for row in runs], [as_score(one) for one in RETURNED] * 4)
    assert same(runs["o"], [point for point in (1, inf, "Infinity", -inf) for _ in range(4)])
    assert runs["error"] == [None] * 16
    lazy = results.runs
    assert same(lazy.head(6), runs.rows[:6]) and lazy._rows is None
    assert same(results.where("x = 1")["curve"], [[2.0, nan]] * 4)


def test_groups_and_the_best_are_what_was_returned(results):
    groups = results.groups("x")
    assert same(groups["o"], results.runs["o"]) and same(groups["verdict"], [one["verdict"] for one in RETURNED] * 4)
    assert same(groups["curve"], [one["curve"] for one in RETURNED] * 4)
    assert same(groups.head(3), groups.rows[:3])
    assert same(results.summary["o"], [1, inf, "Infinity", -inf]) and same(results.summary["best_x"], [2] * 4)
    assert same(results.groups("all")["o"], [1, inf, "Infinity", -inf, *results.runs["o"]])
    assert same(results.summary["curve"], [RETURNED[2]["curve"]] * 4)
    with pytest.raises(gridmpi.Error, match="o has both inf and 'Infinity', which these rows do not tell apart: read results.runs"):
        results.best().rows
    one = gridmpi.Nest("one").loop("x", [0, 1, 2], reduce={"max": "score"})
    returned = RETURNED
    single = one.run(lambda x: returned[x], results=f"{results.folder}-one")
    assert same({name: single.summary[0][name] for name in RETURNED[2] if name != "error"},
                {name: RETURNED[2][name] for name in RETURNED[2] if name != "error"})
    best = single.best(3)
    assert [row["x"] for row in best] == [2, 1, 0]
    assert same([row["curve"] for row in best], [RETURNED[x]["curve"] for x in (2, 1, 0)])
    assert same([row["deep"] for row in best], [RETURNED[x]["deep"] for x in (2, 1, 0)])
    outer = gridmpi.Nest("outer").loop("p", [{"a": inf, "b": "NaN"}, {"a": 2, "b": "Infinity"}]).loop("x", [0, 1, 2], reduce="max")
    summary = outer.run(lambda p, x: returned[x], results=f"{results.folder}-outer").summary
    assert same(summary["p.a"], [inf, 2]) and same(summary["p.b"], ["NaN", "Infinity"])
    assert same(summary["curve"], [RETURNED[2]["curve"]] * 2) and same(summary["verdict"], [nan, nan])
    assert same(summary["score"], [inf, inf])


def test_the_best_that_are_printed_alike_are_told_apart_by_their_points(desk):
    given = {"a": ["NaN", nan], "b": [nan, "NaN"]}
    best = gridmpi.Nest("b").loop("o", ["a", "b"]).loop("x", [0, 1], reduce="max").run(
        lambda o, x: {"score": 1 + x, "v": given[o][x]}).best(2)
    assert same([row["v"] for row in best], [nan, "NaN", "NaN", nan])


def test_plain_numbers_and_final_calls(desk):
    nest = gridmpi.Nest("f").loop("o", ["a", inf]).loop("x", [1, 2], reduce="max")
    results = nest.run(lambda o, x: inf if x == 2 else -inf, final=lambda o: {"size": inf, "text": "Infinity"})
    assert results.runs["score"] == [-inf, inf] * 2
    assert results.summary["final.size"] == [inf, inf] and results.summary["final.text"] == ["Infinity"] * 2
    named = gridmpi.Nest("n").loop("x", [1, 2], reduce="max").run(lambda x: inf * x, score="r2")
    assert named.runs["r2"] == [inf, inf] and named.best()[0]["score"] == inf


def test_many_runs_are_read_at_once(desk):
    results = gridmpi.Nest("many").loop("x", range(700)).run(lambda x: {"score": x, "a": nan if x % 2 else "NaN"})
    assert same(results.runs["a"], ["NaN", nan] * 350)
    assert same(results.runs.head(2), results.runs.rows[:2])
    odd = results.where("x % 2 = 1").rows
    assert len(odd) == 350 and all(math.isnan(row["a"]) for row in odd)


GIVEN = [{1: "a"}, {True: "a"}, {"1": "a"}, [1, (2, 3)], [1, [2, 3]], (1,), -0.0, 0.0, {"a": -0.0}, {"a": [None, (None,)]}, 2**70, -(2**63),
         2**63 - 1, 1, 1.0, True, "1", "\ud800", [], (), {}, inf, [inf, None], {"": 5e-324}]


def test_a_map_gives_values_as_they_are(desk):
    assert gridmpi.map(repr, GIVEN) == [repr(value) for value in GIVEN]
    for value in GIVEN:
        assert gridmpi.map(repr, [value], results="kept") == [repr(value)]
    assert gridmpi.map(repr, [0.0, 1.0, 2], results="zero") == ["0.0", "1.0", "2"]
    assert gridmpi.map(repr, [-0.0, 1, 2.0], results="zero") == ["-0.0", "1", "2.0"]


def test_a_map_returns_values_as_they_are(desk):
    returned = [*GIVEN[:10], [(), {}], {(1, ("a",)): {None: ()}}, (inf, "Infinity", {-inf: nan}), {"dict": 1}, {"tuple": (2**70,)}]
    assert same(gridmpi.map(lambda at: returned[at], range(len(returned))), returned)
    assert same(gridmpi.map(lambda at: returned[at], [0, 3], results="kept"), [returned[0], returned[3]])
    assert same(gridmpi.map(lambda at: returned[at], [3, 0], results="kept"), [returned[3], returned[0]])
    with pytest.raises(gridmpi.RunsFailed, match="a record's name is frozenset"):
        gridmpi.map(lambda _: {frozenset(): 1}, [1])


@pytest.mark.parametrize("result, said", [
    ({1: 0.5}, "result has the key 1 of type int"),
    ({"score": 1, "a": [0, {"b": {None: 1}}]}, r"result\['a'\]\[1\]\['b'\] has the key None of type NoneType"),
    ({"score": 1, "a": ({True: 1},)}, r"result\['a'\]\[0\] has the key True of type bool"),
])
def test_names_that_are_no_texts_are_refused(desk, result, said):
    said = f"the result cannot be kept: {said}, and names of fields are texts, as str"
    nest = gridmpi.Nest("n").loop("x", [5], reduce="max")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gridmpi.GridmpiWarning)
        with pytest.raises(gridmpi.RunsFailed, match=rf"task 0 \(x=5\):\n{said}"):
            nest.run(lambda x: result)
        with pytest.raises(gridmpi.RunsFailed, match=said):
            nest.run(lambda x: x, final=lambda x: result, results="f")
        with pytest.raises(gridmpi.RunsFailed, match=said):
            gridmpi.Nest("r").loop("x", [5], reduce=lambda runs: result).run(lambda x: x)


def test_tuples_come_back_as_lists_which_is_said(desk):
    def fit(x):
        return {"score": x, "shape": [{"rows": (x, (2, 3))}]}

    with pytest.warns(gridmpi.GridmpiWarning, match=r"result\['shape'\]\[0\]\['rows'\] of fit is a tuple, and comes back as a list"):
        runs = gridmpi.Nest("n").loop("x", [1, 2]).run(fit).runs
    assert runs["shape"] == [[{"rows": [x, [2, 3]]}] for x in (1, 2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gridmpi.Nest("l").loop("x", [1, 2]).run(lambda x: {"score": x, "a": [[1, 2], {"b": None}]})


@pytest.mark.parametrize("point, said", [
    ((1, 2), r"a point has \(1, 2\) of type tuple in it.*give objects names, as in"),
    ([1, (2, 3)], "of type tuple"),
    ({1: "a"}, "a field that is called 1, and names of fields are texts"),
    ({"a": [{None: 1}]}, "a field that is called None"),
    (-0.0, "-0.0 is the same point as 0.0"),
    ({"a": [-0.0]}, "-0.0 is the same point as 0.0"),
    (nan, "NaN is no point"),
    (2**63, "have 64 bits"),
    ("\ud800", "half of a character"),
    ({"a": object}, "of type type"),
])
def test_points_that_would_arrive_as_something_else_are_refused(desk, point, said):
    with pytest.raises(gridmpi.Error, match=said):
        gridmpi.Nest("n").loop("x", [point])
    with pytest.raises(gridmpi.Error, match=said):
        gridmpi.Nest("n").loop("x", [None, point])
    with pytest.raises(gridmpi.Error, match=said):
        gridmpi.Nest("n").loop("x", grid={"a": [point]})
    named = gridmpi.Nest("n").loop("x", {"a": point}).run(lambda x: {"score": 1, "text": repr(x)}).runs
    assert named[0]["text"] == repr(point)


def test_arrays_and_frames_are_points_by_rows(desk):
    import numpy
    import pandas
    import polars

    def seen(x):
        return {"score": 1, "text": repr(x)}

    def texts(points):
        return gridmpi.Nest("n").loop("x", points).run(seen, fresh=True).runs["text"]

    assert texts(numpy.array([[1, 2], [3, 4]])) == ["[1, 2]", "[3, 4]"]
    assert texts(pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})) == ["{'a': 1, 'b': 'x'}", "{'a': 2, 'b': 'y'}"]
    assert texts(polars.DataFrame({"a": [1, 2], "b": ["x", None]})) == ["{'a': 1, 'b': 'x'}", "{'a': 2, 'b': None}"]
    assert texts([numpy.float32(0.5), numpy.int8(2), numpy.bool_(True)]) == ["0.5", "2", "True"]
    with pytest.raises(gridmpi.Error, match="a field that is called 0, and names of fields are texts"):
        texts(pandas.DataFrame([[1, 2]]))
    with pytest.raises(gridmpi.Error, match="of type ndarray"):
        texts([numpy.arange(2)])


def test_errors_and_warnings_of_a_map_name_no_folder_that_is_gone(desk):
    with pytest.raises(gridmpi.Error, match="^cores: expected at least 1, found 0$"):
        gridmpi.map(abs, [1], cores=0)
    with pytest.warns(gridmpi.GridmpiWarning, match="^loop.x.values: 1 and 1.0 are equal"):
        gridmpi.map(abs, [1, 1.0])
    with pytest.raises(gridmpi.Error, match="^timeout: expected a number"):
        gridmpi.Nest("n").loop("x", [1]).plan(abs, timeout="x")
    with pytest.raises(gridmpi.Error, match="results/kept/python/job.toml:[0-9]+: crunch.cores: "):
        gridmpi.map(abs, [1], cores=0, results="results/kept")

    def ends(x):
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(0.5)

    with pytest.raises(gridmpi.Interrupted, match=r"^SIGTERM: \d of 2 runs were made; results=FOLDER keeps what is done$"):
        gridmpi.map(ends, [1, 2], workers=1)
    with pytest.raises(gridmpi.Interrupted, match=r"^SIGTERM: \d of 2 runs are in ended; start it again to go on$"):
        gridmpi.map(ends, [1, 2], workers=1, results="ended")
