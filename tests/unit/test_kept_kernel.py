"""The kernel's machine code on disk: taken from there when it is whole, and without a compiler."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from twin_core.simulation import Run, flow_from, simulate
from twin_core.simulation.kernel import entry, kept
from twin_core.simulation.kernel import layout as lay
from twin_core.simulation.kernel.planning import plan_of

ONE_WARD = {
    "units": [{"code": "A", "beds": 2, "stay": {"exactly": 5}, "then": {"home": 1}}],
    "classes": [{"code": "all"}],
    "arrivals": [{"class": "all", "unit": "A", "per_hour": 0.1}],
}


def test_code_that_was_cut_short_or_changed_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "new"))
    (folder,) = kept._folders()
    assert not kept.is_compiled()
    kept._keep(b"machine code", folder)
    assert kept.is_compiled()
    assert kept._code_in(folder) == b"machine code"
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    for broken in (whole[:-1], whole[:-1] + b"E", whole[:8], b""):
        file.write_bytes(broken)
        assert not kept.is_compiled(), broken


def test_a_process_that_finds_the_kernel_does_without_the_compiler() -> None:
    kept.ready()
    asks = (
        "import sys\n"
        "from twin_core.simulation.kernel import kept\n"
        "assert kept.is_compiled()\n"
        "kept.ready()\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", asks], check=True)


def test_a_table_that_is_laid_out_otherwise_never_reaches_the_kernel() -> None:
    plan = plan_of(flow_from(ONE_WARD, "one ward"), 24.0)
    books, asked = entry.books_for(plan, 1, 0), lay.Asked(np.zeros(1, lay.RUN))
    work = entry.work_for(plan, 8, 8, 1)
    for wrong in (np.zeros(4, "f8"), np.zeros(4, lay.LENGTH)[::2]):
        with pytest.raises(TypeError, match="lengths"):
            entry.simulate(plan._replace(lengths=wrong), work, books, asked, 0, 0, 1)


def test_what_is_due_at_one_instant_happens_in_the_order_in_which_it_was_planned() -> None:
    codes = [f"c{n}" for n in range(9)]
    model = {
        "units": [{"code": "A", "beds": 1, "stay": {"exactly": 0.125}, "then": {"home": 1}}],
        "classes": [{"code": code} for code in codes],
        "arrivals": [
            {"class": code, "unit": "A", "interarrival": {"exactly": 2}} for code in codes
        ],
    }
    found = simulate(flow_from(model, "nine at once"), Run(hours=99, replications=1))
    waits = [found.step(code, "A", "wait_mean").mean for code in codes]
    assert waits == [0.125 * n for n in range(9)]
