"""docs/how-to/connect-a-feed.md is followed to the letter: every command, on real ports."""

import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.cli import parser
from twin_core.settings import FeedSettings, Settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/how-to/connect-a-feed.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SITE = next(text for kind, name, text in BLOCKS if name == "site.toml")
TABLE_CODE = re.compile(r"^\| (`[^|]+) \|", re.MULTILINE)


class Site:
    """The folder of somebody who follows the page, with a server that can be started and ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.http_port, self.mllp_port = free_port(), free_port()
        command = folder / "bin" / "wardtwin"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m api "$@"\n')
        command.chmod(0o755)
        self.environ = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        self.environ |= {
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "WARDTWIN_HTTP__PORT": str(self.http_port),
        }
        self.served: subprocess.Popen[str] | None = None

    def here(self, text: str) -> str:
        """The page's text with ports that are free on this machine."""
        return text.replace("6661", str(self.mllp_port))

    def run(self, script: str) -> str:
        ran = subprocess.run(
            ["bash", "-euc", self.here(script)],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert ran.returncode == 0, script + ran.stdout + ran.stderr
        return ran.stdout

    def serve(self, command: str) -> None:
        self.end()
        self.served = subprocess.Popen(
            ["bash", "-c", f"exec {command.strip()} 2>&1"],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        said = []
        assert self.served.stdout is not None
        for line in self.served.stdout:
            said.append(line)
            if re.search(r"Board:?\s+http", line):
                return
        pytest.fail("".join(said))

    def end(self) -> None:
        if self.served is not None:
            self.served.send_signal(signal.SIGINT)
            self.served.communicate(timeout=240)
            assert self.served.returncode == 0
            self.served = None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    if site.served is not None:
        site.served.kill()
        site.served.communicate()


def test_every_command_of_the_page_runs_in_order(site: Site) -> None:
    said = []
    for kind, name, text in BLOCKS:
        if name == "site.toml":
            (site.folder / name).write_text(site.here(text))
        elif name == "add":
            settings = (site.folder / "site.toml").read_text()
            added = settings.replace("[feeds.adt]\n", f"[feeds.adt]\n{text}")
            (site.folder / "site.toml").write_text(added)
        elif name in ("serve", "restart"):
            site.serve(text)
        elif kind == "sh" and name != "install":
            said.append(site.run(text))
    told = "\n".join(said)
    assert "Assigned patient location" in told
    assert "Musterfrau" not in told
    assert re.search(r"1 acknowledged in .*: 1 AA", told)
    assert "refused, as it should be" in told
    assert "!! MSH^1^11, code 202" in told
    assert re.search(r"stay s\w+ began", told)
    assert re.search(r"stay s\w+ changed", told)
    assert "quarantined (AR)" in told
    assert re.search(r"^ *2 +accepted +AA", told, re.MULTILINE)
    base = f"http://127.0.0.1:{site.http_port}"
    with httpx.Client(base_url=base, trust_env=False, timeout=30) as http:
        for path in ("/", "/messages", "/messages/1", "/quarantine", "/health/live"):
            assert http.get(path).status_code == 200, path
        assert http.get("/health/ready").status_code == 200
        measured = http.get("/metrics").text
    for name in re.findall(r"`(wardtwin_\w+)`", PAGE):
        assert f"\n{name}" in measured, name
    site.end()


def test_every_setting_of_the_page_exists() -> None:
    for kind, name, text in BLOCKS:
        if kind == "toml" and name != "add":
            Settings.model_validate(tomllib.loads(text))
    peers = next(tomllib.loads(text) for _, name, text in BLOCKS if name == "peers")
    assert "127.0.0.1" in peers["feeds"]["adt"]["peers"]  # what is tried from here is let in
    feed = set(FeedSettings.model_fields)
    table = PAGE.split("What most feeds need")[1].split("## Look")[0]
    for row in TABLE_CODE.findall(table):
        assert set(re.findall(r"`(\w+)`", row)) <= feed, row
    added = next(text for _, name, text in BLOCKS if name == "add")
    Settings.model_validate({"feeds": {"adt": tomllib.loads(added)}})


def test_every_command_and_flag_of_the_page_exists(capsys: pytest.CaptureFixture[str]) -> None:
    scripts = "\n".join(text for kind, name, text in BLOCKS if kind == "sh" and name != "install")
    scripts += "".join(re.findall(r"^    .*$", PAGE, re.MULTILINE))
    commands = re.findall(r"wardtwin (\w+(?: (?:explain|list|replay|show|check))?)", scripts)
    helped = ""
    for command in sorted({*commands, "send"}):
        with pytest.raises(SystemExit) as asked:
            parser().parse_args([*command.split(), "--help"])
        assert asked.value.code == 0, command
        helped += capsys.readouterr().out
    flags = set(re.findall(r"(--[a-z][a-z-]+)", PAGE.split("## Install")[1]))
    assert flags
    assert not [flag for flag in flags if flag not in helped]


def test_every_page_that_is_linked_exists() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs/how-to" / link).exists(), link
