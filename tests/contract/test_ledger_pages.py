"""The ledger as a page: who saw what, and whether it is what was written."""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from api.app import create_app
from api.settings_shown import STARS, flattened, shown
from tests.contract.conftest import SETTINGS, StoppedClock
from twin_core.audit import ledger_path
from twin_core.settings import AuditSettings, DeidSettings, Settings
from twin_core.twin import Twin


@pytest.fixture
def seen(twin: Twin, serve: Callable[..., Any], heard: tuple[bytes, ...]) -> Any:
    """A server whose ledger holds three accesses and a refusal."""
    caller = serve(create_app(twin, origins={"feeds.adt.time_zone": "file site.toml"}))
    caller.post("/v1/hl7v2", content=heard[0])
    twin.wait_applied()
    for path in ("/", "/v1/encounters", "/v1/encounters/e000000000000000000000000"):
        caller.get(path)
    return caller


def acts(text: str) -> list[str]:
    return re.findall(r"<td><code>(.*?)</code></td>", text)


def test_accesses_are_listed_newest_first_and_can_be_narrowed(seen: Any) -> None:
    found = acts(seen.get("/audit").text)
    assert found == ["GET /v1/encounters/{encounter_id}", "GET /v1/encounters", "GET /"]
    assert acts(seen.get("/audit?outcome=refused").text)[-1] == found[0]
    assert acts(seen.get("/audit?what=/v1/encounters&before=3").text) == ["GET /v1/encounters"]
    assert acts(seen.get("/audit?who=nobody").text) == []
    assert "No entry is like that" in seen.get("/audit?until=2020-01-01").text
    assert seen.get("/audit?since=2026-02-31").status_code == 400


def test_accesses_to_one_patient_are_found_by_the_id_and_shown_without_it(
    seen: Any, twin: Twin
) -> None:
    [row] = twin.query("SELECT patient_id FROM twin.patient")
    text = seen.get("/audit", params={"patient": row["patient_id"]}).text
    assert acts(text) == ["GET /v1/encounters", "GET /"]
    listed = text.split('aria-label="Accesses"')[1].split("</table>")[0]
    assert row["patient_id"] not in listed
    csv = seen.get("/audit", params={"patient": row["patient_id"], "format": "csv"})
    assert csv.headers["content-type"].startswith("text/csv")
    lines = csv.text.splitlines()
    assert lines[0].startswith("seq,at,who,kind,act,what,")
    assert len(lines) == 4  # the page before is an access to the patient, too


def test_the_page_says_whether_the_ledger_is_what_was_written(seen: Any, twin: Twin) -> None:
    answer = seen.post("/audit/verify")
    assert (answer.status_code, answer.headers["location"]) == (303, "/audit")
    state = seen.app.state.verification
    state.state(again=True, patience_s=180)
    assert "Nothing was changed, taken out" in seen.get("/audit").text
    with sqlite3.connect(ledger_path(twin.path)) as ledger:
        ledger.execute("DROP TRIGGER IF EXISTS no_update")
        triggers = ledger.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in triggers.fetchall():
            ledger.execute(f'DROP TRIGGER "{name}"')
        ledger.execute(
            "UPDATE entry SET body = CAST(replace(body, 'GET /', 'GET _') AS BLOB) WHERE seq = 2"
        )
    state.state(again=True, patience_s=180)
    text = seen.get("/audit").text
    assert "the ledger is not what was written" in text
    assert re.search(r'<th scope="row">modification</th><td class="num">2</td>', text)


def test_every_value_has_its_origin_and_no_secret_is_shown(seen: Any) -> None:
    text = seen.get("/settings").text
    assert '<tr class="set"><th scope="row"><code>time_zone</code></th>' in text
    assert "file site.toml" in text
    secret = "0123456789abcdef" * 4
    settings = Settings(
        deid=DeidSettings(pseudonym_key=SecretStr(secret)),
        audit=AuditSettings(checkpoints=("https://u:p@bucket.example/x?X-Signature=s3cret",)),
    )
    told = {key: value for key, value, _ in flattened(settings, {})}
    assert told["deid.pseudonym_key"] == STARS
    assert told["audit.checkpoints"] == [f"https://{STARS}@bucket.example/x?{STARS}"]
    assert secret not in repr(told)


def test_an_address_that_cannot_be_read_is_hidden_whole() -> None:
    assert shown("http://[half") == STARS
    assert shown(Path("/a/b")) == "/a/b"


def test_a_page_is_refused_without_its_permission_and_not_linked(
    tmp_path: Path, serve: Callable[..., Any]
) -> None:
    settings = SETTINGS.model_copy(update={"access": _access()})
    with Twin.open(tmp_path / "w.duckdb", settings=settings, clock=StoppedClock()) as twin:
        caller = serve(create_app(twin))
        create = caller.app.state.access.store.create
        for role, opened in (
            ("viewer", {"/", "/kpis"}),
            ("analyst", {"/", "/kpis", "/sql"}),
            ("auditor", {"/audit"}),
            ("interface", {"/", "/kpis", "/settings"}),
            ("administrator", {"/", "/kpis", "/audit", "/settings"}),
        ):
            key = create("a test", [role])[1]
            for path in ("/", "/kpis", "/sql", "/audit", "/settings"):
                answer = caller.get(path, headers={"Authorization": f"Bearer {key}"})
                assert (answer.status_code == 200) == (path in opened), (role, path)
                if answer.status_code == 200:
                    linked = set(re.findall(r'<li><a href="(/\w*)"', answer.text))
                    assert linked & {"/", "/kpis", "/sql", "/audit", "/settings"} == opened


def _access() -> Any:
    from twin_core.settings import AccessSettings

    return AccessSettings(requests_per_minute=100_000)
