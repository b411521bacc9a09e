"""docs/how-to/add-a-kpi.md is followed to the letter: its files, its commands, its refusals."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from twin_core.kpi.catalogue import STATISTICS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/how-to/add-a-kpi.md").read_text("utf-8")
BLOCKS = {
    name: text
    for name, text in re.findall(r"^```\w+ (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
}
FILES = ("site.toml", "kpis/early_discharges.sql", "feed.hl7")


@pytest.fixture
def folder(tmp_path):
    """A folder with the page's files and `wardtwin` on the PATH."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(BLOCKS[name])
    command = tmp_path / "bin" / "wardtwin"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m api "$@"\n')
    command.chmod(0o755)
    return tmp_path


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    path = f"{folder / 'bin'}:{os.environ.get('PATH', '')}"
    return subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env={**kept, "PATH": path},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_the_page_works_from_the_first_block_to_the_last(folder):
    doctor = run(folder, BLOCKS["doctor"])
    assert "1 of the site's own" in doctor.stdout, doctor.stderr
    used = run(folder, BLOCKS["use"])
    assert used.returncode == 0, used.stderr
    assert re.search(r"early_discharges +% +Discharges before ten +site", used.stdout)
    assert re.search(r"W1 .* share +1\.0 +1\.0 +100\.0", used.stdout)
    assert re.search(r"encounter e\S+ +1 2$", used.stdout, re.MULTILINE)

    file = folder / "kpis/early_discharges.sql"
    file.write_text(file.read_text().replace("AS counted", "AS count"))
    refused = run(folder, "wardtwin state --config site.toml")
    assert refused.returncode == 3
    assert "early_discharges.sql: Its SELECT lacks the column counted." in refused.stderr


def test_the_table_of_shapes_names_the_statistics_of_each():
    for shape, statistics in STATISTICS.items():
        [row] = re.findall(rf"^\| `{shape}` \|.*", PAGE, re.MULTILINE)
        told = re.findall(r"`(\w+)`", row.split("|")[-2])
        assert [word for word in told if word != "target"] == list(statistics)
