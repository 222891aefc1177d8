"""Nested loops around one expensive function, run as one stream of tasks over MPI or threads.

``python -m gridmpi`` is the program ``gridmpi`` that is installed with this package.
"""
