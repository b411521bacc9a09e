"""The README says what is true: its code blocks run, in order, in one folder."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
RUN_IT, TEST_IT = BLOCKS[0][1], BLOCKS[1][1]
SERVING = re.compile(r"^wardtwin serve .*$", re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with `wardtwin` on the PATH and the README's settings file."""
    folder = tmp_path_factory.mktemp("readme")
    command = folder / "bin" / "wardtwin"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m api "$@"\n')
    command.chmod(0o755)
    [settings] = [text for kind, text in BLOCKS if kind == "toml"]
    (folder / "site.toml").write_text(settings)
    return folder


def environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    kept["PATH"] = f"{folder / 'bin'}:{kept.get('PATH', '')}"
    return kept | {"PYTHONPATH": str(ROOT)}


def run(folder: Path, script: str) -> str:
    ran = subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_it_opens_with_one_sentence_and_two_command_blocks():
    first, run_it, test_it = README.split("\n\n")[0], "## Run it", "## Test it"
    assert first.count(".") == 1
    assert first.endswith(".")
    headings = re.findall(r"^## .*$", README, re.MULTILINE)
    assert headings[:2] == [run_it, test_it]
    for heading in (run_it, test_it):
        section = README.split(heading)[1].split("\n## ")[0]
        assert section.count("```sh") == 1
    assert RUN_IT.count("\n") == TEST_IT.count("\n") == 1


def test_the_commands_need_only_python_and_pip():
    for part in re.split(r"&&|\|\|", f"{RUN_IT} && {TEST_IT}"):
        assert part.strip("{ \n").startswith((".venv/bin/", "python3")), part


@pytest.mark.timeout(1800)
def test_every_block_after_the_first_two_runs_in_order(folder):
    for kind, text in BLOCKS[2:]:
        if kind == "sh" and not SERVING.search(text):
            run(folder, text)
        elif kind == "console":
            check_session(folder, text)
        elif kind == "python":
            ran = run(folder, f"{sys.executable} - <<'END'\n{text}\nEND")
            assert "1 patients at noon" in ran
            assert "W1 A 2026-11-01 08:00:00+00:00" in ran
    assert (folder / "backups/monday/hospital.duckdb.inbox").exists()


def check_session(folder: Path, text: str) -> None:
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        assert run(folder, command) == expected


@pytest.mark.parametrize("kind", ["serve", "demo"])
@pytest.mark.timeout(1800)
def test_the_servers_start_show_the_board_and_end_on_ctrl_c(folder, kind):
    command = {
        "serve": SERVING.search(README)[0].replace("2575", "0").replace("8080", "0"),
        "demo": "wardtwin demo --days 0.5 --mllp-port 0 --http-port 0",
    }[kind]
    assert kind == "serve" or RUN_IT.strip().endswith("/wardtwin demo")
    served = subprocess.Popen(
        ["bash", "-c", f"exec {command} 2>&1"],
        cwd=folder,
        env=environment(folder) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with served:
        said = []
        for line in served.stdout:
            said.append(line)
            if found := re.search(r"Board:?\s+(http://\S+)", line):
                break
        assert found, "".join(said)
        with urllib.request.urlopen(found[1], timeout=120) as page:  # noqa: S310
            assert page.status == 200
        served.send_signal(signal.SIGINT)
        said.append(served.stdout.read())
    assert served.returncode == 0, "".join(said)


def test_the_exit_codes_are_those_of_the_errors():
    from twin_core import errors

    told = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    raised = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.TwinError)
    }
    assert raised <= told
