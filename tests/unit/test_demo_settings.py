"""What a demo sets on top of its user's settings, so that no page of it is empty."""

from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from api.demo import demo_settings, shown_whole
from api.research import research_desk
from tests.unit.simulated_store import simulated
from twin_core.settings import AlertSettings, DeidSettings, KpiSettings, Settings
from twin_core.simulation.model import load_hospital
from twin_core.twin import Twin

KEYS = ("11" * 32, "22" * 32)


def whole(base: Settings) -> Settings:
    keys = iter(KEYS)
    return shown_whole(demo_settings(load_hospital("riverside"), base), lambda: next(keys))


def test_a_demo_offers_sql_without_identities_and_watches_its_emergency_department(
    tmp_path: Path,
) -> None:
    settings = whole(Settings())
    # A store opens only where every alert is about a figure that there is.
    with Twin.open(tmp_path / "demo.duckdb", settings=settings) as twin:
        desk = research_desk(twin)
        try:
            assert "limited" in desk.names
        finally:
            desk.close()
    watched = {alert.kpi for alert in settings.alerts.values()}
    assert watched == {"ed_census", "boarding"}


def test_the_theatres_of_a_demo_have_figures(tmp_path: Path) -> None:
    with simulated(tmp_path / "demo.duckdb") as twin:
        start = twin.clock.now() - timedelta(days=64)
        used = twin.kpi("or_raw", start, twin.clock.now(), grain="all", by="hospital")
        assert [row.numerator for row in used if row.stratum is None and row.numerator] != []
    own = Settings(kpi=KpiSettings(theatres=("THEATRE",)))
    assert whole(own).kpi.theatres == ("THEATRE",)


def test_a_demo_draws_two_keys_and_keeps_what_its_user_configured() -> None:
    drawn = whole(Settings()).deid
    assert drawn.pseudonym_key is not None
    assert drawn.shift_key is not None
    assert drawn.pseudonym_key.get_secret_value() != drawn.shift_key.get_secret_value()
    own = {"beds": AlertSettings(kpi="beds_available", below=5)}
    mine = {"pseudonym_key": SecretStr("ab" * 32), "shift_key": SecretStr("cd" * 32)}
    kept = whole(Settings(alerts=own, deid=DeidSettings(**mine, cell=20)))
    assert (kept.alerts, kept.deid.pseudonym_key, kept.deid.cell) == (
        own,
        mine["pseudonym_key"],
        20,
    )
