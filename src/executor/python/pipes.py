"""The long-lived Python child of a gridmpi worker: calls the user's functions for it.

It is a worker as docs/writing-a-worker.md describes one, and agrees with gridmpi on more, which that page names.
These files are one program, in the order of setup.rs.
"""
import os
import sys

# What is imported here is the standard library's, also where the user's folder has a json.py of its own. The
# user's folders are put back on the path in child.py.
start = frozenset(sys.modules)  # what Python's own start has imported
path = sys.path[:]
standard = os.path.dirname(os.__file__)
inside = [folder for folder in path if (folder + os.sep).startswith(standard + os.sep) and "-packages" not in folder]
zipped = [folder for folder in path if os.path.basename(folder).startswith("python") and folder.endswith(".zip")]
library_path = zipped + inside if inside else path[:]
sys.path[:] = library_path

import json
import struct

# Taken out of the environment: whatever the user's code starts has nothing to say here.
requests = open(os.environ.pop("GRIDMPI_REQUESTS"), "rb", buffering=1 << 16)
answers = open(os.environ.pop("GRIDMPI_ANSWERS"), "wb")
nothing = os.open(os.devnull, os.O_RDWR)


def let_go():
    """A forked process must not hold the pipes: the worker would not notice this one's death."""
    for pipe in (requests, answers):
        os.dup2(nothing, pipe.fileno())


os.register_at_fork(after_in_child=let_go)


def receive_line():
    line = requests.readline()
    if not line.endswith(b"\n"):
        sys.exit(0)  # the worker is gone
    return line


def send(*pieces):
    """Sends a line, in pieces."""
    for piece in pieces:
        answers.write(piece)
    answers.write(b"\n")
    answers.flush()


def say(**message):
    send(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"))


setup = json.loads(receive_line())  # the hello of gridmpi
if 1 not in setup["versions"]:
    say(type="hello", version=None, versions=[1])
    sys.exit(0)


def answer(request, name, body, took=None):
    """Answers with the JSON of a `value` or of a `message`, which may be in pieces, or with none."""
    kind = "error" if name == "message" else "result"
    head = f'{{"type":"{kind}","id":{request["id"]}'
    if took is not None:
        head += f',"seconds":{took!r}'
    if not body:
        send(head.encode(), b"}")
    else:
        send(f'{head},"{name}":'.encode(), *(body if isinstance(body, list) else [body]), b"}")


