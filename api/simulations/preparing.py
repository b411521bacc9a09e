"""The simulation kernel made ready beside a demo, so that the first forecast waits for nothing.

On a machine that has not compiled the kernel yet this takes a minute of one processor, at the
lowest priority; where it is compiled already, nothing happens.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LOWEST = 19
"""Added to the niceness: whatever else wants the processor goes first."""


@contextlib.contextmanager
def kernel_prepared() -> Iterator["subprocess.Popen[bytes]"]:
    """Have a process of its own make the kernel ready meanwhile; it ends with what it is beside."""
    child = subprocess.Popen(
        (sys.executable, "-m", "api.simulations.preparing"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        # An interrupt from the terminal is for the demo, which then ends this, too.
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.terminate()
        child.wait()


def prepare() -> None:
    """Compile the kernel and keep it, where this machine has not yet."""
    from twin_core.simulation.kernel.entry import is_compiled, ready

    if not is_compiled():
        os.nice(LOWEST)
        ready()


if __name__ == "__main__":
    prepare()
