# Loaded data is shared by the tasks of this process, so no call may change it. NumPy arrays and pandas frames
# are made read-only; the rest is compared by a digest.
import copy
import collections
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


class Loaded:
    def __init__(self, key, value):
        self.key, self.value = key, value
        self.held = {}  # by address, which is in the digest: no other object may get it
        self.digest, self.skipped, self.cost = None, False, 0.0

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
            send(
                f"log the loaded data of {self.key[:80]} {why}: it is not noticed if crunch changes it in place "
                "(data_copy = true in [crunch] gives each call a copy of its own)".encode("utf-8", "replace")
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


def freeze(value, held):
    """What stands for an array or a frame in the digest, once it is read-only; None for anything else."""
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy and isinstance(value, numpy.ndarray):
        if id(value) not in held:
            held[id(value)] = value
            value.setflags(write=False)
            if isinstance(getattr(value, "_mask", None), numpy.ndarray):
                value._mask.setflags(write=False)
        return None if value.dtype.hasobject else (id(value), value.flags.writeable, value.shape, value.dtype.str)
    if pandas and isinstance(value, (pandas.DataFrame, pandas.Series)):
        try:
            parts = [block.values for block in value._mgr.blocks]
            inner = ("_pa_array", "_ndarray", "_data", "_mask")
            parts += [getattr(part, name) for part in parts for name in inner if hasattr(part, name)]
            arrays = [part for part in parts if isinstance(part, numpy.ndarray)]
            parts += value._mgr.axes
        except AttributeError:
            return None  # another pandas
        if id(value) not in held:
            held.update((id(part), part) for part in [value, *parts])
            for array in arrays:
                array.setflags(write=False)
        return tuple(map(id, parts)) + tuple(array.flags.writeable for array in arrays)
    return None


def digest(value, held):
    import hashlib
    import pickle

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
    try:
        reseed(load_seed)
        entry = Loaded(key, functions["load"](point))
        if compares:
            entry.watch()
    finally:
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
        return copy.deepcopy(loaded[key].value)
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


