# Calls the user's functions.
import difflib
import inspect
import keyword

modules = {}


def imported_from(path, stem):
    """The module of a file, if another one of the user's has imported it: one copy has one state."""
    module = sys.modules.get(stem)
    file = getattr(module, "__file__", None)
    try:
        return module if file and os.path.samefile(file, path) else None
    except OSError:
        return None


def find(path, name):
    """A function of a file, which is imported once."""
    if path not in modules:
        sys.path.insert(0, os.path.dirname(path))
        stem = os.path.splitext(os.path.basename(path))[0]
        module = imported_from(path, stem)
        if module is None:
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


def takes_also(function, arguments):
    """What crunch wants besides the loops' points: the seed, the folder of its own; complains if it cannot be called
    with these."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return []
    given = ["seed", "workdir"] if setup.get("workdir") else ["seed"]
    wants = [name for name in given if name in signature.parameters and name not in arguments]

    def bind(arguments, when):
        try:
            signature.bind(**dict.fromkeys([*arguments, *wants]))
        except TypeError as error:
            names = ", ".join(arguments)
            called = f"{function.__name__}{signature} is called with {names}{when}"
            raise Wrong(f"{called}: {error}") from None

    bind(arguments, "")
    if not setup["pass_none"]:
        always = [name for name in arguments if name not in setup["absent"]]
        bind(always, " alone where no other loop applies (pass_none = false)")
    return wants


def caller(crunch, names):
    """Crunch, to be called with a point and a seed. Where loops may not apply, a point ends with the list of
    those that do not."""
    if not setup["absent"]:
        return caller_without(crunch, names, ())
    callers = {}

    def call(point, seed):
        absent = tuple(point[-1])
        if absent not in callers:
            callers[absent] = caller_without(crunch, names, absent)
        return callers[absent](point, seed)

    return call


def caller_without(crunch, names, absent):
    """Made for its arguments, since a call of a small function costs less than putting them into a dict."""
    def argument(name, value):
        plain = name.isidentifier() and not keyword.iskeyword(name)
        return f"{name}={value}" if plain else f"**{{{name!r}: {value}}}"

    values = {name: f"point[{i}]" for i, name in enumerate(names)}
    for i in absent:
        values[names[i]] = "None"
        if not setup["pass_none"]:
            del values[names[i]]
    if "load" in functions and names.index(setup["data"]) not in absent:
        values[setup["data"]] = f"data({values[setup['data']]})"
    if seeded:
        values["seed"] = "seed"
    if "workdir" in also:
        values["workdir"] = "workdir()"
    arguments = ", ".join(argument(name, value) for name, value in values.items())
    called = f"reseed(seed) or crunch({arguments})" if seeders else f"crunch({arguments})"
    return eval(f"lambda point, seed: {called}", {"crunch": crunch, "data": data, "reseed": reseed, "workdir": workdir})


SLICE = 0.05  # how long calls go on without a look at what they left behind, in seconds


class Calls:
    """The calls of a batch."""

    def __init__(self, request):
        self.request, self.texts = request, Texts()
        self.rest = None  # the last result, if it does not fit into the file
        self.task = self.first = 0  # the next one, and the first one that is not compared yet
        self.first_text = 0

    def all(self):
        """Calls crunch at each point, until the worker wants no more."""
        count = len(self.request["points"])
        begun = clock()
        while self.task < count and not self.rest:
            ended = self.some(self.request, begun + SLICE)
            if flags[TOUCHED] or ended > begun + SLICE:
                put_back()
            if flags[0] or self.rest or self.task == count or ended > begun + SLICE:
                self.compare(ended - begun)
                begun = clock()
            if flags[0]:
                break
        return self.rest or ("value", b"")

    def pairs(self, request):
        seeds = seeds_of(request)[self.task :] if seeded or seeders else itertools.repeat(None)
        return zip(request["points"][self.task :], seeds)

    def some(self, request, until):
        """Calls crunch at points, at one at least, until there is something else to do."""
        global call
        if flags[IMPORTED]:
            flags[IMPORTED] = 0
            call = caller(functions["crunch"], setup["loops"])
        function, task, texts, rest, first = call, self.task, self.texts, None, self.task
        check = output.check if output.watches else None
        if "workdir" in request:
            enter(request["workdir"])
        since = begun = clock()
        for point, seed in self.pairs(request):
            try:
                value = function(point, seed)
                now = clock()
                if check:
                    check(task)
                if type(value) is float:
                    numbers[task] = value
                    durations[task] = now - begun
                else:
                    rest = texts.add(task, b"value", to_json(value), now - begun)
            except BaseException:
                now = clock()
                body = failure()
                output.check(task)
                rest = texts.add(task, b"message", body, now - begun)
            task += 1
            begun = now
            # In this order: the worker takes it that the task behind those that are done may have begun.
            if header[0] or rest or now > until:
                break
        self.task, self.rest = task, rest
        output.ended(task - 1, task - first, begun - since)
        return begun

    def compare(self, took):
        """Makes the results since the last time final, if the calls have not changed what was loaded."""
        global worked
        worked += took
        if compares:
            found = changed()
            if found:
                self.one_by_one(found)
            header[SURE] = self.first = self.task
            self.first_text = self.texts.end

    def one_by_one(self, found):
        """Makes the calls since the last time again, with data loaded anew: each alone, to find which of
        them changes it. The others' results may stem from changed data."""
        end, self.task, self.texts.end, self.rest = self.task, self.first, self.first_text, None
        for task in range(self.first, end):
            durations[task] = math.nan
        points = json.loads(line)["points"]  # the calls may have changed them, too
        request = {**self.request, "points": points}
        guilty, output.first, output.watches = False, self.first, True
        while self.task < end and not self.rest:
            task, text, begun = self.task, self.texts.end, clock()
            self.some(request, 0.0)
            if changed(always=True):
                guilty = True
                durations[task], self.texts.end = math.nan, text
                self.rest = self.texts.add(task, b"message", encode(IN_PLACE).encode(), clock() - begun)
            put_back()
            header[SURE] = self.task
        if not guilty and any(entry.skipped for entry in found):
            warn(LATE)


