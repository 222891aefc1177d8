# What a call leaves behind in the process is put back: the working folder, the environment, timers, and the
# generators of random numbers. A flag says that there is something to do, so that other calls pay nothing.
import _thread
import functools
import itertools
import signal

TOUCHED, IMPORTED = 1, 2  # bytes of the header's first word; the worker writes byte 0
main_thread = _thread.get_ident()
touched = set()
timers = set()  # that a call has set: their signals would end another call
at = None  # the request at hand
load_seed = None  # while data is loaded


def leave():
    """A forked process has nobody to ask for seeds."""
    global main_thread
    main_thread = None


os.register_at_fork(after_in_child=leave)


def noting(function):
    @functools.wraps(function)
    def noted(*arguments, **named):
        if function.__name__.endswith("env"):
            touched.add(os.fsencode(arguments[0]))
        elif function is alarm or function is set_timer:
            timers.add(signal.ITIMER_REAL if function is alarm else arguments[0])
        flags[TOUCHED] = 1
        return function(*arguments, **named)

    return noted


for name in ("chdir", "fchdir", "putenv", "unsetenv"):  # os.environ calls the last two
    setattr(os, name, noting(getattr(os, name)))

alarm, set_timer = signal.alarm, signal.setitimer
signal.alarm, signal.setitimer = noting(alarm), noting(set_timer)


def remember():
    global folder, environment
    folder, environment = os.getcwd(), dict(os.environb)
    flags[TOUCHED] = 0
    touched.clear()
    timers.clear()


def put_back():
    now = dict(os.environb)
    changed = {name for name in now.keys() | environment.keys() if now.get(name) != environment.get(name)}
    for name in changed | touched:
        if name in environment:
            os.environb[name] = environment[name]
        else:
            os.environb.pop(name, None)
            os.unsetenv(name)
    try:
        moved = os.getcwd() != folder
    except OSError:  # it is gone
        moved = True
    if moved:
        os.chdir(folder)
    while timers:
        set_timer(timers.pop(), 0)
    flags[TOUCHED] = 0
    touched.clear()


# The folder of its own that a call runs in.
def workdir():
    return at["workdir"]


def enter(place):
    """Until what a call leaves behind is put back."""
    os.chdir(place)
    os.environ["GRIDMPI_WORKDIR"] = workdir()


def leave_workdir():
    """Goes to the job's folder; returns the one to enter again, if there is one."""
    if at is None or "workdir" not in at:
        return None
    here = os.getcwd()
    os.chdir(folder)
    return here


# Seeds, once there is a generator.
seeders = {}


def reseed(seed):
    for seeder in seeders.values():
        seeder(seed)


def seeds_of(request):
    """The tasks' seeds; a request has them if the worker knows that they are needed."""
    if not request["seeds"]:
        say(type="seeds")
        request["seeds"] = json.loads(receive_line())["seeds"]
    return request["seeds"]


def current_seed():
    """The seed of the call at hand, if there is one."""
    if load_seed is not None or at is None:
        return load_seed
    task = next((task for task in range(len(at["points"])) if math.isnan(durations[task])), None)
    return None if task is None else seeds_of(at)[task]


class Generators:
    """Sees to it that a generator is seeded from its import on: a finder of modules, and their loader."""

    NAMES = ("random", "numpy.random")

    def __init__(self, loader=None):
        self.loader = loader

    def find_spec(self, name, path=None, target=None):
        if name not in self.NAMES:
            return None
        finders = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(name, path, target) for finder in finders)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = Generators(spec.loader)
        return spec

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.loader.exec_module(module)
        self.watch(module)

    def watch(self, module):
        file = getattr(module, "__file__", None) or os.__file__
        if not hasattr(module, "seed") or module.__name__ == "random" and is_own(os.path.abspath(file)):
            return  # the user's random.py
        seeders[module.__name__] = module.seed
        flags[IMPORTED] = 1
        if main_thread == _thread.get_ident():
            seed = current_seed()
            if seed is not None:
                module.seed(seed)


def forget_random():
    """What Python's own start or this program has imported is nobody's use of it yet."""
    sys.modules.pop("random", None)
    seeders.pop("random", None)


def watch_generators():
    forget_random()
    sys.meta_path.insert(0, Generators())
    for name in Generators.NAMES:
        if name in sys.modules:
            Generators().watch(sys.modules[name])


