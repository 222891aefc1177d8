# Calls the user's functions.
import collections
import difflib
import importlib.util
import inspect
import itertools
import keyword
import time

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


setup = receive()
try:
    functions = {key: find(path, name) for key, (path, name) in setup["functions"].items()}
    seeded = "crunch" in functions and takes_seed(functions["crunch"], setup["arguments"])
    send(to_json(seeded))
except BaseException:
    send(failure())
    sys.exit(0)

loaded = collections.OrderedDict()


def data(point):
    """The data of a point, loaded once; the least recently used goes when there are too many."""
    key = json.dumps(point)
    if key not in loaded:
        while len(loaded) >= setup["keep"]:
            loaded.popitem(last=False)
        header[PHASE] += 1
        try:
            loaded[key] = functions["load"](point)
        finally:
            header[PHASE] += 1
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


def crunch_all(call, request):
    """Calls crunch at each point, until the worker wants no more."""
    header[ACCEPTED] = request["batch"]
    kept, frame, task = Texts(), b"", 0
    clock = time.perf_counter
    begun = clock()
    for point, seed in zip(request["points"], request["seeds"] or itertools.repeat(None)):
        try:
            value = call(point, seed)
            now = clock()
            if type(value) is float:
                numbers[task] = value
                durations[task] = now - begun
            else:
                frame = kept.add(task, to_json(value), now - begun)
        except BaseException:
            now = clock()
            frame = kept.add(task, failure(), now - begun)
        task += 1
        begun = now
        # In this order: the worker takes it that the task behind those that are done may have begun.
        if header[0] or frame:
            break
    send(frame)


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
        answer = failure()
    send(answer)
