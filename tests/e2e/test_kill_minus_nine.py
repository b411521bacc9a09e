"""A server that is killed at any moment loses nothing that it acknowledged, and doubles nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("how", [(), ("--encrypted",)], ids=["open", "encrypted"])
def test_kills_lose_and_double_nothing_and_show_nothing_that_is_encrypted(how):
    ran = subprocess.run(
        [sys.executable, str(ROOT / "tests/bench/kill_rounds.py"), "--rounds", "5", *how],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=560,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = re.search(r"5 rounds, ([\d,]+) acknowledged, 0 lost", ran.stdout)
    assert said, ran.stdout
    assert int(said[1].replace(",", "")) > 100
