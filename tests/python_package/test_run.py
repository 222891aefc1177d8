"""A nest is run: on threads, over MPI, with what a job file can say."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings

import pytest

import gridmpi

FIT = """
def fit(dataset, alpha, fold):
    numbers = [float(line) for line in open(dataset)]
    return {"score": sum(numbers) / (1 + alpha) - fold, "n": len(numbers)}
"""


def data(desk):
    desk.write("data/a.csv", "1\n2\n")
    desk.write("data/b.csv", "3\n4\n5\n")


def test_the_example_of_the_first_page_runs_as_it_is_printed(desk):
    data(desk)
    ran = desk.script(FIT + """
import gridmpi
nest = (gridmpi.Nest("tune")
        .loop("dataset", files="data/*.csv")
        .loop("alpha", logspace=(1e-3, 1e3, 7), reduce="max")
        .loop("fold", range(5), reduce=["mean", "std"]))
results = nest.run(fit)                     # this machine's threads; nest.run(fit, workers=8, mpi=True) starts mpirun
results.summary; results.runs; results.groups("alpha"); results.best(top=3); results.failures
gridmpi.open("results/tune")                # the same of any results folder, while it runs, too

import json
print(json.dumps([results.summary.rows, results.best(top=3).rows, len(results.runs), len(results.groups("alpha")),
                  len(results.failures), gridmpi.open("results/tune").summary == results.summary]))
