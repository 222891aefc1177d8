# The files of imported modules that belong to the user: neither the standard library's nor installed packages'.
import site
import sysconfig

stdlib = getattr(sys, "stdlib_module_names", frozenset(sys.builtin_module_names))
installed = {sysconfig.get_paths()[name] for name in ("purelib", "platlib")} | {site.getusersitepackages()}
installed |= set(getattr(site, "getsitepackages", list)())
library = [sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "platstdlib")]
installed = [os.path.join(folder, "") for folder in installed if folder]
known_modules = set()  # names that have been looked at


def new_modules():
    """The files of the user's modules that were imported since the last call, and names of packages."""
    files, packages = [], set()
    for name, module in list(sys.modules.items()):
        if name in known_modules:
            continue
        known_modules.add(name)
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or name == "__main__":
            continue
        path = os.path.join(folder, path)
        if path.startswith(tuple(installed)) or "/site-packages/" in path or "/dist-packages/" in path:
            packages.add(name.partition(".")[0])
        elif name.partition(".")[0] not in stdlib and not path.startswith(tuple(library)):
            files.append(path)
    return files, packages


def versions(packages):
    """The versions of packages, where they are known."""
    if not packages:
        return {}
    from importlib import metadata

    found = {}
    for name in sorted(packages):
        try:
            found[name] = metadata.version(name)
        except Exception:
            version = getattr(sys.modules.get(name), "__version__", None)
            if isinstance(version, str):
                found[name] = version
    return found


def interpreter():
    """Which Python this is."""
    return {"version": sys.version.split()[0], "executable": sys.executable, "prefix": sys.prefix}


modules_seen = 0  # how many modules there were


def tell_imports():
    """Tells the worker which of the user's files and which packages calls have imported."""
    global modules_seen
    if len(sys.modules) != modules_seen:
        modules_seen = len(sys.modules)
        files, packages = new_modules()
        if files or packages:
            send(b"imported " + json.dumps([files, versions(packages)]).encode())


def imported():
    """What is imported by now: files, and packages with their versions."""
    global modules_seen
    files, packages = new_modules()
    modules_seen = len(sys.modules)
    return {"files": files, "packages": versions(packages), "python": interpreter()}
