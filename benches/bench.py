"""Measures gridmpi against its peers and prints the ratios: scripts/bench starts it, set up.

Each row runs gridmpi and a peer in turns, so that both meet the same machine, and takes the median of
each. What a row is, and why, is said where it is; docs/performance.md tells what came of them.
"""
import argparse
import json
import os
import pathlib
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROWS = {}


def row(function):
    ROWS[function.__name__.replace("_", "-")] = function
    return function


# Runs a command, and prints its processor time in seconds and its most memory in KiB.
USED = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
child.returncode = os.waitstatus_to_exitcode(status)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(child.returncode)
"""


class Bench:
    """The programs, how often to run them, and the table of what came of it."""

    def __init__(self, arguments, folder):
        self.gridmpi, self.farm = arguments.gridmpi, arguments.farm
        self.rusqlite, self.data_set, self.master = arguments.bare_rusqlite, arguments.one_data_set, arguments.master
        self.quick, self.rounds = arguments.quick, 1 if arguments.quick else arguments.rounds
        self.folder, self.files, self.lines = folder, 0, []

    def size(self, full, quick):
        return quick if self.quick else full

    def file(self, name, text):
        self.files += 1
        folder = self.folder / f"{self.files}"
        folder.mkdir()
        (folder / name).write_text(text)
        return folder / name

    def call(self, command, **variables):
        """What a command prints, and how long it took."""
        begin = time.perf_counter()
        ended = subprocess.run(
            [str(word) for word in command], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, env={**os.environ, **{name: str(value) for name, value in variables.items()}},
        )
        seconds = time.perf_counter() - begin
        if ended.returncode:
            sys.exit(f"{' '.join(map(str, command))}: exit code {ended.returncode}\n{ended.stdout[-2000:]}{ended.stderr[-4000:]}")
        return ended.stdout, seconds

    def ranks(self, ranks, *command, **variables):
        return self.call(["mpirun", "-n", ranks, *command], **variables)

    def timing(self, ranks, job, *options):
        """The `timing` of a run over MPI, or with no ranks over two threads."""
        command = [self.gridmpi, "run", job, "--format", "json", *options]
        printed, wall = self.ranks(ranks, *command) if ranks else self.call([*command, "--threads", 2])
        return {**json.loads(printed)["timing"], "wall": wall}

    def used(self, *command):
        """The processor time of a command without children, in seconds, and its most memory in MiB. A process of
        little memory starts it, since Linux counts what its parent had at the start as the command's."""
        printed, _ = self.call([sys.executable, "-S", "-c", USED, *command])
        seconds, kib = map(float, printed.split())
        return seconds, kib / 1024

    def turns(self, *sides):
        """Each side's median, measured in turns."""
        measured = [[] for _ in sides]
        for _ in range(self.rounds):
            for side, figures in zip(sides, measured):
                figures.append(side())
        return [statistics.median(figures) for figures in measured]

    def say(self, what, figure, against, ratio, target):
        """A line of the table. `target` is `>= x` or `<= x`, about `ratio`; empty if the figure is there to know."""
        verdict = ""
        if target and not self.quick:
            relation, bound = target.split()
            met = ratio >= float(bound) if relation == ">=" else ratio <= float(bound)
            verdict = "yes" if met else "NO"
        line = [what, figure, against, f"{ratio:.3g}", target, verdict]
        self.lines.append(line)
        print("| " + " | ".join(line) + " |", flush=True)

    def faster(self, what, mine, theirs, peer, target):
        """Tasks a second of both, and the ratio of them."""
        self.say(what, f"{rate(mine)}/s", f"{peer} {rate(theirs)}/s", mine / theirs, f">= {target}" if target else "")


def said(printed):
    """A peer's figures: the last line it prints, as JSON."""
    return json.loads(printed.splitlines()[-1])


def a_second(printed, what="tasks"):
    figures = said(printed)
    return figures[what] / figures["seconds"]


def rate(number):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def empty(groups, rows=True, runs=100):
    """A job of tasks that weigh nothing, so many to a group."""
    fold = "" if rows else 'reduce = "max"\n'
    return f'''
[crunch]
builtin = "multiply"
[[loop]]
name = "a"
range = {{ from = 0, to = {groups} }}
{fold}[[loop]]
name = "b"
range = {{ from = 0, to = {runs} }}
reduce = "max"
'''