""").ends()
    summary, best, runs, groups, failures, same = json.loads(ran.out)
    assert [row["dataset"] for row in summary] == ["data/a.csv", "data/b.csv"]
    assert summary[0]["best_alpha"] == 0.001 and summary[0]["n"] == 2.0
    assert summary[1]["score"] == pytest.approx(12 / 1.001 - 2)
    assert [(row["dataset"], row["place"], row["alpha"]) for row in best[:3]] == \
        [("data/a.csv", 1, 0.001), ("data/a.csv", 2, 0.01), ("data/a.csv", 3, 0.1)]
    assert (runs, groups, failures, same) == (70, 14, 0, True)


def test_a_job_file_and_the_package_give_the_same(desk):
    data(desk)
    desk.write("fits.py", FIT)
    nest = (gridmpi.Nest("tune").loop("dataset", files="data/*.csv")
            .loop("alpha", logspace=(1e-3, 1e3, 7), reduce="max").loop("fold", range(5), reduce="mean"))
    sys.path.insert(0, str(desk.folder))
    try:
        import fits

        desk.write("job.toml", nest.to_toml(fits.fit))
        results = nest.run(fits.fit, workers=2, results="out/package")
    finally:
        sys.path.remove(str(desk.folder))
        del sys.modules["fits"]
    program = os.environ["GRIDMPI_PROGRAM"]
    subprocess.run([program, "job.toml", "--out", "out/job"], check=True, capture_output=True)
    assert 'python = "fits.py:fit"' in (desk.folder / "job.toml").read_text()
    written = [(desk.folder / "out" / name / "summary.json").read_bytes() for name in ("package", "job")]
    assert written[0] == written[1]
    began = gridmpi.open("out/job").runs["started"]
    again = gridmpi.from_toml("job.toml").run(results="out/job")
    assert again.runs["started"] == began, "the program and the package go on with each other's runs"
    assert results.summary.rows == gridmpi.open("out/job").summary.rows


def test_runs_that_are_there_are_not_made_again(desk):
    def fit(x):
        open("calls", "a").write("x\n")
        return x

    nest = gridmpi.Nest("again").loop("x", [1, 2, 3], reduce="sum")
    assert nest.run(fit).summary[0]["score"] == 6
    assert desk.calls() == 3
    assert nest.run(fit).summary[0]["score"] == 6
    assert desk.calls() == 0
    more = gridmpi.Nest("again").loop("x", [1, 2, 3, 4], reduce="sum")
    assert more.run(fit).summary[0]["score"] == 10
    assert desk.calls() == 1
    assert more.run(fit, fresh=True).summary[0]["score"] == 10
    assert desk.calls() == 4


def test_failures_are_raised_after_all_is_kept_or_kept(desk):
    def fit(x):
        if x == 2:
            raise ValueError("no such x")
        return x

    nest = gridmpi.Nest("bad").loop("x", [1, 2, 3])
    with pytest.raises(gridmpi.RunsFailed) as raised:
        nest.run(fit)
    text = str(raised.value)
    assert "1 of 3 runs failed" in text and "task 1 (x=2)" in text and "ValueError: no such x" in text
    assert "in fit" in text and 'raise ValueError("no such x")' in text and "_child" not in text
    assert [row["x"] for row in raised.value.failures] == [2]
    assert [row["score"] for row in raised.value.results.runs] == [1.0, None, 3.0]
    kept = nest.run(fit, errors="keep", keep_failed=True)
    assert [row["x"] for row in kept.failures] == [2]


def test_wrong_use_is_refused_in_words(desk):
    nest = gridmpi.Nest("n").loop("x", [1])
    for call, said in [
        (lambda: gridmpi.Nest("n").loop("x", "abc"), "points are a list"),
        (lambda: gridmpi.Nest("n").loop("x"), "has no points"),
        (lambda: gridmpi.Nest("n").loop("x", [1], files="*"), "several sources"),
        (lambda: gridmpi.Nest("n").loop("x", {1, 2}), "no order"),
        (lambda: gridmpi.Nest("n").loop("x", [object()]), "give objects names"),
        (lambda: gridmpi.Nest("n").loop("x", file="*"), "did you mean files"),
        (lambda: nest.loop("x", [1]), "a loop 'x' already"),
        (lambda: gridmpi.Nest("n").loop("x", logspace=(1, 2)), "logspace takes from, to, count"),
        (lambda: nest.run(), "say what to call"),
        (lambda: gridmpi.Nest("n").run(abs), "has no loop"),
        (lambda: nest.run(abs, timout=3), "did you mean timeout"),
        (lambda: nest.run(abs, command=["x"]), "said twice"),
        (lambda: nest.run(abs, workers=0), "workers is a number"),
        (lambda: nest.run(abs, errors="no"), "errors is"),
        (lambda: nest.run(lambda y: y), "is called with x"),
        (lambda: nest.run("none.py:fit"), "there is no file"),
        (lambda: gridmpi.Nest("n").loop("x", files="no/*.csv").run(abs), "no/*.csv"),
        (lambda: nest.run(abs, threads=2), "mpi=True"),
        (lambda: gridmpi.Nest("../n").loop("x", [1]).run(abs), "name"),
        (lambda: gridmpi.open("nowhere"), "no results folder"),
    ]:
        with pytest.raises(gridmpi.Error) as raised:
            call()
        assert said in str(raised.value), str(raised.value)
        assert "Traceback" not in str(raised.value)


def test_a_misspelt_errors_keeps_no_failure_silently(desk):
    def fails(x):
        open("calls", "a").write("x\n")
        raise ValueError("no such x")

    nest, said = gridmpi.Nest("n").loop("x", [1]), 'errors is "raise" or "keep", found \'rise\''
    for call in (lambda: nest.run(fails, errors="rise"), lambda: gridmpi.map(fails, [1], errors="rise"),
                 lambda: gridmpi.map(fails, [], errors="rise")):
        with pytest.raises(gridmpi.Error, match=said):
            call()
    assert desk.calls() == 0, "it is refused before anything is called"
    run = nest.start(fails)
    with pytest.raises(gridmpi.Error, match=said):
        run.wait("rise")
    with pytest.raises(gridmpi.RunsFailed, match="no such x"):
        run.wait()


def test_a_nest_is_not_changed_by_a_loop():
    outer = gridmpi.Nest("n").loop("a", [1])
    first, second = outer.loop("b", [2]), outer.loop("c", [3])
    assert (outer.loops, first.loops, second.loops) == (("a",), ("a", "b"), ("a", "c"))
    assert outer == gridmpi.Nest("n").loop("a", [1]) and first != second


def test_points_may_depend_on_outer_loops_and_be_objects(desk):
    class Model:
        def __init__(self, power):
            self.power, self.used = power, 0

        def fit(self, x):
            self.used += 1
            assert self.used == 1, "each call has a copy of its own"
            return x**self.power

    nest = (gridmpi.Nest("models").loop("model", {"line": Model(1), "square": Model(2)})
            .loop("x", lambda model: [model.power, 3], reduce="max"))
    results = nest.run(lambda model, x: model.fit(x), workers=2)
    assert [(row["model"], row["score"], row["best_x"]) for row in results.summary] == [("line", 3.0, 3), ("square", 9.0, 3)]
    assert [row["x"] for row in results.runs] == [1, 3, 2, 3]


def test_load_final_and_reductions_are_functions_of_the_session(desk):
    data(desk)

    def load(path):
        open("loads", "a").write(path + "\n")
        return [float(line) for line in open(path)]

    def fit(dataset, alpha):
        return {"score": sum(dataset) * alpha}

    def spread(runs):
        scores = [run["value"]["score"] for run in runs]
        return {"score": max(scores) - min(scores)}

    def refit(dataset, alpha, summary, folder):
        open(f"{folder}/model.txt", "w").write(str(alpha))
        return {"size": len(dataset)}

    nest = gridmpi.Nest("loads").loop("dataset", files="data/*.csv").loop("alpha", [1.0, 2.0, 3.0], reduce="max")
    results = nest.run(fit, workers=1, load=load, final=refit)
    assert sorted(set((desk.folder / "loads").read_text().split())) == ["data/a.csv", "data/b.csv"]
    assert [(row["best_alpha"], row["score"], row["final.size"]) for row in results.summary] == [(3.0, 9.0, 2), (3.0, 36.0, 3)]
    spreads = gridmpi.Nest("spreads").loop("dataset", files="data/*.csv").loop("alpha", [1.0, 2.0, 3.0], reduce=spread)
    assert [row["score"] for row in spreads.run(fit, load=load).summary] == [6.0, 24.0]


def test_children_have_the_path_the_folder_and_the_filters_of_the_caller(desk):
    desk.write("lib/helpers.py", "def double(x):\n    return 2 * x\n")
    ran = desk.script("""
