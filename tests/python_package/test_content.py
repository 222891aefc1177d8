"""What counts for reuse: what a function is made of, and not where it stands or what its pickle looks like."""

import subprocess

import pytest

import gridmpi
from gridmpi.digests import contents_of

NOTED = """
import gridmpi
def note(): open("calls", "a").write("x\\n")
"""
RUN = """
try:
    results = gridmpi.Nest("job").loop("x", [1, 2], reduce="sum").run(fit, workers=1)
    print(round(results.summary[0]["score"]))
except gridmpi.Error as error:
    print("refused:", error)
"""


def run(desk, source, *, before="", seed="1"):
    return desk.script(NOTED + before + source + RUN, PYTHONHASHSEED=seed).ends().out.strip()


SOURCE = """
SCALE = 3
NAMES = {"b", "a", "c"}
def helper(x, plus=1):
    return x * SCALE + plus
def fit(x):
    note()
    return helper(x) + len(NAMES) + (x in {"u", "v", "w"})
"""


def test_another_session_with_the_same_content_computes_nothing_anew(desk):
    assert run(desk, SOURCE) == "17"
    assert desk.calls() == 2
    for seed in ("2", "3", "random"):
        assert run(desk, SOURCE, seed=seed) == "17"
    moved = "\n\n# moved\n" + SOURCE.replace("    note()\n", "    # a comment\n\n    note()  # and another\n")
    assert run(desk, moved, before="import os, math\nOTHER = 5\n") == "17"
    assert desk.calls() == 0


@pytest.mark.parametrize("was, now, named", [
    ("SCALE = 3", "SCALE = 4", "SCALE has changed from `3` to `4`"),
    ("plus=1", "plus=2", "default of plus in helper has changed from `1` to `2`"),
    ('"a", "c"}', '"a", "d"}', "NAMES has changed"),
    ("x * SCALE + plus", "x * SCALE - plus", "helper has changed"),
    ("+ len(NAMES)", "- len(NAMES)", "crunch has changed"),
])
def test_what_has_changed_is_named(desk, was, now, named):
    run(desk, SOURCE)
    desk.calls()
    assert was in SOURCE
    said = run(desk, SOURCE.replace(was, now))
    assert said.startswith("refused:") and named in said, said
    assert "keep_changed=True" in said and "fresh=True" in said
    if "has changed from `code" in said:
        assert "    -" in said and "    +" in said, f"the lines are shown\n{said}"
    assert desk.calls() == 0
    assert run(desk, SOURCE) == "17"


def test_modules_count_as_a_whole_and_comments_do_not(desk):
    helpers = "import math\nSCALE = 2\n\ndef scaled(x):\n    return x * SCALE\n"
    desk.write("lib/helpers.py", helpers)
    desk.write("fits.py", "from lib.helpers import scaled\n\ndef fit(x):\n    open('calls', 'a').write('x\\n')\n    return scaled(x)\n")
    script = "import gridmpi\nfrom fits import fit\n" + RUN
    assert desk.script(script).ends().out == "6\n" and desk.calls() == 2
    desk.write("lib/helpers.py", "# a comment\n" + helpers.replace("SCALE = 2", "SCALE  =  2"))
    assert desk.script(script).ends().out == "6\n" and desk.calls() == 0
    desk.write("lib/helpers.py", helpers.replace("SCALE = 2", "SCALE = 5"))
    said = desk.script(script).ends().out
    assert "lib/helpers.py has changed" in said and "-SCALE = 2" in said and "+SCALE = 5" in said, said
    late = "import gridmpi\ndef fit(x):\n    import lib.helpers\n    return lib.helpers.scaled(x)\n" + RUN.replace('"job"', '"late"')
    assert desk.script(late).ends().out == "15\n"
    desk.write("lib/helpers.py", helpers)
    assert "lib/helpers.py has changed" in desk.script(late).ends().out


def test_a_module_within_a_global_package_is_there_and_counts(desk):
    desk.write("pkg/__init__.py", "")
    desk.write("pkg/h.py", "def g(x): return x\n")
    script = "import gridmpi, pkg.h, os.path\ndef fit(x): return pkg.h.g(x) + len(os.path.sep)\n" + RUN
    assert desk.script(script).ends().out == "5\n"
    desk.write("pkg/h.py", "# a comment\ndef g(x): return x\n")
    assert desk.script(script).ends().out == "5\n"
    desk.write("pkg/h.py", "def g(x): return 2 * x\n")
    assert "pkg/h.py has changed" in desk.script(script).ends().out


