# Values as JSON.
import math
import re
import traceback

LEVELS = 100
LONG_NUMBER = re.compile(rb"\d{19}")


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


def marked(value):
    """JSON has no NaN and no infinities: they travel in a record of their own."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"__gridmpi_float__": repr(float(value))}
    if isinstance(value, dict):
        return {key: marked(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [marked(inner) for inner in value]
    return value if isinstance(value, (str, int, float, type(None))) else marked(plain(value))


def unmarked(record):
    return float(record["__gridmpi_float__"]) if record.keys() == {"__gridmpi_float__"} else record


encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=plain).encode


def check(value, level=0):
    """Complains about what JSON can say and its readers cannot hold."""
    if level > LEVELS:
        raise Wrong(f"the result cannot be kept: it has more than {LEVELS} levels of lists and records")
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            check(inner, level + 1)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise Wrong(f"the result cannot be kept: {value} does not fit into 64 bits; make it a float or a text")


def to_json(value):
    try:
        try:
            text = encode({"value": value})
        except ValueError:
            text = encode({"value": marked(value)})
        body = text.encode()
        if LONG_NUMBER.search(body) or body.count(b"[") + body.count(b"{") > LEVELS:
            check(json.loads(text)["value"])
        return body
    except Wrong:
        raise
    except UnicodeEncodeError as error:
        odd = error.object[error.start].encode("ascii", "backslashreplace").decode()
        raise Wrong(f"the result cannot be kept: a text in it has {odd}, half of a character") from None
    except RecursionError:
        raise Wrong("the result cannot be kept: it contains itself, or has too many levels") from None
    except Exception as error:
        raise Wrong(f"the result cannot be kept: {error}") from None


def failure():
    """The exception at hand as JSON."""
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
    return encode({"error": text}).encode()


