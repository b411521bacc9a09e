"""What the doctor says of feeds and destinations before anything runs."""

import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from certificates import NOW, Authority

from api.commands import doctor
from twin_core.settings import Settings

DAY = timedelta(days=1)


def checks(look: Any, settings: dict[str, Any]) -> list[tuple[str, str, str]]:
    call: Any = SimpleNamespace(settings=Settings.model_validate(settings))
    return [tuple(check) for check in look(call)]


@pytest.mark.parametrize(
    ("days", "verdict", "said"), [(-1, "fail", "ended"), (9, "warn", "ends"), (90, "ok", "holds")]
)
def test_the_certificate_that_a_destination_is_shown_is_looked_at(
    tmp_path: Path, days: int, verdict: str, said: str
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("own", client=True, ends_at=NOW + days * DAY)
    tls = {"authority": str(authority.file), "certificate": str(certificate), "key": str(key)}
    there = {"host": "there", "port": 2575, "tls": tls}
    [check] = checks(doctor._destinations, {"outbound": {"there": there}})
    assert check[:2] == ("outbound there", verdict)
    assert check[2].startswith(f"its certificate {said}")


def test_a_profile_that_cannot_be_read_fails_before_the_feed_listens(tmp_path: Path) -> None:
    broken = tmp_path / "broken.profile"
    broken.write_bytes(b"no pickle")
    feeds = {
        "lab": {"strictness": "strict", "profile": str(broken)},
        "pas": {"strictness": "strict"},
        "ris": {},
    }
    found = checks(doctor._profiles, {"feeds": feeds})
    assert [check[:2] for check in found] == [("profile lab", "fail"), ("profile pas", "ok")]
    assert str(broken) in found[0][2]