def test_modules_that_nobody_sees_beforehand_count_as_files(desk):
    desk.write("plugin.py", "SCALE = 2\n")
    desk.write("seen.py", "ONE = 1\n")
    script = "import gridmpi, importlib, seen\ndef fit(x):\n    return x * importlib.import_module('plugin').SCALE * seen.ONE\n" + RUN
    assert desk.script(script).ends().out == "6\n"
    desk.write("seen.py", "# a comment\nONE = 1\n")
    assert desk.script(script).ends().out == "6\n"
    desk.write("plugin.py", "SCALE = 3\n")
    assert "plugin.py has changed" in desk.script(script).ends().out


def test_what_notebooks_define_can_be_compared(desk):
    source = """
import abc, dataclasses, enum, functools, logging, pathlib, re
import gridmpi

logger, here, pattern = logging.getLogger("x"), pathlib.Path("x"), re.compile("a+")

@dataclasses.dataclass
class Options:
    factor: int = FACTOR
    names: list = dataclasses.field(default_factory=list)

class Kind(enum.Enum):
    ONE = 1

class Base(abc.ABC):
    @abc.abstractmethod
    def times(self, x): ...

class Model(Base):
    def __init__(self, options): self.options = options
    @functools.cached_property
    def factor(self): return self.options.factor
    @property
    def one(self): return Kind.ONE.value
    @staticmethod
    def nothing(): return 0
    def times(self, x): return cached(x) * self.factor * self.one + self.nothing()

@functools.lru_cache(maxsize=8)
def cached(x): return x * CACHED

def fit(model, x):
    logger.debug(here.name); pattern.match("a")
    open("calls", "a").write("x\\n")
    return model.times(x)

try:
    nest = gridmpi.Nest("n").loop("model", {"a": Model(Options())}).loop("x", [1, 2], reduce="sum")
    print(nest.run(fit, workers=1).summary[0]["score"])
except gridmpi.Error as error:
    print(error)
"""
    def run(factor, cached, seed):
        return desk.script(f"FACTOR, CACHED = {factor}, {cached}\n" + source, PYTHONHASHSEED=seed).ends().out.strip()

    assert run(2, 1, "1") == "6.0" and desk.calls() == 2
    assert run(2, 1, "2") == "6.0" and desk.calls() == 0
    assert run(3, 1, "3") == "9.0" and desk.calls() == 2, "another object"
    assert run(3, 2, "3") == "18.0" and desk.calls() == 2, "the object uses another function"


def test_closures_lambdas_methods_and_partials_count(desk):
    import functools

    def closed(factor):
        return lambda x: x * factor

    class Model:
        def __init__(self, factor):
            self.factor = factor

        def fit(self, x):
            return x * self.factor

    def of(function):
        return contents_of({"f": function}).digest()

    assert of(closed(2)) == of(closed(2)) != of(closed(3))
    assert of(Model(2).fit) == of(Model(2).fit) != of(Model(3).fit)
    partial = functools.partial(lambda x, y: x + y, y=1)
    assert of(partial) == of(functools.partial(lambda x, y: x + y, y=1)) != of(functools.partial(lambda x, y: x + y, y=2))
    assert contents_of({"f": closed(2)}).all()["factor"] == "2"
    for function in (closed(2), Model(2).fit, partial):
        function = function if function is not partial else functools.partial(lambda x, y: x * y, y=2)
        assert gridmpi.Nest("n").loop("x", [1, 4]).run(function, fresh=True).runs["score"] == [2, 8]


def test_values_of_numpy_pandas_and_scikit_learn_count_by_content():
    import numpy
    import pandas
    from sklearn.linear_model import Ridge

    def of(value):
        return contents_of({"v": value}).digest()

    makes = [
        lambda n: numpy.arange(3.0) + n, lambda n: numpy.array(["a", n], dtype=object),
        lambda n: pandas.DataFrame({"a": [1, n], "b": ["x", "y"]}), lambda n: pandas.Series([1.5, n]),
        lambda n: Ridge(alpha=n + 1), lambda n: Ridge().fit([[0.0], [1.0], [n]], [1, 2, 4]),
        lambda n: {"k": {3, 1, n}, "t": (None, b"x", 1.0)}, lambda n: numpy.random.default_rng(n),
    ]
    for make in makes:
        assert of(make(7)) == of(make(7)) != of(make(8)), make(7)
    assert of(1) != of(1.0) != of(True) and of([]) != of(()) and of("1") != of(1)
    held = []
    held.append(held)
    assert of(held) == of(held)


