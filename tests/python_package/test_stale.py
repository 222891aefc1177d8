"""Changes that are hard to see: none may leave a number of before."""

import numpy
import pandas
import pytest

import gridmpi
from gridmpi.digests import contents_of

TUNE = """
import gridmpi
from helper import evaluate
try:
    print(gridmpi.Nest("a").loop("x", [1, 2], reduce="max").run(lambda x: evaluate(x), workers=1).runs["score"])
except gridmpi.Error as error:
    print("refused:", error)
"""

MODULES = {
    "an import is switched": (
        "from model_a import predict\ndef evaluate(x):\n    return predict(x)\n", "model_a", "model_b"),
    "what is imported is another function": (
        "from math import floor as f\ndef evaluate(x):\n    return f(x + 0.5)\n", "floor", "ceil"),
    "a statement is new": (
        'CONFIG = {"power": 1}\ndef evaluate(x):\n    return x ** CONFIG["power"]\n', "def ", 'CONFIG["power"] = 3\ndef '),
    "a decorator registers": (
        "MODELS = {}\ndef model(f):\n    MODELS[f.__name__] = f\n    return f\n@model\ndef ridge(x):\n    return x * 1\n"
        'def evaluate(x):\n    return MODELS["ridge"](x)\n', "x * 1", "x * 7"),
    "globals() finds it": (
        'def m_a(x): return x * 1\ndef evaluate(x, n="a"): return globals()["m_" + n](x)\n', "x * 1", "x * 7"),
    "a subclass registers": (
        "class Base:\n    known = {}\n    def __init_subclass__(cls): Base.known[cls.__name__] = cls\n"
        "class Ridge(Base):\n    def go(self, x): return x * 1\n"
        'def evaluate(x): return Base.known["Ridge"]().go(x)\n', "x * 1", "x * 7"),
    "an import is tried": (
        "try:\n    from numpy import floor as r\nexcept ImportError:\n    from math import floor as r\n"
        "def evaluate(x): return float(r(x + 0.5))\n", "numpy import floor", "numpy import ceil"),
}


@pytest.mark.parametrize("what", MODULES)
def test_a_module_that_changes_is_refused_by_its_name(desk, what):
    text, was, now = MODULES[what]
    assert was in text
    desk.write("model_a.py", "def predict(x): return x\n")
    desk.write("model_b.py", "def predict(x): return 1000 * x\n")
    desk.write("helper.py", text)
    assert desk.script(TUNE).ends().out == "[1.0, 2.0]\n"
    desk.write("helper.py", "# a comment\n" + text)
    assert desk.script(TUNE).ends().out == "[1.0, 2.0]\n"
    desk.write("helper.py", text.replace(was, now))
    said = desk.script(TUNE).ends().out
    assert said.startswith("refused:") and "helper.py has changed" in said, said


@pytest.mark.parametrize("helper, other, was, now", [
    ("from constants import *\ndef evaluate(x): return x * SCALE\n", "constants.py", "SCALE = 1", "SCALE = 50"),
    ("def evaluate(x):\n    from pkg import h\n    return h.g(x)\n", "pkg/h.py", "1 * x", "5 * x"),
    ("from pkg.top import evaluate\n", "pkg/h.py", "1 * x", "5 * x"),
    ("import patch, base\ndef evaluate(x): return base.g(x)\n", "patch.py", "1 * x", "8 * x"),
])
def test_modules_that_modules_import_count(desk, helper, other, was, now):
    desk.write("constants.py", "SCALE = 1\n")
    desk.write("pkg/__init__.py", "")
    desk.write("pkg/h.py", "def g(x): return 1 * x\n")
    desk.write("pkg/top.py", "from . import h\ndef evaluate(x): return h.g(x)\n")
    desk.write("base.py", "def g(x): return x\n")
    desk.write("patch.py", "import base\nbase.g = lambda x: 1 * x\n")
    desk.write("helper.py", helper)
    assert desk.script(TUNE).ends().out == "[1.0, 2.0]\n"
    text = (desk.folder / other).read_text()
    desk.write(other, text + "# a comment\n")
    assert desk.script(TUNE).ends().out == "[1.0, 2.0]\n"
    assert was in text
    desk.write(other, text.replace(was, now))
    assert f"{other} has changed" in desk.script(TUNE).ends().out


