"""The long-lived Python child of a gridmpi worker: calls the user's functions for it.

Requests and answers are frames (8 bytes of length, little-endian, then JSON) on the pipes that were
stdin and stdout at the start. They are moved out of the way first, so that nothing the user's code
prints, at any level, can get between the frames.
"""
import array
import collections
import difflib
import importlib.util
import inspect
import itertools
import json
import keyword
import math
import os
import select
import struct
import sys
import time
import traceback

requests = os.fdopen(os.dup(0), "rb", buffering=0)
answers = os.fdopen(os.dup(1), "wb")
nothing = os.open(os.devnull, os.O_RDWR)
os.dup2(nothing, 0)
os.dup2(2, 1)


def let_go():
    """A forked process must not hold the pipes: the worker would not notice this one's death."""
    for pipe in (requests, answers):
        os.dup2(nothing, pipe.fileno())


os.register_at_fork(after_in_child=let_go)


class Wrong(Exception):
    """Said in full already: no traceback adds to it."""


def read(size):
    parts = []
    while size > 0:
        part = requests.read(size)
        if not part:
            sys.exit(0)  # the worker is gone
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def receive():
    return json.loads(read(struct.unpack("<Q", read(8))[0]))


def send_bytes(body):
    answers.write(struct.pack("<Q", len(body)) + body)
    answers.flush()


def send(answer):
    send_bytes(answer.encode())


def plain(value):
    """What NumPy and pandas values are in plain Python."""
    for name in ("tolist", "item", "to_dict"):
        if hasattr(value, name):
            return getattr(value, name)()
    raise Wrong(f"a {type(value).__name__} is neither a number nor a record of numbers and texts")


def marked(value):
    """JSON has no NaN and no infinities: they travel in a record of their own."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"__gridmpi_float__": repr(float(value))}
    if isinstance(value, dict):
        return {key: marked(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [marked(inner) for inner in value]
    return value if isinstance(value, (str, int, float, type(None))) else marked(plain(value))


def to_json(value):
    try:
        return json.dumps({"value": value}, allow_nan=False, default=plain)
    except TypeError as error:
        raise Wrong(f"the result cannot be kept: {error}") from None
    except ValueError:
        return json.dumps({"value": marked(value)})


def unmarked(record):
    return float(record["__gridmpi_float__"]) if "__gridmpi_float__" in record else record


modules = {}


def find(path, name):
    """A function of a file, which is imported once."""
    if path not in modules:
        sys.path.insert(0, os.path.dirname(path))
        stem = os.path.splitext(os.path.basename(path))[0]
        spec = importlib.util.spec_from_file_location(stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[stem] = module
        spec.loader.exec_module(module)
        modules[path] = module
    module = modules[path]
    if callable(getattr(module, name, None)):
        return getattr(module, name)
    functions = [key for key, value in vars(module).items() if inspect.isfunction(value)]
    near = difflib.get_close_matches(name, functions, 1)
    hint = f"; did you mean '{near[0]}'?" if near else f" (it has: {', '.join(functions) or 'none'})"
    raise Wrong(f"{os.path.basename(path)} has no function '{name}'{hint}")


def takes_seed(function, arguments):
    """Whether crunch wants the seed; complains if it cannot be called with the loops' points."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return False
    wants = "seed" in signature.parameters and "seed" not in arguments
    try:
        signature.bind(**dict.fromkeys(arguments), **({"seed": 0} if wants else {}))
    except TypeError as error:
        names = ", ".join(arguments)
        raise Wrong(f"{function.__name__}{signature} is called with {names}: {error}") from None
    return wants


def failure():
    kind, error, trace = sys.exc_info()
    if kind is Wrong:
        return str(error)
    while trace.tb_next and trace.tb_frame.f_code.co_filename == "<string>":
        trace = trace.tb_next  # not the user's
    return "".join(traceback.format_exception(kind, error, trace))[-16384:].strip()


setup = receive()
try:
    functions = {key: find(path, name) for key, (path, name) in setup["functions"].items()}
    seeded = "crunch" in functions and takes_seed(functions["crunch"], setup["arguments"])
    send(json.dumps({"value": seeded}))
except BaseException:
    send(json.dumps({"error": failure()}))
    sys.exit(0)

loaded = collections.OrderedDict()


def data(point):
    """The data of a point, loaded once; the least recently used goes when there are too many."""
    key = json.dumps(point)
    if key not in loaded:
        while len(loaded) >= setup["keep"]:
            loaded.popitem(last=False)
        loaded[key] = functions["load"](point)
    loaded.move_to_end(key)
    return loaded[key]


def caller(crunch, names):
    """Crunch, to be called with a point and a seed: made for its arguments, since a call of a small
    function costs less than putting them into a dict."""
    def argument(name, value):
        plain = name.isidentifier() and not keyword.iskeyword(name)
        return f"{name}={value}" if plain else f"**{{{name!r}: {value}}}"

    values = {name: f"point[{i}]" for i, name in enumerate(names)}
    if "load" in functions:
        values[setup["data"]] = f"data({values[setup['data']]})"
    if seeded:
        values["seed"] = "seed"
    arguments = ", ".join(argument(name, value) for name, value in values.items())
    return eval(f"lambda point, seed: crunch({arguments})", {"crunch": crunch, "data": data})


class Results:
    """What came of the tasks of a request and was not sent: numbers as long as there is nothing else."""

    def __init__(self, batch):
        self.batch = batch
        self.numbers, self.seconds, self.others = array.array("d"), array.array("d"), []

    def add(self, value, seconds):
        try:
            answer = to_json(value)
        except Wrong:
            answer = json.dumps({"error": failure()})
        self.add_other(answer, seconds)

    def add_other(self, answer, seconds):
        if not self.others:
            for number, took in zip(self.numbers, self.seconds):
                self.others.append(f'{to_json(number)[:-1]}, "seconds": {took!r}}}')
        self.others.append(f'{answer[:-1]}, "seconds": {seconds!r}}}')

    def send(self):
        if self.others:
            send(f'{{"batch": {self.batch}, "answers": [{", ".join(self.others)}]}}')
        elif self.numbers:
            if sys.byteorder == "big":
                self.numbers.byteswap()
                self.seconds.byteswap()
            numbers = self.numbers.tobytes() + self.seconds.tobytes()
            send_bytes(b"N" + struct.pack("<Q", self.batch) + numbers)
        del self.numbers[:], self.seconds[:], self.others[:]


def crunch_all(call, request):
    """Calls crunch at each point; leaves the rest when another request comes."""
    results = Results(request["batch"])
    others, keep, keep_seconds = results.others, results.numbers.append, results.seconds.append
    clock = time.perf_counter
    begun = looked = clock()
    for point, seed in zip(request["points"], request["seeds"] or itertools.repeat(None)):
        try:
            value = call(point, seed)
        except BaseException:
            answer = json.dumps({"error": failure()})
            now = clock()
            results.add_other(answer, now - begun)
        else:
            now = clock()
            if type(value) is float and not others:
                keep(value)
                keep_seconds(now - begun)
            else:
                results.add(value, now - begun)
        begun = now
        if now - looked > 0.05:
            results.send()
            if select.select([requests], [], [], 0)[0]:
                return
            looked = now
    results.send()


call = caller(functions["crunch"], setup["arguments"]) if "crunch" in functions else None
while True:
    request = receive()
    if "points" in request:
        crunch_all(call, request)
        continue
    try:
        runs = json.loads(json.dumps(request["runs"]), object_hook=unmarked)
        answer = to_json(functions[request["function"]](runs))
    except BaseException:
        answer = json.dumps({"error": failure()})
    send(answer)
