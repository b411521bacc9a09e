"""Which profile is asked where none is named: one that the caller may ask."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from api.access.principal import Principal
from api.research import Unopened, opened, research_desk
from twin_core.settings import DeidSettings, Settings
from twin_core.twin import Twin


def test_whoever_may_not_see_real_dates_is_asked_nothing_that_has_them(tmp_path: Path) -> None:
    keys = {"pseudonym_key": SecretStr("ab" * 32), "shift_key": SecretStr("cd" * 32)}
    settings = Settings(deid=DeidSettings(**keys))
    researcher = Principal(id="r", kind="key", roles=("researcher",))
    analyst = Principal(id="a", kind="key", roles=("analyst",))
    with Twin.open(tmp_path / "w.duckdb", settings=settings) as twin:
        desk = research_desk(twin)
        try:
            assert opened(desk, None, researcher) == "aggregates"
            assert opened(desk, None, analyst) == "limited"
            with pytest.raises(Unopened):
                opened(desk, "limited", researcher)
        finally:
            desk.close()