def test_comments_do_not_count_where_an_object_or_an_import_in_a_function_brings_the_module(desk):
    desk.write("pkg/__init__.py", "")
    desk.write("pkg/h.py", "def g(x): return x\n")
    desk.write("mine.py", "class Model:\n    def go(self, x): return x\n")
    script = """
import gridmpi
from mine import Model
def fit(m, x):
    from pkg import h
    return m.go(h.g(x))
try:
    print(gridmpi.Nest("o").loop("m", {"a": Model()}).loop("x", [1, 2], reduce="max").run(fit, workers=1).runs["score"])
except gridmpi.Error as error:
    print("refused:", error)
"""
    assert desk.script(script).ends().out == "[1.0, 2.0]\n"
    for name in ("pkg/h.py", "mine.py"):
        desk.write(name, (desk.folder / name).read_text() + "# a comment\n")
        assert desk.script(script).ends().out == "[1.0, 2.0]\n"
    desk.write("mine.py", "class Model:\n    def go(self, x): return 3 * x\n")
    assert desk.script(script).ends().out == "[3.0, 6.0]\n", "the object is another"
    desk.write("pkg/h.py", "def g(x): return 5 * x\n")
    assert "pkg/h.py has changed" in desk.script(script).ends().out


SCRIPTS = {
    "functions of equal code have other closures": (
        "def times(k): return lambda x: k * x\nts = [times(1), times(2), times(1)]\n"
        "fit = lambda x: ts[0](x) + 10 * ts[1](x) + 100 * ts[2](x)\n", "times(2), times(1)", "times(2), times(2)"),
    "other defaults": (
        "fs = [lambda x, p=p: x * p for p in (1, 2, 1)]\nfit = lambda x: fs[0](x) + 10 * fs[1](x) + 100 * fs[2](x)\n",
        "(1, 2, 1)", "(1, 2, 2)"),
    "closures of closures": (
        "def times(k): return lambda x: k * x\ndef make(a, b, c): return lambda x: a(x) + 10 * b(x) + 100 * c(x)\n"
        "fit = make(times(1), times(2), times(1))\n", "times(2), times(1)", "times(2), times(2)"),
    "a name of Python's own is shadowed": ("fit = lambda x: max(x, 1.5)\n", "fit", "def max(a, b): return a * b\nfit"),
    "a missing name is there": (
        "def fit(x):\n    try: return x * SCALE\n    except NameError: return x\n", "def fit", "SCALE = 4\ndef fit"),
}


@pytest.mark.parametrize("what", SCRIPTS)
@pytest.mark.parametrize("how", ["crunch", "reduce", "final"])
def test_a_function_counts_with_all_that_it_uses(desk, what, how):
    source, was, now = SCRIPTS[what]
    run = {
        "crunch": 'n.loop("x", [1, 2], reduce="max").run(fit, workers=1).runs["score"][0]',
        "reduce": 'n.loop("x", [1, 2], reduce=lambda runs: fit(1)).run(lambda x: x, workers=1).summary["score"][0]',
        "final": 'n.loop("x", [1, 2], reduce="max").run(lambda x: x, workers=1, final=lambda summary: {"v": fit(1)}).summary["final.v"][0]',
    }[how]
    script = "import gridmpi\nn = gridmpi.Nest('a')\n" + source + f"""
try:
    print({run} == fit(1))
except gridmpi.Error as error:
    print("refused:", error)
"""
    assert was in source
    assert desk.script(script).ends().out == "True\n"
    said = desk.script(script.replace(was, now, 1)).ends().out
    if how == "crunch":
        assert said.startswith("refused:") and ("has changed" in said or "is new in version" in said), said
    else:
        assert said == "True\n", said


def of(value):
    return contents_of({"v": value}).digest()


def test_the_set_of_parts_says_what_is_new():
    def fit(x):
        return x * NOT_THERE  # noqa: F821

    was = contents_of({"fit": fit}).all()
    fit.__globals__["NOT_THERE"] = 1
    try:
        now = contents_of({"fit": fit}).all()
    finally:
        del fit.__globals__["NOT_THERE"]
    assert set(now) - set(was) == {"NOT_THERE"} and contents_of({"fit": fit}).all() == was
    whole = [part for part in was if "all that it uses" in part]
    assert len(whole) == 1 and was[whole[0]] != now[whole[0]] and was["fit"] == now["fit"]


class Node:
    def __init__(self, name):
        self.name, self.near = name, []


def grid(size, last):
    nodes = {(i, j): Node(f"{i} {j}") for i in range(size) for j in range(size)}
    nodes[size - 1, size - 1].name = last
    for (i, j), node in nodes.items():
        node.near = [nodes[at] for at in ((i, j + 1), (i + 1, j), (i, j - 1), (i - 1, j)) if at in nodes]
    return list(nodes.values())