def test_what_cannot_be_compared_is_refused_with_the_way_out(desk):
    import threading

    lock = threading.Lock()

    def fit(x):
        return x if lock else 0

    nest = gridmpi.Nest("n").loop("x", [1])
    with pytest.raises(gridmpi.Error, match='fit uses lock: .*version="1"'):
        nest.run(fit)
    with pytest.raises(gridmpi.Error, match='reduce_0 .* uses lock: .*file.py:function'):
        gridmpi.Nest("n").loop("x", [1], reduce=lambda runs: lock and 1).run(lambda x: x)
    with pytest.raises(gridmpi.Error, match="'a' of loop 'x' .*in the loop"):
        gridmpi.Nest("n").loop("x", {"a": lock}).run(lambda x: 1)
    named = gridmpi.Nest("n").loop("x", {"a": Odd()}, version={"a": "1"})
    assert named.run(lambda x: x.number).runs["score"] == [3]


class Odd:
    """An object whose content cannot be compared, and that can be carried."""

    number = 3

    def __reduce_ex__(self, protocol):
        if protocol == 4:
            raise TypeError("no content")
        return Odd, ()


def test_a_version_stands_for_the_function(desk):
    nest = gridmpi.Nest("n").loop("x", [1])
    assert nest.run(lambda x: x, version="1").runs["score"] == [1]
    assert nest.run(lambda x: 2 * x, version="1").runs["score"] == [1]
    with pytest.raises(gridmpi.Error, match="version has changed from `1` to `2`"):
        nest.run(lambda x: 2 * x, version="2")
    assert nest.run(lambda x: 2 * x, version="2", fresh=True).runs["score"] == [2]
    with pytest.raises(gridmpi.Error, match="cannot be compared"):
        nest.run(lambda x: 2 * x)


def test_a_changed_object_is_computed_anew_and_others_stay(desk):
    def fit(model, x):
        open("calls", "a").write("x\n")
        return x * model["factor"]

    def run(**factors):
        models = {name: {"factor": factor} for name, factor in factors.items()}
        return gridmpi.Nest("n").loop("model", models).loop("x", [1, 2], reduce="sum").run(fit).summary["score"]

    assert run(a=1, b=2) == [3, 6] and desk.calls() == 4
    assert run(a=1, b=5) == [3, 15] and desk.calls() == 2
    assert run(c=1, a=1, b=5) == [3, 3, 15] and desk.calls() == 2


def test_a_file_that_changes_between_the_caller_and_the_children_is_noticed(desk):
    desk.write("fits.py", "def fit(x):\n    return x\n")
    ran = desk.script("""
import gridmpi, fits
from gridmpi import functions
write = functions.write
def late(path, data):
    write(path, data)
    open("fits.py", "a").write("# changed\\n")
functions.write = late
try:
    gridmpi.Nest("n").loop("x", [1]).run(fits.fit)
except gridmpi.Error as error:
    print(error)
""").ends()
    assert "fits.py has changed since this run was started" in ran.out


def test_readers_load_no_pickle(desk):
    gridmpi.Nest("n").loop("x", [1]).run(lambda x: x)
    for pickle in desk.folder.glob("results/n/python/*.pickle"):
        pickle.write_bytes(b"cos\nsystem\n(S'touch loaded'\ntR.")
    assert len(gridmpi.open("results/n").runs) == 1
    gridmpi.open("results/n").report()
    subprocess.run([gridmpi._program.program(), "merge", "merged", "results/n"], capture_output=True, check=False)
    assert not (desk.folder / "loaded").exists()


def test_without_cloudpickle_functions_of_a_script_work_and_classes_are_refused(desk):
    ran = desk.script("""
import sys
sys.modules["cloudpickle"] = None
import math
import gridmpi

SCALE = [2]

def even(x):
    return x == 0 or odd(x - 1)

def odd(x):
    return x > 0 and even(x - 1)

def closed(factor):
    def fit(x, *, plus=0.5):
        return (fit(x - 1) if x > 3 else x) * factor * SCALE[0] + plus + math.floor(x) * even(x)
    return fit

nest = gridmpi.Nest("n").loop("x", [1, 2, 5])
fit = closed(3)
assert nest.run(fit).runs["score"] == [fit(1), fit(2), fit(5)]

class Model:
    pass

def uses(x):
    return Model()

def counts(x):
    global SCALE
    SCALE = [3]

for function in (uses, counts):
    try:
        nest.run(function, fresh=True)
    except gridmpi.Error as error:
        print(error)
""").ends()
    assert "uses the class Model" in ran.out and ran.out.count("pip install cloudpickle") == 2, ran.out
    assert "which sets a global name" in ran.out
