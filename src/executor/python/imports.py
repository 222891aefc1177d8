# The files of imported modules that belong to the user: neither the standard library's nor installed packages'.
import importlib
import importlib.machinery
import importlib.util
import io
import re
import site
import sysconfig

installed = {sysconfig.get_paths()[name] for name in ("purelib", "platlib")} | {site.getusersitepackages()}
installed |= set(getattr(site, "getsitepackages", list)())
library = {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib")} | {os.path.dirname(os.__file__)}
installed = tuple(os.path.join(folder, "") for folder in installed if folder)
library = tuple(os.path.join(folder, "") for folder in library if folder)
known_modules = set()  # names that have been looked at
opened = set()  # files whose code was loaded, also where no module is kept under its name
states = {}  # of the user's, before they were read
notes_states = False  # until rank 0's check has been told of them


def note_state(path):
    """Notes the state of a file that is about to be read, as text."""
    try:
        was = os.stat(path)
        state = f"{was.st_size} {was.st_mtime_ns} {was.st_ctime_ns} {was.st_ino}"
        # Read in two states, it may be either.
        states[path] = state if states.get(path, state) == state else ""
    except (OSError, ValueError):
        pass


def noting_code(function, place):
    @functools.wraps(function)
    def noted(*arguments):
        if isinstance(arguments[place], (str, os.PathLike)):
            path = os.fspath(arguments[place])
            opened.add(path)
            if notes_states and isinstance(path, str) and is_own(path):
                note_state(path)
        return function(*arguments)

    return noted


# What importlib calls for each source file that it loads, and runpy for each script.
importlib.machinery.SourceFileLoader.path_stats = noting_code(importlib.machinery.SourceFileLoader.path_stats, 1)
io.open_code = noting_code(io.open_code, 0)


def import_in_job_folder():
    """Modules that a call imports are executed in the job's folder, as those that are imported before."""
    exec_module = importlib.machinery.SourceFileLoader.exec_module

    @functools.wraps(exec_module)
    def run(loader, module):
        here = leave_workdir()
        try:
            return exec_module(loader, module)
        finally:
            if here is not None:
                os.chdir(here)

    importlib.machinery.SourceFileLoader.exec_module = run


def is_package(path):
    return path.startswith(installed) or "/site-packages/" in path or "/dist-packages/" in path


def is_own(path):
    """Whether it is the user's file: a name of the standard library's does not make it another's."""
    return not is_package(path) and not path.startswith(library)


kept_modules = {}  # of the standard library, that the user's modules would take the place of


def library_module(name):
    """A module of the standard library that not each child needs."""
    return kept_modules.get(name) or importlib.import_module(name)


def let_user_import():
    """Puts the user's folders on the path. Where one has a module with a name of the standard library's, the user
    gets that one, as from Python itself, and the child keeps its own."""
    sys.path[:] = path
    beside = [os.path.dirname(file) for file, _ in setup["functions"].values()]
    before = itertools.takewhile(lambda folder: folder not in inside, path)
    names = set()
    for place in {*beside, *(place or os.getcwd() for place in before)}:
        try:
            names.update(name.partition(".")[0] for name in os.listdir(place))
        except OSError:
            pass  # it is not there, or a file
    loaded = {name.partition(".")[0] for name in sys.modules}
    names &= loaded.union(getattr(sys, "stdlib_module_names", ())) - (start - {"random"})
    if names:
        sys.path[:] = library_path
        for name in ("ast", "hashlib", "importlib.metadata", "email.parser"):
            kept_modules[name] = importlib.import_module(name)
        forget_random()
        sys.path[:] = path
    for name in names:
        sys.modules.pop(name, None)
        seeders.pop(name, None)


def new_modules():
    """The files of the user's modules that were imported since the last call, and names of packages."""
    files, packages = set(), set()
    for name, module in list(sys.modules.items()):
        if name in known_modules:
            continue
        known_modules.add(name)
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or name == "__main__":
            continue
        path = os.path.join(folder, path)
        if is_package(path):
            packages.add(name.partition(".")[0])
        elif is_own(path):
            files.add(path)
    seen = list(opened)
    opened.difference_update(seen)
    files.update(filter(is_own, (os.path.join(folder, path) for path in seen if isinstance(path, str))))
    return sorted(files), packages


def imports_in(files):
    """What the user's files import by statements, also those that only a call reaches: files of modules, and names
    of packages. Nothing is imported to find out."""
    ast = library_module("ast")
    found, packages, left = set(), set(), list(files)
    while left:
        path = left.pop()
        if path in found:
            continue
        found.add(path)
        try:
            with open(path, "rb") as file:
                tree = ast.parse(file.read())
        except (OSError, SyntaxError, ValueError):
            continue  # compiled, or not imported
        names = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                own = os.path.dirname(path)
                for _ in range(node.level - 1):
                    own = os.path.dirname(own)
                parts = node.module.split(".") if node.module else []
                for alias in node.names:
                    left += module_files([own], [*parts, alias.name])
        for name in names:
            top, *rest = name.split(".")
            try:
                spec = importlib.util.find_spec(top)
            except (ImportError, ValueError, AttributeError):
                continue
            origin = spec and spec.origin and os.path.join(folder, spec.origin)
            folders = list(spec.submodule_search_locations or []) if spec else []
            if origin and is_package(origin):
                packages.add(top)
            elif origin and os.path.isfile(origin) and is_own(origin):
                left += [origin, *module_files(folders, rest)]
            elif not origin:
                left += filter(is_own, module_files(folders, rest))
    return found - set(files), packages


def module_files(folders, parts):
    """The files of a module and of the packages around it, below these folders; the last part may be no module."""
    for here in folders:
        files = []
        for end in range(1, len(parts) + 1):
            base = os.path.join(here, *parts[:end])
            files += filter(os.path.isfile, (base + ".py", os.path.join(base, "__init__.py")))
        if files:
            return files
    return []


def version(name):
    """The version of a package, where it is known."""
    metadata = library_module("importlib.metadata")
    try:
        return metadata.version(name)
    except Exception:
        pass
    found = getattr(sys.modules.get(name), "__version__", None)
    if isinstance(found, str):
        return found
    try:
        names = metadata.packages_distributions()[name]
        return metadata.version(names[0])
    except Exception:
        pass
    try:  # not imported yet
        with open(importlib.util.find_spec(name).origin, encoding="utf-8") as file:
            return re.search(r"""^__version__\s*=\s*["']([^"']+)""", file.read(), re.M).group(1)
    except Exception:
        return None


def versions(packages):
    """The versions of packages, where they are known."""
    is_used = "random" in seeders
    found = {name: version(name) for name in sorted(packages)}
    if not is_used:
        forget_random()  # importlib.metadata has imported it
    return {name: version for name, version in found.items() if version is not None}


def interpreter():
    """Which Python this is."""
    return {"version": sys.version.split()[0], "executable": sys.executable, "prefix": sys.prefix}


modules_seen = 0  # how many modules there were


def tell_imports():
    """Tells the worker which of the user's files and which packages calls have imported."""
    global modules_seen
    if len(sys.modules) != modules_seen or opened:
        modules_seen = len(sys.modules)
        files, packages = new_modules()
        if files or packages:
            say(type="imported", files=files, packages=versions(packages))


def imported():
    """What is imported by now, and for rank 0 what calls may import too: files, and packages with their versions."""
    global modules_seen, notes_states
    files, packages = new_modules()
    modules_seen = len(sys.modules)
    late = []
    if setup["late_imports"]:
        more, named = imports_in(files)
        late = sorted(more)
        packages = packages | named
    known = {os.path.join(folder, path): state for path, state in states.items()}
    kept = {path: known[path] for path in files if path in known}
    notes_states = False
    states.clear()
    return {"files": files, "late": late, "states": kept, "packages": versions(packages), "python": interpreter()}