def test_objects_that_refer_to_each_other_are_visited_once():
    assert of(grid(10, "a")) == of(grid(10, "a")) != of(grid(10, "b"))
    doubled = []
    for _ in range(200):  # by paths, these are 2^200
        doubled = [doubled, doubled]
    assert of(doubled)
    nested = frozenset()
    for _ in range(40):
        nested = frozenset([nested, (nested, 1)])
    assert of(nested)
    same, other = [1], [1]
    assert of([same, same]) != of([same, other]), "one object, or two"
    first, second = Node("a"), Node("b")
    first.near, second.near = {second}, {first}
    with pytest.raises(gridmpi.Error, match="holds itself, in a set"):
        of(first)


def test_frames_count_by_content():
    def dates():
        made = pandas.DataFrame({"a": [1.0, 2.0], "t": ["x", "y"]}, index=pandas.date_range("2020-01-01", periods=2))
        made["b"] = [3.0, 4.0]
        return made

    frame = dates()
    was = of(frame)
    frame.loc["2020-01"], frame.index.freqstr, frame.describe(), frame.to_numpy(), frame["t"].str.upper()
    assert of(frame) == of(frame.copy()) == of(dates()) == was
    plain = pandas.DataFrame({"x": [1, 2]})

    def categories(names, ordered=False):
        return pandas.Series(pandas.Categorical(["a", "b"], categories=names, ordered=ordered))

    def renamed(frame, axis):
        return frame.rename_axis("id", axis=axis)

    noted = plain.copy()
    noted.attrs["unit"] = "m"
    times = pandas.Series(pandas.to_datetime(["2020-01-01", "2020-01-02"]))
    pairs = pandas.MultiIndex.from_tuples([(1, 2), (3, 4)], names=["a", "b"])
    values = [
        plain, renamed(plain, 0), renamed(plain, 1), noted, plain.astype("Int64"), plain.astype(float), plain.iloc[::-1],
        plain["x"], plain.index, pandas.Index([0, 1]), pandas.Index([0.0, 1.0]), plain.set_axis([0.0, 1.0]),
        categories(["a", "b"]), categories(["b", "a"]), categories(["a", "b"], ordered=True), times,
        times.dt.tz_localize("UTC"), times.dt.tz_localize("Europe/Paris"), times.dt.to_period("D"), pairs,
        pairs.rename(["b", "a"]), pandas.Series(["a", None], dtype="string"), pandas.Series(["a", None], dtype=object),
    ]
    digests = [of(value) for value in values]
    assert len(set(digests)) == len(values)
    assert digests == [of(value.copy()) for value in values]


def test_arrays_count_by_content():
    made = numpy.arange(6.0).reshape(2, 3)
    assert of(made) == of(numpy.asfortranarray(made)) == of(numpy.repeat(made, 2, axis=1)[:, ::2])
    values = [made, made.T, made.reshape(3, 2), made.astype("f4"), made.astype(object), numpy.asmatrix(made), made + 1,
              made.astype("M8[s]"), made.astype("M8[ms]"), numpy.float64(1), numpy.float32(1), numpy.array(1.0), 1.0]
    assert len({of(value) for value in values}) == len(values)
    texts = numpy.array(["a", "a text that is too long to be kept in place"], dtype=numpy.dtypes.StringDType())
    assert of(texts) == of(texts.copy()) != of(texts[::-1])


def test_frames_of_polars_count_by_content():
    polars = pytest.importorskip("polars")
    made = polars.DataFrame({"a": [1, None, 3], "b": ["x", "y", "x"]})
    enum = [polars.Series("b", ["x", "y"], dtype=polars.Enum(names)) for names in (["x", "y"], ["y", "x"])]
    values = [made, made.rename({"a": "c"}), made.cast({"a": polars.Int8}), made.reverse(), made["a"], *enum]
    assert len({of(value) for value in values}) == len(values)
    assert of(made) == of(made.clone()) == of(polars.concat([made[:1], made[1:]]))


def test_constants_count_with_their_places():
    functions = [lambda: (1, (2,)), lambda: ((1,), 2), lambda: (1, 2), lambda: [1, (2,)], lambda: [(1,), 2]]
    assert len({of(function) for function in functions}) == len(functions)
    assert of(10**5000) != of(10**5000 + 1) and of([10**5000]) and of({10**5000, -1})
    values = [[1, [2]], [[1], 2], [[1, 2]], [1, 2], ["1", 2], [b"1", 2], (1, 2), {1: 2}, {1, 2}, {"1": 2}]
    assert len({of(value) for value in values}) == len(values)


def test_methods_static_or_not_and_metaclasses_count():
    def static(x): return x

    kinds = [type("K", (), {"f": wrap(static)}) for wrap in (staticmethod, classmethod, lambda f: f, property)]
    for kind in kinds:
        kind.__module__ = "__main__"
    assert len({of(kind) for kind in kinds}) == len(kinds)
