"""``python -m gridmpi`` is the program ``gridmpi``."""

import os
import sys

from gridmpi._program import program

if __name__ == "__main__":
    path = program()
    os.execv(path, [path, *sys.argv[1:]])