def tasks_a_second(timing):
    return timing["tasks"] / timing["crunch_seconds"]


def farm(bench, ranks, tasks, batch):
    return a_second(bench.ranks(ranks, bench.farm, tasks, batch)[0])


def futures(bench, ranks, tasks, chunksize, **variables):
    command = [sys.executable, "-m", "mpi4py.futures", HERE / "peers" / "futures.py", tasks, chunksize]
    return a_second(bench.ranks(ranks, *command, **variables)[0])


def best_futures(bench, ranks):
    """mpi4py.futures at the chunksize that suits it best."""
    tasks = bench.size(500_000, 20_000)
    return max(futures(bench, ranks, tasks, chunksize) for chunksize in (100, 1000, 10_000))


@row
def one_a_message(bench):
    """Empty tasks, one in each message: what dictionary, reduction and safety cost beside bare MPI."""
    for ranks in (2, 3, 9):
        tasks = bench.size(1_000_000, 20_000)
        job = bench.file("job.toml", empty(tasks // 100, rows=False))
        mine, theirs = bench.turns(
            lambda: tasks_a_second(bench.timing(ranks, job, "--no-store", "--batch", 1)),
            lambda: farm(bench, ranks, tasks, 1),
        )
        bench.faster(f"empty tasks, one per message, -n {ranks}", mine, theirs, "C farm", 0.8)


@row
def batches(bench):
    """Empty tasks, default settings, nothing kept."""
    for ranks in (2, 9):
        tasks = bench.size(100_000_000, 1_000_000)
        job = bench.file("job.toml", empty(tasks // 100, rows=False))
        mine, theirs, python = bench.turns(
            lambda: tasks_a_second(bench.timing(ranks, job, "--no-store")),
            lambda: farm(bench, ranks, tasks, 100),
            lambda: best_futures(bench, ranks),
        )
        bench.faster(f"empty tasks, batches, -n {ranks}", mine, theirs, "C farm, 100 per message,", 0.3)
        bench.faster(f"empty tasks, batches, -n {ranks}", mine, python, "mpi4py.futures", 30)
    loky = [sys.executable, HERE / "peers" / "loky.py", bench.size(200_000, 5_000), 2]
    job = bench.file("job.toml", empty(bench.size(100_000, 1_000), rows=False))
    mine, theirs = bench.turns(
        lambda: tasks_a_second(bench.timing(0, job, "--no-store")),
        lambda: a_second(bench.call(loky)[0]),
    )
    bench.faster("empty tasks, batches, 2 threads without MPI", mine, theirs, "joblib", 30)


@row
def durable(bench):
    """Empty tasks, every run on disk before the end."""
    job = bench.file("job.toml", empty(bench.size(50_000, 1_000), rows=False))
    tasks = bench.size(5_000_000, 100_000)

    for ranks in (2, 9):
        def mine():
            stored = bench.timing(ranks, job, "--out", bench.folder / "durable")["stored_seconds"]
            shutil.rmtree(bench.folder / "durable")
            return tasks / stored

        stored, inserted, python = bench.turns(
            mine,
            lambda: a_second(bench.call([bench.rusqlite, tasks])[0], "rows"),
            lambda: best_futures(bench, ranks),
        )
        bench.faster(f"empty tasks, durable store, -n {ranks}", stored, inserted, "bare rusqlite", 0.5)
        bench.faster(f"empty tasks, durable store, -n {ranks}", stored, python, "mpi4py.futures (keeps nothing)", None)


@row
def commands(bench):
    """A process for each task, which does nothing."""
    count = bench.size(4_000, 100)
    job = bench.file("job.toml", f'''
[crunch]
command = ["true"]
[[loop]]
name = "item"
range = {{ from = 0, to = {count} }}
reduce = "count"
''')
    few = bench.size(1_000, 50)
    hyperqueue = [sys.executable, HERE / "peers" / "hyperqueue_tasks.py", few * 2, "true"]

    def piped(program, tasks):
        line = f"seq {tasks} | {program} >/dev/null"
        return tasks / bench.call(["sh", "-c", line])[1]

    mine, xargs, parallel, hq = bench.turns(
        lambda: tasks_a_second(bench.timing(3, job, "--no-store")),
        lambda: piped("xargs -P2 -n1 true", count),
        lambda: piped("parallel -j2 true", few),
        lambda: a_second(bench.call(hyperqueue)[0]),
    )
    bench.faster("a process per task, 2 workers", mine, xargs, "xargs -P2", 0.8)
    bench.faster("a process per task, 2 workers", mine, parallel, "GNU parallel", 4)
    bench.faster("a process per task, 2 workers", mine, hq, "HyperQueue", 5)


@row
def python(bench):
    """A Python function that multiplies two numbers."""
    job = bench.file("job.toml", f'[crunch]\npython = "fit.py:crunch"\n{empty(bench.size(10_000, 200)).split("multiply")[1][1:]}')
    (job.parent / "fit.py").write_text("def crunch(a, b):\n    return float(a) * float(b)\n")
    single = bench.size(20_000, 1_000)
    mine, best, one = bench.turns(
        lambda: tasks_a_second(bench.timing(3, job, "--no-store")),
        lambda: best_futures(bench, 3),
        lambda: futures(bench, 3, single, 1),
    )
    bench.faster("Python tasks, 2 workers", mine, best, "mpi4py.futures", 1)
    bench.faster("Python tasks, 2 workers", mine, one, "mpi4py.futures, chunksize 1,", 40)
    # A function that imports a generator of random numbers has it seeded before each call.
    drawing = bench.file("job.toml", job.read_text().replace("[crunch]", f'[crunch]\ninterpreter = "{sys.executable}"'))
    (drawing.parent / "fit.py").write_text(
        "import random, numpy.random\n\ndef crunch(a, b):\n    return float(a) * float(b)\n")
    seeded, plain = bench.turns(
        lambda: tasks_a_second(bench.timing(3, drawing, "--no-store")),
        lambda: tasks_a_second(bench.timing(3, job, "--no-store")),
    )
    bench.faster("Python tasks, random and numpy imported", seeded, plain, "neither imported", 0.01)


@row
def sklearn(bench):
    """Three families of models for each of six data sets: one search, against a loop of scikit-learn's GridSearchCV with two
    processes, which wait at the end of each search. If they never did, the loop would take half its processor time."""
    folds, size = bench.size((5, "full"), (2, "small"))
    program = pathlib.Path(bench.gridmpi).resolve()
    ran = {"gridmpi": [], "loop": []}

    def searching(side):
        command = [sys.executable, HERE / "peers" / "searches.py", side, folds, size]
        ran[side].append(said(bench.call(command, PYTHONPATH=HERE.parent / "python", GRIDMPI_PROGRAM=program)[0]))
        return ran[side][-1]["seconds"]

    mine, loop = bench.turns(lambda: searching("gridmpi"), lambda: searching("loop"))
    first, other = ran["gridmpi"][0], ran["loop"][0]
    differences = [abs(a - b) for name in first["scores"] for a, b in zip(first["scores"][name], other["scores"][name], strict=True)]
    if max(differences) > 1e-12 or first["right"] != other["right"]:
        sys.exit(f"the scores of the two searches differ by {max(differences)}")
    used, used_by_loop = (statistics.median(one["cpu"] for one in ran[side]) for side in ("gridmpi", "loop"))
    bench.faster("fits of a search, six data sets, three families, 2 workers", first["fits"] / mine, first["fits"] / loop, "GridSearchCV(n_jobs=2)", None)
    most = loop / (used_by_loop / 2)
    bench.say("the same, speed-up over that of processes that never wait", f"{loop / mine:.3f}", f"at most {most:.3f}", loop / mine / most, "")
    bench.say("the same, processor s", f"{used:.1f}", f"GridSearchCV {used_by_loop:.1f}", used / used_by_loop, "")


@row
def r(bench):
    """An R function and a worker in Python that multiply two numbers, against an Rscript for each task."""
    def job(crunch, groups, runs=100):
        return bench.file("job.toml", f'[crunch]\n{crunch}\n{empty(groups, runs=runs).split("multiply")[1][1:]}')

    served = job('r = "fit.R:crunch"', bench.size(200, 5))
    (served.parent / "fit.R").write_text("crunch <- function(a, b) a * b\n")
    worker = job('serve = ["python3", "worker.py"]', bench.size(200, 5))
    (worker.parent / "worker.py").write_text('''
import json, os
requests, answers = open(os.environ["GRIDMPI_REQUESTS"]), open(os.environ["GRIDMPI_ANSWERS"], "w", buffering=1)
for line in requests:
    message = json.loads(line)
    if message["type"] == "hello":
        answers.write('{"type": "hello", "version": 1}\\n')
    if message["type"] == "task":
        value = message["points"]["a"] * message["points"]["b"]
        answers.write(json.dumps({"type": "result", "id": message["id"], "value": value}) + "\\n")
''')
    started = job('command = ["Rscript", "one.R", "{a}", "{b}"]', 1, bench.size(100, 10))
    (started.parent / "one.R").write_text("cat(prod(as.numeric(commandArgs(TRUE))))\n")
    mine, other, each = bench.turns(*(
        lambda job=job: tasks_a_second(bench.timing(None, job, "--no-store")) for job in (served, worker, started)
    ))
    bench.faster("R tasks, 2 workers", mine, each, "an Rscript per task", 30)
    bench.faster("tasks of a worker in Python (serve), 2 workers", other, each, "an Rscript per task", None)


@row
def seed(bench):
    """The textbook's job: 10 data sets x 3 parameters x 1 s on 8 workers, ideally 4 s. Alone it would be
    `mpirun -n 9 gridmpi`; here it keeps its runs."""
    job = bench.file("job.toml", f'''
[crunch]
builtin = "multiply"
sleep = {bench.size(1.0, 0.02)}
[[loop]]
name = "dataset"
range = {{ from = 1, to = 11 }}
[[loop]]
name = "param"
range = {{ from = 1, to = 4 }}
reduce = "max"
''')
    timings = []

    def mine():
        timings.append(bench.timing(9, job, "--fresh", "--out", bench.folder / "seed"))
        return timings[-1]["crunch_seconds"]

    start = lambda: bench.ranks(9, bench.farm, 0, 1)[1]
    crunching, starting, pool = bench.turns(mine, start, lambda: 30 / futures(bench, 9, 30, 1, SECONDS=bench.size(1.0, 0.02)))
    ideal = bench.size(4.0, 0.08)
    around = statistics.median(timing["wall"] - timing["crunch_seconds"] for timing in timings) - starting
    bench.say("the textbook job, crunching (s)", f"{crunching:.3f}", f"ideal {ideal:.3f}, mpi4py.futures {pool:.3f}", crunching, "<= 4.02")
    bench.say("the same, overhead without the start of MPI (s)", f"{around:.3f}", f"start of MPI {starting:.3f}", around, "<= 0.2")


def makespan(bench, job, folder):
    """How long crunching took over what it has to take: the sum over the workers, or the longest task."""
    timing = bench.timing(9, job, "--out", folder)
    with sqlite3.connect(folder / "runs.sqlite") as store:
        last = "(SELECT max(session) FROM workers)"
        of_start = f"SELECT sum(seconds), max(seconds) FROM runs JOIN workers USING (worker) WHERE session = {last}"
        total, longest = store.execute(of_start).fetchone()
    return timing["crunch_seconds"] / max(total / 8, longest)


@row
def makespans(bench):
    """1,000 lognormal tasks of mean 10 ms on 8 workers, against the least that they can take: in grid
    order; and 1,000 whose durations are known from one repeat of each class."""
    def job(loops, order="grid"):
        return f'name = "spans"\norder = "{order}"\n[crunch]\nbuiltin = "multiply"\nsleep = "cost"\n{loops}'

    def classes(count, seed):
        drawn = f"cost = {{ lognormal = {{ mean = -5.105, sd = 1.0 }} }}"
        return f'[[loop]]\nname = "cost"\nrandom = {{ count = {count}, seed = {seed}, {drawn} }}\n'

    def repeats(count):
        return f'[[loop]]\nname = "repeat"\nrange = {{ from = 0, to = {count} }}\nreduce = "max"\n'

    runs = []

    def in_order(order):
        def run():
            runs.append(order)
            file = bench.file("job.toml", job(classes(bench.size(1000, 100), len(runs)), order))
            return makespan(bench, file, bench.folder / f"spans-{len(runs)}")
        return run

    def learned():
        runs.append("learned")
        folder, drawn = bench.folder / f"spans-{len(runs)}", classes(bench.size(125, 25), len(runs))
        for count in (1, 9):
            file = bench.file("job.toml", job(drawn + repeats(count), "longest-first"))
            ratio = makespan(bench, file, folder)
        return ratio

    plain, known = bench.turns(in_order("grid"), learned)
    bench.say("1,000 lognormal tasks, makespan over the lower bound", f"{plain:.4f}", "grid order", plain, "<= 1.05")
    bench.say("the same, with durations of one earlier repeat", f"{known:.4f}", "longest first", known, "<= 1.02")


@row
def idle(bench):
    """What waiting costs: 8 workers asleep in 10 s of crunch. And how soon a task starts that becomes
    ready then: one fails after a while, and is tried again by a worker that has been idle."""
    def asleep(seconds):
        return bench.file("job.toml", f'''
[crunch]
builtin = "multiply"
sleep = {seconds}
[[loop]]
name = "item"
range = {{ from = 0, to = 8 }}
reduce = "max"
''')

    short, long = (asleep(seconds) for seconds in bench.size((1, 11), (0.1, 1.1)))
    few, many = bench.turns(
        lambda: bench.timing(9, short, "--no-store")["all_cpu_seconds"],
        lambda: bench.timing(9, long, "--no-store")["all_cpu_seconds"],
    )
    share = 100 * (many - few) / bench.size(10, 1)
    bench.say("8 workers sleeping: load of one core, all ranks together (%)", f"{share:.2f}", "", share, "<= 3")
    waits = bench.size(3, 0.3)
    script = "[ $1 = 7 ] && [ $GRIDMPI_ATTEMPT = 1 ] && sleep WAITS && exit 1; echo 1"
    job = bench.file("job.toml", f'''
[crunch]
command = ["/bin/sh", "-c", "{script.replace('WAITS', str(waits))}", "sh", "{{item}}"]
retries = 1
[[loop]]
name = "item"
range = {{ from = 0, to = 8 }}
reduce = "max"
''')

    def late():
        folder = bench.folder / "late"
        bench.timing(9, job, "--fresh", "--out", folder)
        with sqlite3.connect(folder / "runs.sqlite") as store:
            ended = store.execute("SELECT started + seconds FROM failures").fetchone()[0]
            begun = store.execute("SELECT started FROM runs ORDER BY key LIMIT 1 OFFSET 7").fetchone()[0]
        return 1e3 * (begun - ended)

    wait, = bench.turns(late)
    bench.say("a task that becomes ready starts after (ms)", f"{wait:.2f}", "a worker idle for 3 s", wait, "<= 2")


@row
def memory(bench):
    """Rank 0's memory: ten million tasks in a hundred thousand groups, kept."""
    job = bench.file("job.toml", empty(bench.size(100_000, 1_000)))
    peak, = bench.turns(lambda: bench.timing(3, job, "--fresh", "--out", bench.folder / "memory")["master_peak_rss_bytes"])
    _, report = bench.used(bench.gridmpi, "report", "memory", "--to", "memory.html")
    shutil.rmtree(bench.folder / "memory")
    mib = peak / 2**20
    bench.say("10^7 tasks in 10^5 groups, peak memory of rank 0 (MiB)", f"{mib:.0f}", "durable store", mib, "<= 100")
    bench.say("report of 10^7 runs, peak memory (MiB)", f"{report:.0f}", "", report, "<= 100")


@row
def edits(bench):
    """A job of a million runs that gets one point more of its inner loop, five times: the processor time of each
    start, which makes a thousand runs, and what the results folder grows to. A copy of the store took 2.5 to 7 s."""
    outer = inner = bench.size(1000, 50)
    job = bench.file("job.toml", "")

    def start(inner):
        job.write_text(empty(outer, runs=inner))
        return bench.used(bench.gridmpi, job, "--out", "edits", "--threads", 1)[0]

    start(inner)
    size = lambda: sum(path.stat().st_size for path in (bench.folder / "edits").rglob("*"))
    before, seconds = size(), []
    for edit in range(1, 6):
        seconds.append(start(inner + edit))
    after = size() / before
    shutil.rmtree(bench.folder / "edits")
    bench.say("edit of a job with 10^6 runs, the 1st (processor s)", f"{seconds[0]:.2f}", "", seconds[0], "<= 2")
    bench.say("the same, the 5th", f"{seconds[-1]:.2f}", "", seconds[-1], "<= 2")
    bench.say("results folder after five edits", f"{after:.3f}", "before them", after, "<= 1.1")


@row
def groups(bench):
    """A million groups: a start with nothing left to do, and the tables of what is there."""
    job = bench.file("job.toml", empty(bench.size(1_000_000, 5_000), runs=1))
    bench.used(bench.gridmpi, job, "--out", "groups", "--threads", 1)
    start, = bench.turns(lambda: bench.used(bench.gridmpi, job, "--out", "groups", "--threads", 1)[1])
    best = [bench.used(bench.gridmpi, "best", "groups") for _ in range(bench.rounds)]
    best_seconds, best_mib = (statistics.median(figure) for figure in zip(*best))
    few, = bench.turns(lambda: bench.used(bench.gridmpi, "runs", "groups", "--limit", 10)[0])
    shutil.rmtree(bench.folder / "groups")
    bench.say("start with nothing left to do, 10^6 groups: peak memory (MiB)", f"{start:.0f}", "", start, "<= 60")
    bench.say("best of 10^6 rows (processor s)", f"{best_seconds:.2f}", "", best_seconds, "<= 4")
    bench.say("the same, peak memory (MiB)", f"{best_mib:.0f}", "", best_mib, "<= 60")
    bench.say("runs --limit 10 of 10^6 runs (processor s)", f"{few:.3f}", "", few, "<= 0.1")


@row
def data(bench):
    """One data set of 100 MB x 1,000 parameters on 4 workers, against a farm that sends it with each
    task."""
    megabytes, parameters = bench.size(100, 10), bench.size(1000, 50)
    bytes_crossed = []

    def mine():
        printed, _ = bench.ranks(5, bench.data_set, "--no-store", "--format", "json", MEGABYTES=megabytes, PARAMETERS=parameters)
        timing = json.loads(printed)["timing"]
        bytes_crossed.append(timing["bytes"] / (megabytes * 1e6))
        return tasks_a_second(timing)

    def shipping():
        tasks = bench.size(100, 20)
        return a_second(bench.ranks(5, bench.farm, tasks, 1, 100, megabytes * 1_000_000)[0])

    keeping, sending = bench.turns(mine, shipping)
    bench.say("one data set x 1,000 parameters, number of transfers", f"{max(bytes_crossed):.2f}", "4 workers", max(bytes_crossed), "<= 4.01")
    bench.faster("one data set x 1,000 parameters", keeping, sending, "sent with each task", 20)


@row
def master(bench):
    """The master alone, against simulated workers: its processor time a task, and its memory."""
    printed, _ = bench.call([bench.master, "what_the_master_costs", "--nocapture"])
    words = [line.split() for line in printed.splitlines()]
    costs = {line[0]: float(line[1]) for line in words if len(line) == 2 and line[1][0].isdigit()}
    one, batch = costs["us_a_task_batch_1"], costs["us_a_task_batch_1000"]
    bench.say("decisions of rank 0 per task, 10^5 workers, one at a time (us)", f"{one:.3f}", "simulated", one, "<= 1")
    bench.say("the same, batches of 1,000 (us)", f"{batch:.4f}", "simulated", batch, "<= 0.1")
    start = costs["start_seconds_of_1e9_tasks"]
    bench.say("10^9 tasks: start (s)", f"{start:.3f}", "simulated", start, "<= 1")
    mib = costs["mib_with_1e4_groups_open"]
    bench.say("10^9 tasks, 10^4 groups open: peak memory (MiB)", f"{mib:.0f}", "simulated", mib, "<= 1024")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"which rows [default: all]: {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="small and once, to see that all runs")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side runs [default: 5]")
    for program in ("gridmpi", "farm", "bare-rusqlite", "one-data-set", "master"):
        parser.add_argument(f"--{program}", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for name in arguments.rows:
        if name not in ROWS:
            parser.error(f"there is no row {name}; there are {', '.join(ROWS)}")
    with tempfile.TemporaryDirectory(dir=pathlib.Path(arguments.farm).parent) as folder:
        bench = Bench(arguments, pathlib.Path(folder).resolve())
        print(f"{os.cpu_count()} cores, {platform.platform()}, medians of {bench.rounds}")
        print("| what | gridmpi | against | ratio or figure | target | met |\n| --- | --- | --- | --- | --- | --- |")
        for name in arguments.rows or ROWS:
            ROWS[name](bench)
    missed = [line[0] for line in bench.lines if line[-1] == "NO"]
    aimed = sum(1 for line in bench.lines if line[-1])
    print(f"{aimed - len(missed)} of {aimed} targets met" if not arguments.quick else "all ran")


main()
