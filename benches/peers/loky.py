"""Empty tasks over joblib's loky, with its automatic batches.

loky.py TASKS WORKERS: prints tasks and the seconds from the first task to the last result.
"""
import json
import sys
import time

from joblib import Parallel, delayed

COLUMNS = 100


def crunch(task):
    return float(task // COLUMNS) * float(task % COLUMNS)


if __name__ == "__main__":
    tasks, workers = int(sys.argv[1]), int(sys.argv[2])
    with Parallel(n_jobs=workers) as parallel:
        parallel(delayed(crunch)(task) for task in range(64))  # every worker is there
        begin = time.perf_counter()
        products = parallel(delayed(crunch)(task) for task in range(tasks))
        best = {}
        for task, product in enumerate(products):
            group = task // COLUMNS
            best[group] = max(best.get(group, product), product)
        seconds = time.perf_counter() - begin
    print(json.dumps({"tasks": tasks, "seconds": seconds, "groups": len(best)}))
