"""The long-lived Python child of a gridmpi worker: calls the user's functions for it.

Requests and answers are frames (8 bytes of length, little-endian, then JSON) on the pipes that were
stdin and stdout at the start. They are moved out of the way first, so that nothing the user's code
prints, at any level, can get between the frames.
"""
import collections
import difflib
import importlib.util
import inspect
import json
import math
import os
import struct
import sys
import traceback

requests = os.fdopen(os.dup(0), "rb")
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


def receive():
    size = requests.read(8)
    if len(size) < 8:
        sys.exit(0)  # the worker is gone
    return json.loads(requests.read(struct.unpack("<Q", size)[0]))


def send(answer):
    body = answer.encode()
    answers.write(struct.pack("<Q", len(body)) + body)
    answers.flush()


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
    return "".join(traceback.format_exception(kind, error, trace.tb_next or trace))[-16384:].strip()


setup = receive()
try:
    functions = {key: find(path, name) for key, (path, name) in setup["functions"].items()}
    seeded = "crunch" in functions and takes_seed(functions["crunch"], setup["arguments"])
    send("{}")
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


while True:
    request = receive()
    try:
        if "runs" in request:
            runs = json.loads(json.dumps(request["runs"]), object_hook=unmarked)
            answer = to_json(functions[request["function"]](runs))
        else:
            arguments = request["point"]
            if "load" in functions:
                arguments[setup["data"]] = data(arguments[setup["data"]])
            if seeded:
                arguments["seed"] = request["seed"]
            answer = to_json(functions["crunch"](**arguments))
    except BaseException:
        answer = json.dumps({"error": failure()})
    send(answer)
