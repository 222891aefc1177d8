"""Empty tasks over mpi4py.futures, grouped 100 to a data set, as its users write it.

[SECONDS=S] mpirun -n WORKERS+1 python -m mpi4py.futures futures.py TASKS CHUNKSIZE: prints tasks and the
seconds from the first submission to the last result. Each task sleeps S seconds.
"""
import json
import os
import sys
import time

from mpi4py.futures import MPIPoolExecutor

COLUMNS = 100
SLEEP = float(os.environ.get("SECONDS", 0))


def crunch(task):
    if SLEEP:
        time.sleep(SLEEP)
    return float(task // COLUMNS) * float(task % COLUMNS)


def here(_):
    return 0


if __name__ == "__main__":
    tasks, chunksize = int(sys.argv[1]), int(sys.argv[2])
    with MPIPoolExecutor() as pool:
        list(pool.map(here, range(64)))  # every worker is there
        begin = time.perf_counter()
        best = {}
        for task, product in enumerate(pool.map(crunch, range(tasks), chunksize=chunksize)):
            group = task // COLUMNS
            best[group] = max(best.get(group, product), product)
        seconds = time.perf_counter() - begin
    print(json.dumps({"tasks": tasks, "seconds": seconds, "groups": len(best)}))
