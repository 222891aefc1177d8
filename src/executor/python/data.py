# Loaded data is shared by the tasks of this process, so no call may change it. NumPy arrays and pandas frames
# are made read-only; the rest is compared by a digest.
import copy
import collections
import pickle
import time
import types
import zlib

clock = time.perf_counter
FREE, SHARE = 0.05, 0.01  # comparisons may take so many seconds, and this share of the time of calls
IN_PLACE = (
    "crunch changes its loaded data in place, so that each later task would get other data: copy what it changes, "
    "or set data_copy = true in [crunch], which gives each call a copy of its own"
)
READ_ONLY = (
    "loaded arrays and frames are read-only, because tasks share them: copy what you change, or set data_copy = true "
    "in [crunch], which gives each call a copy of its own"
)
LATE = (
    "crunch has changed its loaded data in place, in a call that was not compared: runs before this one may have got "
    "changed data; set data_copy = true in [crunch], and start again with --fresh"
)
compares = False  # whether there is data to compare
loaded = collections.OrderedDict()
named = set()  # data that cannot be compared, or not often enough
used = {}  # what the calls used that are not compared yet
worked = spent = 0.0  # by calls, and by comparisons, in seconds


def warn(text):
    say(type="log", level="warn", message=text)


class Loaded:
    def __init__(self, key, value):
        self.key, self.value = key, value
        self.held = {}  # by address, which is in the digest: no other object may get it
        self.digest, self.skipped, self.cost = None, False, 0.0
        self.pickled = None

    def copied(self):
        """A copy of its own for a call. The deep copy of a frame would share the objects in its cells."""
        if self.pickled is None:
            try:
                pickled = pickle.dumps(self.value, 5)
                copied = pickle.loads(pickled)
                self.pickled, self.value = pickled, None
                return copied
            except Exception:
                self.pickled = b""
        return pickle.loads(self.pickled) if self.pickled else copy.deepcopy(self.value)

    def watch(self):
        """Makes read-only what can be, and takes the digest of the rest."""
        try:
            self.digest = digest(self.value, self.held)
            begun = clock()
            if digest(self.value, self.held) != self.digest:
                raise ValueError("it has no fixed form")
            self.cost = clock() - begun
        except Exception as error:
            self.digest = None
            freeze_inside(self.value, self.held, set())
            self.name(f"cannot be compared with what it was ({type(error).__name__}: {error})")

    def name(self, why):
        if self.key not in named:
            named.add(self.key)
            warn(
                f"the loaded data of {self.key[:80]} {why}: it is not noticed if crunch changes it in place "
                "(data_copy = true in [crunch] gives each call a copy of its own)"
            )

    def has_changed(self, always):
        global spent
        if self.digest is None:
            return False
        if not always and spent + self.cost > FREE + SHARE * worked:
            self.skipped = True
            self.name("is too large to be compared after each call")
            return False
        begun = clock()
        try:
            same = digest(self.value, self.held) == self.digest
        except Exception:
            same = False  # it could be pickled before
        self.cost = clock() - begun
        spent += self.cost
        return not same


PLAIN = {str, bytes, int, float, complex, bool, type(None)}


def is_plain(kind, numpy):
    """Whether no object of this type can be changed."""
    return kind in PLAIN or issubclass(kind, numpy.generic) or kind.__module__ in ("datetime", "decimal", "fractions") \
        or kind.__module__.startswith("pandas._libs.")


def is_fixed(array, held, numpy):
    """Whether nothing in a read-only array can be changed."""
    if not array.dtype.hasobject:
        return True
    key = ("fixed", id(array))
    if key not in held:
        is_list = array.dtype.kind == "O"
        held[key] = is_list and all(is_plain(kind, numpy) for kind in set(map(type, array.flat)))
    return held[key]


