"""The kernel made ready beside a demo, without getting in anybody's way."""

import os
from pathlib import Path

import pytest

from api.simulations.preparing import kernel_prepared, prepare
from twin_core.simulation.kernel.entry import is_compiled, ready


def niceness() -> int:
    return os.nice(0)


def test_a_demo_that_ends_ends_what_makes_its_kernel_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "empty"))
    with kernel_prepared() as child:
        assert child.poll() is None
    assert child.returncode is not None
    assert not (tmp_path / "empty").exists()


def test_where_the_kernel_is_ready_nothing_happens() -> None:
    ready()
    before = niceness()
    prepare()
    assert is_compiled()
    assert niceness() == before
    with kernel_prepared() as child:
        assert child.wait(timeout=300) == 0
