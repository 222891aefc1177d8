"""The nest of one loop."""

import pytest

import gridmpi


def test_a_list_comes_back_in_order(desk):
    assert gridmpi.map(lambda x: x**2, range(50), workers=2) == [x**2 for x in range(50)]
    assert gridmpi.map(str, ["a", 1, 2.5, True]) == ["a", "1", "2.5", "True"]
    assert gridmpi.map(lambda d: d["a"] + d["b"][0], [{"a": 1, "b": [2]}, {"a": 3, "b": [4]}]) == [3, 7]
    assert gridmpi.map(abs, []) == []
    assert gridmpi.map(lambda x: [x, {"y": None}], [1]) == [[1, {"y": None}]]
    exact = gridmpi.map(lambda x: [x, 2**60 + 1, x / 4, str(x)], [1, 2])
    assert exact == [[1, 2**60 + 1, 0.25, "1"], [2, 2**60 + 1, 0.5, "2"]] and type(exact[0][0]) is int
    inf = float("inf")
    assert gridmpi.map(lambda x: x, [inf, "Infinity", "NaN"]) == [inf, "Infinity", "NaN"]
    assert gridmpi.map(lambda x: {"a": [x * float("nan")], "b": "NaN"}, [1])[0]["b"] == "NaN"
    assert gridmpi.map(lambda x: 2**60 + x, [1]) == [2**60 + 1]
    assert not (desk.folder / "results").exists(), "nothing is kept unless it is asked for"


def test_any_objects_are_carried(desk):
    import numpy

    assert gridmpi.map(lambda x: repr(x), [(1, 2), None, {3}, "a"]) == ["(1, 2)", "None", "{3}", "'a'"]
    assert gridmpi.map(lambda x: float(x.sum()), [numpy.arange(3), numpy.arange(4)]) == [3.0, 6.0]


def test_equal_values_are_called_once(desk):
    def noted(x):
        open("calls", "a").write("x\n")
        return x

    assert gridmpi.map(noted, [2, 1, 2, 2]) == [2, 1, 2, 2]
    assert desk.calls() == 2


def test_what_is_kept_is_not_called_again(desk):
    def noted(x):
        open("calls", "a").write("x\n")
        return -x

    assert gridmpi.map(noted, [1, 2], results="kept") == [-1, -2] and desk.calls() == 2
    assert gridmpi.map(noted, [2, 3, 1], results="kept") == [-2, -3, -1] and desk.calls() == 1


def test_failures_are_raised_or_stand_in_the_list(desk):
    def one_over(x):
        return 1 / x

    with pytest.raises(gridmpi.RunsFailed, match="ZeroDivisionError.*\n\nNothing is kept: results=FOLDER") as raised:
        gridmpi.map(one_over, [1, 0, 2])
    assert raised.value.results is None and [row["x"] for row in raised.value.failures] == [0]
    with pytest.raises(gridmpi.RunsFailed, match="All else is kept") as raised:
        gridmpi.map(one_over, [1, 0, 2], results="kept")
    assert len(raised.value.results.runs) == 3
    first, second, third = gridmpi.map(one_over, [1, 0, 2], errors="keep")
    assert (first, third) == (1.0, 0.5) and isinstance(second, gridmpi.RunsFailed)
