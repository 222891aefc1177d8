"""The long-lived Python child of a gridmpi worker: calls the user's functions for it.

Requests and answers are frames (8 bytes of length, little-endian, then JSON) on the pipes that were
stdin and stdout at the start. They are moved out of the way first, so that nothing the user's code
prints, at any level, can get between the frames. These files are one program, in the order of child.rs.
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

requests = os.fdopen(os.dup(0), "rb", buffering=0)
answers = os.fdopen(os.dup(1), "wb")
nothing = os.open(os.devnull, os.O_RDWR)
os.dup2(nothing, 0)
os.dup2(2, 1)


def let_go():
    """A forked process must not hold the pipes: the worker would not notice this one's death."""
    for pipe in (requests, answers):
        os.dup2(nothing, pipe.fileno())


os.register_at_fork(after_in_child=let_go)


def read(size):
    parts = []
    while size > 0:
        part = requests.read(size)
        if not part:
            sys.exit(0)  # the worker is gone
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def receive_text():
    return read(struct.unpack("<Q", read(8))[0])


def receive():
    return json.loads(receive_text())


def send(body):
    """Sends a frame: bytes, or a list of them."""
    pieces = body if isinstance(body, list) else [body]
    answers.write(struct.pack("<Q", sum(map(len, pieces))))
    for piece in pieces:
        answers.write(piece)
    answers.flush()


