# Calls the user's function of [final], once for each row.
ALSO_GIVEN = ("summary", "seed", "folder")  # besides points; a loop of the same name goes first
final_data = {}  # by number; a call may change its data, so no other call gets it


def takes_final(function, given, folded):
    """The names that a final function takes; complains about parameters that nothing is for."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return list(given)
    called = getattr(function, "__name__", "the function")
    known = [*given, *(name for name in ALSO_GIVEN if name not in given)]
    takes, all_points = [], False
    for parameter in parameters:
        name = parameter.name
        if parameter.kind is parameter.VAR_KEYWORD:
            all_points = True
        elif parameter.kind is parameter.VAR_POSITIONAL:
            pass
        elif name in known and parameter.kind is not parameter.POSITIONAL_ONLY:
            takes.append(name)
        elif parameter.default is parameter.empty:
            what = "is nothing that a final call is given"
            if parameter.kind is parameter.POSITIONAL_ONLY:
                what = "takes no name, and all is given by name"
            elif name in folded:
                what = "is a loop whose runs are folded into one value, so it has no point in a row"
            else:
                near = difflib.get_close_matches(name, known, 1)
                what += f"; did you mean '{near[0]}'?" if near else ""
            raise Wrong(f"{called}: its parameter '{name}' {what} (given: {', '.join(known)})")
    return [*takes, *(name for name in given if all_points and name not in takes)]


def load_final(request):
    """Loads the data of a point, with the same seed as for crunch."""
    global load_seed
    final_data.clear()
    load_seed = zlib.crc32(json.dumps(request["point"]).encode())
    try:
        reseed(load_seed)
        final_data[request["data"]] = functions["load"](request["point"])
    finally:
        load_seed = None


def final_for(request):
    """What the final function gives for a row, as JSON."""
    global load_seed
    given = dict(request["points"])
    if "data" in request:
        given[setup["data"]] = final_data.pop(request["data"])
    for name in ALSO_GIVEN:
        given.setdefault(name, request[name])
    if not setup["pass_none"]:
        for name in request["absent"]:
            del given[name]
    os.environ["GRIDMPI_FOLDER"] = request["folder"]
    load_seed = request["seed"]  # also for a generator that the call itself imports
    try:
        reseed(load_seed)
        return to_json(functions["final"](**{name: given[name] for name in takes if name in given}))
    finally:
        load_seed = None
