"""A program as the task, over HyperQueue: a server and one worker of 2 cores on this machine. What the
tasks print is kept, in files, as it is by default.

hyperqueue_tasks.py TASKS PROGRAM [ARGUMENT...]: prints tasks and the seconds from submitting to the end.
"""
import json
import sys
import time

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

if __name__ == "__main__":
    tasks, program = int(sys.argv[1]), sys.argv[2:]
    with LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=2))
        client = cluster.client()
        job = Job(max_fails=0)
        for _ in range(tasks):
            job.program(program)
        begin = time.perf_counter()
        client.wait_for_jobs([client.submit(job)])
        seconds = time.perf_counter() - begin
    print(json.dumps({"tasks": tasks, "seconds": seconds}))
