# Calls the user's functions that give the points of a loop.
LARGEST = 256 << 20  # of the points of one call, in bytes


def takes_points(function, around):
    """The loops around whose points a function takes, by name; complains about parameters that nothing is for."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return []
    called = getattr(function, "__name__", "the function")
    takes, all_of_them = [], False
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            all_of_them = True
        elif parameter.kind is parameter.VAR_POSITIONAL:
            pass
        elif parameter.name in around and parameter.kind is not parameter.POSITIONAL_ONLY:
            takes.append(parameter.name)
        elif parameter.default is parameter.empty:
            loops = ", ".join(around) or "none"
            what = "takes no name, and points are given by name"
            if parameter.kind is not parameter.POSITIONAL_ONLY:
                near = difflib.get_close_matches(parameter.name, around, 1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                what = f"is no loop around this one{hint}"
            raise Wrong(f"{called}: its parameter '{parameter.name}' {what} (loops: {loops}), and it has no default")
    return list(around) if all_of_them else takes


def points_in(found):
    """An iterator over the points that a function has returned."""
    kind = type(found).__name__
    if isinstance(found, (str, bytes, bytearray)):
        raise Wrong(f"it returns the {'text' if isinstance(found, str) else kind} {found[:80]!r}, not a list of points")
    if isinstance(found, dict):
        raise Wrong("it returns a dict, not a list of points: for one point that is a record, return [record]")
    if hasattr(found, "to_dict") and hasattr(found, "columns"):
        raise Wrong(f"it returns a {kind}, not a list of points: return frame.to_dict('records') for a point per row")
    if isinstance(found, (set, frozenset)):
        raise Wrong(f"it returns a {kind}, which has no order: return sorted(...)")
    try:
        return iter(found)
    except TypeError:
        hint = ": is a return missing?" if found is None else ""
        what = "nothing" if found is None else f"something of type {kind}"
        raise Wrong(f"it returns {what}, not a list of points{hint}") from None


def points_for(request):
    """The points for those of the loops around, as JSON."""
    global load_seed
    around, most = request["points"], request["most"]
    seed = zlib.crc32(json.dumps(around).encode())
    texts, size = [], 0
    load_seed = seed  # also for a generator that the call itself imports
    try:
        reseed(seed)
        for index, point in enumerate(points_in(functions["points"](**around))):
            if index == most:
                raise Wrong(f"it gives more than {most} points: does it end? (most = N in the loop allows more)")
            try:
                text = joined(to_json(point))
            except Wrong as error:
                why = str(error).replace("the result cannot be kept: ", "")
                why += " (str or float may make one of it)" if "is neither" in why else ""
                raise Wrong(f"the point at index {index} cannot be kept: {why}") from None
            size += len(text)
            if size > LARGEST:
                raise Wrong(f"it gives points of more than {LARGEST >> 20} MiB, at index {index}")
            texts.append(text)
    finally:
        load_seed = None
    return b"[" + b", ".join(texts) + b"]"


def short_failure():
    """The exception at hand as a JSON string: its last line, and where it was raised. All of it goes to stderr."""
    kind, error, trace = sys.exc_info()
    if kind is Wrong:
        return failure()
    try:
        traceback.print_exc()
        text = "".join(traceback.format_exception_only(kind, error)).strip()
    except Exception:  # an error that cannot say what it is
        text = kind.__name__
    place, theirs = "", ""
    for frame, line in traceback.walk_tb(trace):
        file = frame.f_code.co_filename
        if file != "<string>":
            path = os.path.join(folder, file)
            name = os.path.relpath(path, folder) if path.startswith(os.path.join(folder, "")) else path
            theirs = f" ({name}:{line})"
            place = theirs if is_own(path) else place
    text = text[-2000:] + (place or theirs)
    return encode(text.encode("utf-8", "backslashreplace").decode()).encode()


