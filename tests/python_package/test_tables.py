"""Tables of results."""

import os

import pytest

import gridmpi


@pytest.fixture
def results(desk):
    def fit(name, x):
        if x == 3:
            raise ValueError("three")
        return {"score": float("inf") if x == 4 else x / 2, "count": x, "even": x % 2 == 0, "text": f"<{name}>"}

    return gridmpi.Nest("t").loop("name", ["a", "b"]).loop("x", [1, 2, 3, 4], reduce="max").run(fit, errors="keep", require=0.5)


def test_rows_and_columns_take_nothing(results):
    runs = results.runs
    assert runs[0]["name"] == "a" and runs[0]["score"] == 0.5 and len(runs) == 8
    assert runs["score"] == [0.5, 1.0, None, float("inf")] * 2
    assert runs.columns["even"][:2] == [False, True]
    assert [row["x"] for row in runs[1:3]] == [2, 3]
    assert runs.names[:4] == ["task", "name", "x", "status"]
    with pytest.raises(KeyError, match="no column 'y'"):
        runs["y"]
    assert len(results.where("x < 3")) == 4
    with pytest.raises(gridmpi.Error, match="did you mean|no column|no such"):
        results.where("nope < 3").rows
    assert {row["x"] for row in results.failures} == {3}


CUT_OFF = """#!/bin/sh
if [ "$1" = export ]; then
    "{program}" "$@" | head -n 2
    echo "gridmpi: error: the disk is gone" >&2
    exit 1
fi
exec "{program}" "$@"
"""


def test_the_first_rows_are_as_many_as_are_asked_for_or_an_error(results, desk, monkeypatch):
    runs, rows = results.runs, results.runs.rows
    assert [runs.head(count) for count in (0, 3, 8, 9, -2)] == [[], rows[:3], rows, rows, rows[:-2]]
    assert results.groups("x").head(0) == []
    cut_off = desk.write("gridmpi", CUT_OFF.format(program=os.environ["GRIDMPI_PROGRAM"]))
    cut_off.chmod(0o755)
    monkeypatch.setenv("GRIDMPI_PROGRAM", str(cut_off))
    assert results.runs.head(2) == rows[:2]
    with pytest.raises(gridmpi.Error, match="^the disk is gone$"):
        results.runs.head(3)


def test_notebooks_show_a_part_and_escape_it(results):
    page = results.runs._repr_html_()
    assert page.startswith("<table>") and "&lt;a&gt;" in page and "<a>" not in page
    assert "inf" in repr(results.runs)
    fresh = results.runs
    fresh._repr_html_()
    assert fresh._rows is None, "large tables are read when they are asked for"
    assert results._repr_html_().startswith("<table>")


def test_frames_have_the_types_of_the_parquet_export(results):
    import pandas
    import polars
    import pyarrow

    frame, other, arrow = results.runs.to_pandas(), results.runs.to_polars(), results.runs.to_arrow()
    assert isinstance(frame, pandas.DataFrame) and isinstance(other, polars.DataFrame) and isinstance(arrow, pyarrow.Table)
    assert list(frame.columns) == other.columns == arrow.column_names == results.runs.names
    assert str(frame["started"].dtype) == "datetime64[us, UTC]" and frame["count"].dropna().tolist() == [1, 2, 4] * 2
    assert other["even"].dtype == polars.Boolean and other["score"].to_list()[3] == float("inf")
    for table in (results.summary, results.groups("x"), results.best(top=2), results.failures):
        assert len(table.to_pandas()) == len(table.to_polars()) == table.to_arrow().num_rows == len(table.rows)


def test_a_nest_that_reduces_all_loops_has_one_row(desk):
    results = gridmpi.Nest("one").loop("x", [1, 2, 3], reduce="max").run(lambda x: {"score": -x, "y": x})
    assert results.summary.rows == [{"best_x": 1, "score": -1.0, "y": 1, "runs": 3, "failed": 0, "status": "complete", "error": None}]
    mean = gridmpi.Nest("mean").loop("x", [1, 2, 3], reduce="mean").run(lambda x: x)
    assert mean.summary[0]["score"] == 2


def test_the_best_by_other_fields(desk):
    results = gridmpi.Nest("b").loop("x", [1, 2, 3], reduce="max").run(lambda x: {"score": x, "rmse": x})
    assert results.best()[0]["x"] == 3
    assert [row["x"] for row in results.best(2, min="rmse")] == [1, 2]
    assert results.progress.state == "complete" and results.progress.fraction == 1


def test_a_field_that_is_compared_is_the_score_and_the_own_one_stands_beside(desk):
    def fit(k, f):
        return {"score": 10.0 * k, "r2": 1 - k / 10}

    nest = gridmpi.Nest("t").loop("k", [1, 2], reduce={"max": "r2"}).loop("f", [0, 1], reduce="mean")
    results = nest.run(fit)
    for row in (results.summary[0], results.best()[0]):
        assert (row["score"], row["value.score"], row["r2"]) == (0.9, 10.0, 0.9)
    plain = gridmpi.Nest("p").loop("k", [1, 2], reduce="max").loop("f", [0, 1], reduce="mean").run(fit)
    for row in (plain.summary[0], plain.best()[0]):
        assert row["score"] == 20.0 and "value.score" not in row
