"""One simulation in a process of its own: a task on standard input, lines of JSON on standard out.

Lines are `{"doing": "learning"}`, `"compiling"` or `"simulating"` for what it is at,
`{"task": ..., "learned": ...}` once every model is known, `{"done": 40}` while it runs (with `of`
where it is known only there), and at last `{"answer": ...}` or `{"fault": "..."}`.
"""

import os
import sys
from typing import Any

import msgspec

from api.simulations.asked import Task
from twin_core.errors import TwinError

LOWEST = 19
"""So that messages are never kept waiting by a question."""


def main() -> int:
    """Read, work, tell."""
    os.nice(LOWEST)
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    from api.simulations.answering import answer_to, learned
    from api.simulations.backtesting import origins_of, without_history
    from twin_core.simulation.versions import versions

    _tell({"done": 0})
    try:
        if task.learning is not None:
            _tell({"doing": "learning"})
        task, source = learned(task)
        _tell({"task": without_history(task), "learned": source})
        if task.testing is not None:
            _tell({"done": 0, "of": origins_of(task.testing)})
        _load_kernel()
        answer = answer_to(task, lambda done: _tell({"done": done}))
    except TwinError as error:
        _tell({"fault": str(error)})
        return error.exit_code
    _tell({"answer": answer, "versions": versions()})
    return 0


def _load_kernel() -> None:
    """Load the kernel, or compile it where this machine has not yet, which takes a minute."""
    from twin_core.simulation.kernel.entry import is_compiled, ready

    if not is_compiled():
        _tell({"doing": "compiling"})
    ready()
    _tell({"doing": "simulating"})


def _tell(line: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
