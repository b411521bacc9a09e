"""A sync that is killed at any moment, again and again, ends with nothing lost, nothing doubled."""

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from fhir_peer import Peer, PeerExport, listening

from twin_core import Twin

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = [(3, 0.0), (4, 0.01), (3, 0.03), (6, 0.06), (9, 0.1)]
"""Killed so many seconds after so many requests: before, while and after a page is stored."""


class Killing:
    """The peer's application, which kills the reader at a moment."""

    def __init__(self, peer):
        self.peer, self.app = peer, peer.app
        self.reader, self.moment = None, None

    async def __call__(self, scope, receive, send):
        if self.moment is not None:
            requests, delay_s = self.moment
            self.moment = (requests - 1, delay_s) if requests > 1 else None
            if self.moment is None:
                threading.Timer(delay_s, self.kill).start()
        await self.app(scope, receive, send)

    def kill(self):
        if self.reader is not None and self.reader.poll() is None:
            os.kill(self.reader.pid, signal.SIGKILL)

    def sync(self, folder, moment=None):
        self.moment = moment
        words = ["fhir", "sync", "--json", "--db", "hospital.duckdb", "--config", "site.toml"]
        self.reader = subprocess.Popen(
            [sys.executable, "-m", "api", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = self.reader.communicate(timeout=240)
        return self.reader.returncode, out, err


@pytest.mark.slow
@pytest.mark.parametrize("method", ["search", "bulk"])
def test_killed_at_any_moment_nothing_is_lost_and_nothing_doubled(tmp_path, method):
    peer = Peer()
    peer.kinds = ["Patient", "Encounter"]
    peer.people(40)
    for one in range(40):
        subject = {"reference": f"Patient/p{one}"}
        shape = {"status": "in-progress", "class": {"code": "IMP"}, "subject": subject}
        peer.put("Encounter", f"e{one}", **shape)
    peer.put("Patient", "odd", gender="purple", birthDate=1944)
    peer.time.at += timedelta(seconds=1)
    if method == "bulk":
        PeerExport(peer).polls_until_ready = 0
        peer.export.file_lines = 7
    killing = Killing(peer)
    with listening(killing) as address:
        peer.base = peer.known_as = f"{address}/fhir"
        (tmp_path / "site.toml").write_text(
            f'[sources.pas]\nurl = "{peer.base}"\nmethod = "{method}"\npage_size = 5\n'
            'types = ["Patient", "Encounter"]\nrequests_per_second = 0\nattempts = 2\n'
        )
        killed = 0
        for moment in MOMENTS if method == "search" else MOMENTS[1:4]:
            status, _, _ = killing.sync(tmp_path, moment)
            killed += status == -signal.SIGKILL
        status, out, err = killing.sync(tmp_path)
        assert status in (0, 1), err
        assert json.loads(out)[0]["state"] == "in step", out
    assert killed >= 2
    with Twin.open(tmp_path / "hospital.duckdb") as twin:
        told = twin.query("SELECT control_id, status FROM core.message")
        accepted = sorted(one["control_id"] for one in told if one["status"] != "quarantined")
        stays = twin.query("SELECT count(*) AS n, count(patient_id) AS p FROM twin.encounter")
    versions = [
        f"{kind}/{id_}/{version.number}"
        for kind, resources in peer.kept.items()
        for id_, several in resources.items()
        for version in several
        if id_ != "odd"
    ]
    assert accepted == sorted(versions)
    assert len(told) - len(accepted) == 1, "what was refused is quarantined once"
    assert stays == [{"n": 40, "p": 40}]
