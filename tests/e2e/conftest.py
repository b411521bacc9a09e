"""A real server and a real Chromium in front of it."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_S = 180.0


class Served:
    """`wardtwin serve` as a process of its own, on the same ports and store each time."""

    def __init__(self, folder: Path, site: str = "") -> None:
        self.folder, self.store = folder, folder / "board.duckdb"
        self.site = folder / "site.toml"
        self.site.write_text(site)
        self.http_port, self.mllp_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.messages = 0
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)
        self.start()

    def start(self) -> None:
        """Start it and wait until it is ready."""
        command = [sys.executable, "-m", "api", "serve", "--db", str(self.store)]
        command += ["--config", str(self.site)]
        ports = ["--http-port", str(self.http_port), "--mllp-port", str(self.mllp_port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *ports],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + START_S
        while not self.is_ready():
            ended = self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                pytest.fail(f"no server: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        try:
            return self.http.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=120)

    def send(self, trigger: str, visit: str, place: str, kind: str = "I") -> None:
        """An ADT message about a visit, acknowledged."""
        self.messages += 1
        stamp = time.strftime("%Y%m%d%H%M%S+0000", time.gmtime(time.time() - 600 + self.messages))
        pv1 = [""] * 46
        pv1[0], pv1[2], pv1[3], pv1[19] = "PV1", kind, place, f"{visit}^^^GEN^VN"
        pv1[44] = stamp if trigger in {"A01", "A04"} else ""
        pv1[45] = stamp if trigger == "A03" else ""
        segments = (
            rf"MSH|^~\&|PAS|GEN|TWIN|GEN|{stamp}||ADT^{trigger}|{self.messages}|P|2.5.1",
            f"EVN|{trigger}|{stamp}",
            f"PID|1||P{visit}^^^GEN^MR||QUISENBERRY^ADA",
            "|".join(pv1),
        )
        answer = self.http.post("/v1/hl7v2", content="\r".join(segments).encode())
        assert answer.status_code == 200, answer.text

    def wait_for(self, path: str) -> None:
        """Wait until a page is there: what was acknowledged is applied a moment later."""
        deadline = time.monotonic() + 120
        while self.http.get(path).status_code != 200:
            assert time.monotonic() < deadline, path
            time.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that several tests share; each sends of units of its own."""
    served = Served(tmp_path_factory.mktemp("board"))
    yield served
    served.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Served]:
    """A server with an empty store, to be killed or stopped."""
    served = Served(tmp_path)
    yield served
    served.stop()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page that must never complain nor ask another machine for anything."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: complaints.append(said.text) if "Content Security" in said.text else None,
    )
    page.on(
        "request",
        lambda asked: (
            None if asked.url.startswith("http://127.0.0.1:") else complaints.append(asked.url)
        ),
    )
    yield page
    context.close()
    assert complaints == []
