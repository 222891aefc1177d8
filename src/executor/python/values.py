# Values as JSON.
import math
import re
import traceback

LEVELS = 100
LONG_NUMBER = re.compile(r"\d{19}")


class Wrong(Exception):
    """Said in full already: no traceback adds to it."""


def plain(value):
    """What NumPy and pandas values are in plain Python."""
    for name in ("tolist", "item", "to_dict"):
        if hasattr(value, name):
            if name == "to_dict":
                for axis in getattr(value, "axes", ()):
                    if not axis.is_unique:
                        again = list(axis[axis.duplicated()])[0]
                        raise Wrong(f"the result cannot be kept: a {type(value).__name__} has {again!r} more than once")
            inner = getattr(value, name)()
            if type(inner) is not type(value):  # as a longdouble's is
                return inner
    raise Wrong(f"a {type(value).__name__} is neither a number nor a record of numbers and texts")


encode = json.JSONEncoder(ensure_ascii=False, default=plain, separators=(",", ":")).encode


def check(value, level=0):
    """Complains about what JSON can say and its readers cannot hold."""
    if level > LEVELS:
        raise Wrong(f"the result cannot be kept: it has more than {LEVELS} levels of lists and records")
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            check(inner, level + 1)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise Wrong(f"the result cannot be kept: {value} does not fit into 64 bits; make it a float or a text")


def check_names(value, level=0):
    """Complains about names of a record that are no texts: JSON would turn them into some, and two of them into one."""
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise Wrong(f"the result cannot be kept: a record's name is {name!r}, which is no text")
            if isinstance(value[name], (dict, list, tuple)) and level < LEVELS:
                check_names(value[name], level + 1)
    elif isinstance(value, (list, tuple)) and not NUMBERS.issuperset(map(type, value)) and level < LEVELS:
        for inner in value:
            check_names(inner, level + 1)


PIECE = 1 << 18  # about how long pieces of a large value are, in characters; longer lists may be large
FEW = 1000
NUMBERS = frozenset((int, float, bool, type(None)))


def is_large(value, level=0):
    """Whether a value may take much memory as JSON; what is deep inside it is not looked at."""
    if isinstance(value, str):
        return len(value) > PIECE
    if isinstance(value, (list, tuple, dict)):
        inside = value.values() if isinstance(value, dict) else value
        if len(value) > FEW or NUMBERS.issuperset(map(type, inside)):
            return len(value) > FEW  # lists of numbers are common, and this is much faster than to look at each
        return level < 4 and any(is_large(inner, level + 1) for inner in inside)
    return not isinstance(value, (int, float, type(None)))  # an array, say


def pieces(value, level):
    """The JSON of a large value in pieces: as a whole, it would be there several times."""
    if level > LEVELS:
        raise Wrong(f"the result cannot be kept: it has more than {LEVELS} levels of lists and records")
    if type(value) is str and len(value) > PIECE:
        yield '"'
        for at in range(0, len(value), PIECE):
            yield encode(value[at : at + PIECE])[1:-1]
        yield '"'
    elif type(value) is dict and value and all(type(name) is str for name in value):
        before = "{"
        for name, inner in value.items():
            yield before + encode(name) + ":"
            before = ","
            yield from pieces(inner, level + 1)
        yield "}"
    elif type(value) in (list, tuple) and value:
        before, at, count = "[", 0, 1
        while at < len(value):
            yield before
            before = ","
            if count == 1:
                length = 0
                for piece in pieces(value[at], level + 1):
                    length += len(piece)
                    yield piece
            else:
                piece = checked(value[at : at + count], level)[1:-1]
                length = len(piece)
                yield piece
            at += count
            count = count * 2 if length < PIECE // 2 else max(1, count // 2) if length > PIECE * 2 else count
        yield "]"
    elif isinstance(value, (str, int, float, dict, list, tuple, type(None))):
        yield checked(value, level)
    else:
        yield from pieces(plain(value), level)


def checked(value, level):
    """The JSON of a value that is at this level of a result."""
    text = encode(value)
    if LONG_NUMBER.search(text) or text.count("[") + text.count("{") + level > LEVELS:
        check(json.loads(text), level)
    return text


def to_json(value):
    """The JSON of a value: bytes, or a list of them if it is large."""
    try:
        check_names(value)
        if is_large(value):
            body = [piece.encode() for piece in pieces(value, 0)]
            return body if sum(map(len, body)) > PIECE else joined(body)
        return checked(value, 0).encode()
    except Wrong:
        raise
    except UnicodeEncodeError as error:
        odd = error.object[error.start].encode("ascii", "backslashreplace").decode()
        raise Wrong(f"the result cannot be kept: a text in it has {odd}, half of a character") from None
    except RecursionError:
        raise Wrong("the result cannot be kept: it contains itself, or has too many levels") from None
    except Exception as error:
        if isinstance(error, ValueError) and "ircular" in str(error):
            error = "it contains itself, or has too many levels"
        raise Wrong(f"the result cannot be kept: {error}") from None


def joined(body):
    return b"".join(body) if isinstance(body, list) else body


def failure():
    """The exception at hand, as a JSON string."""
    kind, error, trace = sys.exc_info()
    if kind is Wrong:
        text = str(error)
    else:
        while trace.tb_next and trace.tb_frame.f_code.co_filename == "<string>":
            trace = trace.tb_next  # not the user's
        try:
            text = "".join(traceback.format_exception(kind, error, trace))
            if isinstance(error, SystemExit):
                text = text.rstrip() + " (it called sys.exit; to fail, raise an exception that says why)"
        except Exception:  # an error that cannot say what it is
            text = f"{kind.__name__}: raised in {trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"
        text = text[-16384:].strip()
    if compares and ("read-only" in text or "WRITEABLE" in text):
        text += f"\n({READ_ONLY})"
    text = text.encode("utf-8", "backslashreplace").decode()
    return encode(text).encode()


