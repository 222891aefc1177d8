"""Job files: both ways, without loss."""

import sys
from pathlib import Path

import pytest

import gridmpi

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

REPOSITORY = Path(__file__).parents[2]


def parsed(text):
    return tomllib.loads(text)


def without_folder(text):
    found = parsed(text)
    found.pop("folder", None)
    return found


def written_jobs():
    """The job files of jobs/ and those within the guides."""
    for path in sorted((REPOSITORY / "jobs").glob("*.toml")):
        yield path.name, path.read_text()
    for page in sorted((REPOSITORY / "docs").glob("*.md")):
        for number, block in enumerate(page.read_text().split("```toml file=")[1:]):
            name, _, rest = block.partition("\n")
            yield f"{page.name} {number} {name}", rest.split("```")[0]


@pytest.mark.parametrize("name, text", [*written_jobs()], ids=lambda value: value if len(value) < 60 else "")
def test_a_job_file_is_read_and_written_without_loss(desk, name, text):
    if "[[loop]]" not in text:
        pytest.skip("a part of a file")
    path = desk.write("job.toml", text)
    nest = gridmpi.from_toml(path)
    expected = {"name": "job", **parsed(text)}
    assert without_folder(nest.to_toml()) == expected
    again = desk.write("again.toml", nest.to_toml())
    assert gridmpi.from_toml(again) == nest


def test_a_nest_of_files_is_written_and_runs_with_the_program(desk):
    desk.write("sub/fit.py", "def fit(x, c, rate):\n    return x + c['a'] + rate\n")
    nest = (gridmpi.Nest("all", seed=7, order="random", folder="sub", report={"groups": "all"})
            .loop("x", [1, 2.5, float("inf")], label="{x:.1f}")
            .loop("c", grid={"a": [1, 2], "b": ["y\n", "\x7f\"z"]}, reduce={"max": "score"}, where="c.a > 0")
            .loop("rate", random={"count": 2, "seed": 3, "rate": {"uniform": {"from": 0.0, "to": 1.0}}}, reduce="mean"))
    text = nest.to_toml("fit.py:fit", retries=1, env={"A": "b"})
    path = desk.write("job.toml", text)
    assert parsed(text)["folder"] == "sub"
    results = gridmpi.from_toml(path).run()
    assert len(results.runs) == 3 * 4 * 2 and results.folder == "results/all"
    same = nest.run("fit.py:fit", results="same", retries=1, env={"A": "b"})
    assert same.summary.rows == results.summary.rows


def test_none_and_dates_and_numpy_are_points(desk):
    import datetime

    import numpy

    nest = (gridmpi.Nest("n").loop("a", [None, numpy.float64(2.5), float("inf")]).loop("b", numpy.arange(2))
            .loop("d", [datetime.date(2024, 1, 8)]))
    runs = nest.run(lambda a, b, d: {"score": 1, "kinds": f"{type(a).__name__} {type(b).__name__} {d}"}).runs
    assert runs["kinds"] == [f"{kind} int 2024-01-08" for kind in ("NoneType", "float", "float") for _ in range(2)]
    assert runs["a"] == [None, None, 2.5, 2.5, float("inf"), float("inf")]


def test_what_a_file_cannot_hold_is_named(desk):
    nest = gridmpi.Nest("n").loop("model", {"ridge": object()}).loop("x", lambda model: [1], reduce=lambda runs: 1)
    with pytest.raises(gridmpi.Error) as raised:
        nest.to_toml(lambda model, x: x, final=lambda: 1)
    for part in ("the points of loop 'model' are objects of this session: ridge", "points of loop 'x'", "reduction of loop 'x'",
                 "python of [crunch]", "python of [final]"):
        assert part in str(raised.value), str(raised.value)


def test_a_file_that_is_no_job_is_refused(desk):
    for text, said in [("x = ", "not TOML"), ("x = 1", "no job file")]:
        with pytest.raises(gridmpi.Error, match=said):
            gridmpi.from_toml(desk.write("no.toml", text))
    with pytest.raises(gridmpi.Error, match="cannot be read"):
        gridmpi.from_toml("none.toml")
