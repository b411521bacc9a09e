"""Analysts' SQL, in a process of its own that may be killed at any moment.

The writing process never runs a query that somebody typed. A `Sidecar` is a child process with
its own DuckDB over a file it may only read; it checks the statement, runs it under a deadline, a
memory limit and a row cap, and is killed and started again when it does not answer in time.
"""

from api.sidecar.control import Rows, Sidecar, Stream

__all__ = ["Rows", "Sidecar", "Stream"]