def freeze(value, held):
    """What stands for an array or a frame in the digest, once it is read-only; None for anything else."""
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy and isinstance(value, numpy.ndarray):
        mask = getattr(value, "_mask", None)
        if id(value) not in held:
            held[id(value)] = value
            value.setflags(write=False)
            if isinstance(mask, numpy.ndarray):
                held[id(mask)] = mask
                mask.setflags(write=False)
        if not is_fixed(value, held, numpy):
            return None
        own = None if type(value).__module__.startswith("numpy") else getattr(value, "__dict__", None)
        return id(value), value.flags.writeable, value.shape, value.dtype.str, id(mask), own
    if pandas and isinstance(value, (pandas.DataFrame, pandas.Series)):
        try:
            parts = [block.values for block in value._mgr.blocks]
            inner = ("_pa_array", "_ndarray", "_data", "_mask")
            parts += [getattr(part, name) for part in parts for name in inner if hasattr(part, name)]
            arrays = [part for part in parts if isinstance(part, numpy.ndarray)]
            names = [list(axis.names) for axis in value._mgr.axes] + [value.attrs, getattr(value, "_name", None)]
            parts += value._mgr.axes
        except AttributeError:
            return None  # another pandas
        if id(value) not in held:
            held.update((id(part), part) for part in [value, *parts])
            for array in arrays:
                array.setflags(write=False)
        fixed = tuple(map(id, parts)) + tuple(array.flags.writeable for array in arrays)
        # An array of objects is in the digest with its content.
        return fixed + tuple(array for array in arrays if not is_fixed(array, held, numpy)) + (names,)
    return None


def digest(value, held):
    hashlib = library_module("hashlib")

    class Pickler(pickle.Pickler):
        def reducer_override(self, inner):
            frozen = freeze(inner, held)
            return NotImplemented if frozen is None else (tuple, (frozen,))

    sum_ = hashlib.blake2b(digest_size=16)
    Pickler(types.SimpleNamespace(write=sum_.update), 5).dump(value)
    return sum_.digest()


def freeze_inside(value, held, seen):
    """Makes the arrays in records, lists and objects read-only."""
    if id(value) in seen or len(seen) > 100_000 or freeze(value, held) is not None:
        return
    seen.add(id(value))
    inner = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    for part in [*inner.values(), *(value if isinstance(value, (list, tuple)) else ())]:
        freeze_inside(part, held, seen)


def load(key, point):
    """Loads the data of a point. It may draw from the generators too, and must not depend on the task."""
    global load_seed
    header[PHASE] += 1
    load_seed = zlib.crc32(key.encode())
    here = leave_workdir()
    try:
        reseed(load_seed)
        entry = Loaded(key, functions["load"](point))
        if compares:
            entry.watch()
    finally:
        if flags[TOUCHED]:
            put_back()  # only the first call with this data would find it so
        if here is not None:
            enter(here)
        load_seed = None
        header[PHASE] += 1
    if seeders:
        reseed(current_seed())
    return entry


def drop_oldest():
    """Makes room: not even a comparison that is still due may hold on to the data."""
    key, entry = loaded.popitem(last=False)
    if used.get(key) is entry and not entry.has_changed(always=False):
        del used[key]


def data(point):
    """The data of a point, loaded once; the least recently used goes when there are too many."""
    key = json.dumps(point)
    if key not in loaded:
        while len(loaded) >= setup["keep"]:
            drop_oldest()
        loaded[key] = load(key, point)
    loaded.move_to_end(key)
    if setup["data_copy"]:
        return loaded[key].copied()
    used[key] = loaded[key]
    return loaded[key].value


def changed(always=False):
    """The data that the calls since the last comparison have used and changed; forgets it."""
    header[PHASE] += 1  # the time limit is for calls
    entries = [entry for entry in used.values() if entry.has_changed(always)]
    header[PHASE] += 1
    for entry in entries:
        if loaded.get(entry.key) is entry:
            del loaded[entry.key]
    used.clear()
    return entries