def called(request):
    """What a function other than crunch gives, as JSON."""
    if request["type"] == "load":
        return load_final(request)
    if "reduce" in request:
        reseed(request["seed"])
        return to_json(functions[request["reduce"]](request["runs"]))
    return points_for(request) if "points" in functions else final_for(request)


try:
    if setup["reseed"]:
        watch_generators()
    let_user_import()
    notes_states = setup["late_imports"]
    functions = {key: find(path, name) for key, (path, name) in setup["functions"].items()}
    also = takes_also(functions["crunch"], setup["loops"]) if "crunch" in functions else []
    seeded = "seed" in also
    if setup.get("workdir"):
        import_in_job_folder()
    compares = "load" in functions and not setup["data_copy"]
    call = caller(functions["crunch"], setup["loops"]) if "crunch" in functions else None
    remember()
    takes = takes_points(functions["points"], setup["loops"]) if "points" in functions else []
    if "final" in functions:
        takes = takes_final(functions["final"], setup["loops"], setup["folded"])
    about = {"seeded": seeded or bool(seeders), "takes": takes, **imported()}
    hello = joined(to_json({"type": "hello", "version": 1, "imports": True, **about}))
except BaseException:
    send(b'{"type":"error","message":', failure(), b"}")
    sys.exit(0)

send(hello)
while True:
    line = receive_line()
    request = json.loads(line)
    if request["type"] == "bye":
        break
    if request["type"] == "batch":
        header[ACCEPTED] = request["id"]
        output.begin(request["id"])
        if compares:
            header[SURE] = 0
        at = request
        rest = Calls(request).all()
        at = None
        tell_imports()
        answer(request, *rest)
        rest = None
    elif request["type"] in ("task", "load"):
        try:
            name, body = "value", called(request)
        except BaseException:
            name, body = "message", short_failure() if "points" in functions else failure()
        put_back()
        tell_imports()
        answer(request, name, body)
        body = None