import os, sys, warnings
sys.path.append("lib")
warnings.simplefilter("error", DeprecationWarning)
open("ran", "a").write("x")
import helpers, gridmpi

def fit(x):
    try:
        warnings.warn("old", DeprecationWarning)
        raised = False
    except DeprecationWarning:
        raised = True
    return {"score": helpers.double(x), "folder": os.getcwd(), "python": sys.executable, "raised": raised,
            "main": __name__}

runs = gridmpi.Nest("n").loop("x", [1, 2]).run(fit).runs
assert runs["score"] == [2, 4], runs
assert set(runs["folder"]) == {os.getcwd()}, runs
assert set(runs["python"]) == {sys.executable}, runs
assert set(runs["raised"]) == {True}, runs
""").ends()
    assert (desk.folder / "ran").read_text() == "x", f"no line of the script is run again\n{ran.err}"


def test_over_mpi_the_results_are_the_same(desk):
    nest = gridmpi.Nest("n").loop("a", [1, 2, 3]).loop("b", range(4), reduce=["mean", "std"])

    def fit(a, b, seed):
        return {"score": a * b + seed / 2**31}

    threads = nest.run(fit, results="threads")
    ranks = nest.run(fit, results="ranks", workers=2, mpi=True)
    assert threads.summary.rows == ranks.summary.rows
    assert set(ranks.runs["rank"]) <= {1, 2}


def test_several_copies_of_a_script_are_refused(desk):
    desk.write("tune.py", """
import gridmpi
gridmpi.Nest("n").loop("x", [1, 2]).run(lambda x: x)
""")
    words = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "3", sys.executable, "tune.py"]
    done = subprocess.run(words, env=desk.environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "run(..., workers=2, mpi=True)" in done.stderr, done.stderr
    assert not (desk.folder / "results").exists()
    one = subprocess.run([*words[:4], "1", *words[5:]], env=desk.environment(), capture_output=True, text=True, timeout=120)
    assert one.returncode == 0, one.stderr


def test_a_run_is_started_watched_and_cancelled(desk):
    def slow(x):
        time.sleep(0.2)
        return x

    nest = gridmpi.Nest("slow").loop("x", range(200))
    run = nest.start(slow, workers=2, grace=2)
    while run.progress.done < 3:
        assert not run.done
        time.sleep(0.05)
    assert run.progress.tasks == 200 and 0 < run.progress.fraction < 1
    assert len(gridmpi.open("results/slow").runs) >= 1, "while it runs, too"
    with pytest.raises(gridmpi.Error, match="another run is under way"):
        nest.run(slow)
    run.cancel()
    with pytest.raises(gridmpi.Interrupted):
        run.wait()
    ranks = gridmpi.Nest("ranks").loop("x", range(200)).start(slow, workers=2, mpi=["--timeout", "100"], grace=2)
    while ranks.progress.done < 3:
        assert not ranks.done
        time.sleep(0.05)
    ranks.cancel()
    with pytest.raises(gridmpi.Interrupted):
        ranks.wait()
    assert 3 <= len(ranks.results.runs) < 200
    kept = len(gridmpi.open("results/slow").runs)
    assert 3 <= kept < 200
    shorter = gridmpi.Nest("slow").loop("x", range(kept + 2))
    assert len(shorter.run(slow, workers=2).runs) == kept + 2


SLOW = """
import gridmpi, sys, time

