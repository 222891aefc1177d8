# Runs in a Python child of a worker, as _child.py does: what a task starts within itself gets the cores of the task.
import contextlib
import importlib
import importlib.machinery
import os
import sys
from collections.abc import Iterator
from typing import Any


class AfterJoblib:
    """Finds joblib, and limits it when it has been imported."""

    def __init__(self, cores: int) -> None:
        self.cores = cores

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "joblib.parallel":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                limit(module, self.cores)

            loader.exec_module = exec_module
        return spec


def limit(joblib: Any, cores: int) -> None:
    """Puts backends in place of joblib's that start no more jobs than there are cores, whatever `n_jobs` says. What is
    parallel within them is serial, and the threads of BLAS and OpenMP share the cores with them.
    """
    for name in ("loky", "threading", "multiprocessing"):
        if name in joblib.BACKENDS:
            joblib.register_parallel_backend(name, limited(joblib.BACKENDS[name], joblib.SequentialBackend, cores))


def limited(kind: Any, serial: Any, cores: int) -> Any:
    """A backend of joblib's with no more jobs than cores."""
    uses_threads = getattr(kind, "uses_threads", False)

    class Limited(kind):  # type: ignore[misc]
        inner_max_num_threads: Any
        _pool: Any
        # What loky sets in its processes, to the number of threads that each may have.
        MAX_NUM_THREADS_VARS = [*kind.MAX_NUM_THREADS_VARS, "OMP_THREAD_LIMIT"]

        def effective_n_jobs(self, n_jobs: Any) -> int:
            return min(int(super().effective_n_jobs(n_jobs)), cores)

        def get_nested_backend(self) -> Any:
            return serial(nesting_level=(self.nesting_level or 0) + 1), None

        def configure(self, n_jobs: Any = 1, **keys: Any) -> Any:
            self._threads = max(cores // self.effective_n_jobs(n_jobs), 1)
            asked = self.inner_max_num_threads
            self.inner_max_num_threads = min(asked or cores, self._threads)
            with contextlib.ExitStack() as stack:
                stack.callback(setattr, self, "inner_max_num_threads", asked)
                if not uses_threads and not getattr(kind, "supports_inner_max_num_threads", False):
                    stack.enter_context(variables(self.MAX_NUM_THREADS_VARS, str(self.inner_max_num_threads)))
                    # Processes that are not forked find it by its name, and the module of this file they do not find.
                    with contextlib.suppress(ImportError):
                        few = importlib.import_module("threadpoolctl").threadpool_limits
                        keys = {"initializer": few, "initargs": (self._threads,), **keys}
                return super().configure(n_jobs, **keys)

        def start_call(self) -> None:
            super().start_call()
            self._blas = few_threads(self._threads, "blas") if uses_threads else None

        def stop_call(self) -> None:
            super().stop_call()
            if self._blas is not None:
                self._blas.restore_original_limits()

        def _get_pool(self) -> Any:
            if uses_threads and self._pool is None:  # OpenMP counts the threads of each thread
                pool: Any = importlib.import_module("multiprocessing.pool")
                self._pool = pool.ThreadPool(self._n_jobs, few_threads, (self._threads, "openmp"))
            return super()._get_pool()

    Limited.__name__ = Limited.__qualname__ = kind.__name__
    return Limited


@contextlib.contextmanager
def variables(names: "list[str]", value: str) -> Iterator[None]:
    """Sets variables for processes that begin meanwhile: libraries that one loads later have so many threads."""
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, value))
    try:
        yield
    finally:
        for name, known in before.items():
            if known is None:
                del os.environ[name]
            else:
                os.environ[name] = known


def few_threads(count: int, library: Any = None) -> Any:
    """Limits the threads of BLAS and OpenMP, if threadpoolctl is there, as it is with scikit-learn."""
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ImportError:
        return None
    return threadpoolctl.threadpool_limits(count, library)


def hold_to_cores() -> None:
    """Holds what tasks start within themselves to `OMP_NUM_THREADS`: the cores of a task, or what the user has set."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    cores = int(text) if text.isdigit() else 0
    if cores == 0 or any(type(one).__name__ == AfterJoblib.__name__ for one in sys.meta_path):
        return
    os.environ.setdefault("LOKY_MAX_CPU_COUNT", text)  # what n_jobs=-1 means
    os.environ.setdefault("OMP_THREAD_LIMIT", text)  # of libraries that say how many threads they want
    sys.meta_path.insert(0, AfterJoblib(cores))


hold_to_cores()