def slow(x):
    open("calls", "a").write("x\\n")
    time.sleep(0.1)
    return x

count = int(sys.argv[1])
try:
    print(len(gridmpi.Nest("slow").loop("x", range(count)).run(slow, workers=1).runs))
except KeyboardInterrupt:
    print("interrupted", len(gridmpi.open("results/slow").runs))
"""


def begun(desk, words):
    """A process of which calls have begun."""
    process = subprocess.Popen(words, cwd=desk.folder, env=desk.environment(), stdout=subprocess.PIPE, text=True)
    begin = time.monotonic()
    while not (desk.folder / "calls").exists():
        assert process.poll() is None and time.monotonic() - begin < 100
        time.sleep(0.05)
    return process


def test_ctrl_c_ends_in_order_and_the_next_call_goes_on(desk):
    desk.write("slow.py", SLOW)
    process = begun(desk, [sys.executable, "slow.py", "1000"])
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=100)
    word, kept = out.split()
    assert word == "interrupted" and int(kept) == desk.calls(), out
    again = desk.python("slow.py", int(kept) + 3).ends()
    assert again.out.split() == [str(int(kept) + 3)]
    assert desk.calls() == 3


def test_nothing_goes_on_when_the_caller_is_killed(desk):
    desk.write("slow.py", SLOW)
    process = begun(desk, [sys.executable, "slow.py", "1000"])
    process.kill()
    process.communicate()
    begin = time.monotonic()
    while json.loads((desk.folder / "results/slow/status.json").read_text())["state"] in ("running", "draining"):
        assert time.monotonic() - begin < 60, "it goes on"
        time.sleep(0.1)
    calls = desk.calls()
    time.sleep(0.5)
    assert desk.calls() == 0
    assert desk.python("slow.py", calls + 1).ends().out.split() == [str(calls + 1)]


def test_a_folder_is_what_paths_are_relative_to(desk):
    desk.write("sub/a.csv", "1")
    results = gridmpi.Nest("n", folder="sub").loop("x", files="*.csv").run(lambda x: float(open(x).read()))
    assert results.runs["x"] == ["a.csv"] and results.folder == "results/n"


def test_there_is_a_bar_in_a_terminal(desk):
    import pty

    desk.write("slow.py", SLOW)
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "slow.py", "20"], env=desk.environment(), stderr=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while piece := os.read(ours, 4096):
            shown += piece
    process.communicate(timeout=100)
    assert b"slow [" in shown and b"=] 20/20" in shown, shown


def test_what_gridmpi_warns_of_is_a_warning(desk):
    with pytest.warns(gridmpi.GridmpiWarning, match="there more than once"):
        gridmpi.Nest("twice").loop("x", [1, 1]).run(abs_of)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gridmpi.Nest("once").loop("x", [1, 2]).run(abs_of)


def abs_of(x):
    return abs(x)


def test_other_kinds_of_crunch_and_every_key_are_keywords(desk):
    nest = gridmpi.Nest("echo", seed=3).loop("x", [1, 2], reduce="sum")
    assert nest.run(command=["echo", "{x}"], timeout=60, retries=1, env={"A": "{x}"}).summary[0]["score"] == 3
    assert nest.run(shell="echo $(( {x} * 2 ))", results="s").summary[0]["score"] == 6
    assert nest.run(builtin="multiply", results="m").summary[0]["score"] == 3

    def fit(x, seed):
        return {"r2": x, "seed": seed}

    results = nest.run(fit, results="k", score="r2", require=0.5, seed_by=["x"], max_failures=1, reseed=False, keep=2,
                       pass_none=True, allow_mixed=True, speculate=True, cores=1, memory="64M", inputs=[], ignore=["*.log"],
                       env={"A": "b"}, keep_env=["SLURM_NODELIST"], workdir=True)
    assert results.runs["r2"] == [1, 2]
    from gridmpi.keys import CRUNCH

    page = (desk_of_the_repository() / "docs/job-file.md").read_text()
    table = page.split("## `[crunch]`")[1].split("### What a task needs")[0]
    named = {word for line in table.splitlines() if line.startswith("| `") for word in
             line.split("|")[1].replace("`", "").replace(" ", "").split(",")}
    assert {name for name in named if name.isidentifier() and name.islower()} - CRUNCH <= NO_KEYS
    said = set(re.findall(r"`([a-z_]+)", page))
    assert CRUNCH <= said, "every keyword is in the guide"


def test_the_output_of_runs_is_kept(desk):
    def fit(x):
        print("seen", x)
        return x

    gridmpi.Nest("l").loop("x", [5, 6]).run(fit, logs="all")
    done = subprocess.run([os.environ["GRIDMPI_PROGRAM"], "log", "results/l", "1"], capture_output=True, text=True)
    assert "seen 6" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("keys, said", [
    ({"logs": "some"}, 'logs: expected failed, all, none, found "some"'),
    ({"logs": True}, "logs: expected a string"),
    ({"log": "all"}, "log is no keyword of run and start; did you mean logs"),
    ({"workdir": "yes"}, "workdir: expected true, false or a table"),
    ({"workdirs": True}, "workdirs is no keyword of run and start; did you mean workdir"),
    ({"serve": ["x"]}, "what is called is said twice, by python and serve"),
    ({"serves": ["x"]}, "serves is no keyword of run and start; did you mean serve"),
    ({"timeout": "x"}, "timeout: expected a number"),
])
def test_keys_are_refused_in_words(desk, keys, said):
    with pytest.raises(gridmpi.Error) as raised:
        gridmpi.map(abs, [1], **keys)
    assert said in str(raised.value) and "gridmpi-" not in str(raised.value)
    with pytest.raises(gridmpi.Error) as raised:
        gridmpi.Nest("n").loop("x", [1]).run(abs, **keys)
    assert said in str(raised.value)


@pytest.mark.parametrize("name", ["", ".", "..", "../../x", "a/b", ".hidden", "a\0b", "\ud800"])
def test_a_name_that_names_no_folder_is_refused_before_anything_is_written(desk, monkeypatch, name):
    inner = desk.folder / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    with pytest.raises(gridmpi.Error, match="names none: use letters, digits, '-' or '_'"):
        gridmpi.Nest(name).loop("x", [1]).run(abs)
    assert [path.name for path in desk.folder.rglob("*")] == ["inner"]
    program = [os.environ["GRIDMPI_PROGRAM"], "plan", str(desk.write("job.toml", JOB.replace("NAME", json.dumps(name))))]
    assert subprocess.run(program, capture_output=True).returncode != 0, "the program has the same rule"


JOB = "name = NAME\n[crunch]\nbuiltin = 'multiply'\n[[loop]]\nname = 'x'\nvalues = [1]\n"

NO_KEYS = {"file", "pattern", "match", "column", "row", "field"}  # of [crunch.result]


def desk_of_the_repository():
    from conftest import PACKAGE

    return PACKAGE.parent


def test_the_calls_of_a_pilot_are_made_once(desk):
    def noted(x):
        open("calls", "a").write("x\n")
        return x

    nest = gridmpi.Nest("pilot").loop("x", range(30))
    plan = nest.plan(noted, pilot=4)
    assert desk.calls() == 4
    assert (plan.done, plan.left, plan.about["pilot"]) == (4, 26, {"done": 4, "failed": 0})
    assert "4 of 30 runs are there" in repr(plan) and "By 4 recorded durations" in repr(plan), repr(plan)
    assert len(nest.run(noted).runs) == 30 and desk.calls() == 26


def test_the_other_verbs(desk):
    nest = gridmpi.Nest("verbs").loop("a", [1, 2]).loop("b", [3, 4], reduce="max")
    plan = nest.plan()
    assert (plan.tasks, plan.rows, plan.left, plan.refused) == (4, 2, 4, None) and "4 tasks" in repr(plan)
    assert "pilot=4" in repr(plan) and "job.toml" not in repr(plan), repr(plan)
    assert not (desk.folder / "results").exists()
    results = nest.run(lambda a, b: a * b)
    assert nest.plan(lambda a, b: a * b).done == 4
    assert nest.plan(lambda a, b: a + b).refused is not None
    count = []

    def leaky(a, b):
        count.append(1)
        return len(count)

    found = nest.check(leaky, tasks=3)
    assert not found and found.about["ok"] is False
    assert "do not believe" in repr(found) and "depends_on" in repr(found), repr(found)
    found = nest.check(lambda a, b: a * b, tasks=2)
    assert found and repr(found).endswith("calls: each gave the same result in all"), repr(found)
    script = nest.sbatch(lambda a, b: a * b, nodes=2, time="1:00:00")
    assert script.startswith("#!") and "job.toml" in script and "--nodes=2" in script
    assert "task" in results.explain(1)
    assert results.report().stat().st_size > 1000
