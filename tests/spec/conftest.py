"""One store for the spec tests, emptied for each of them."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from twin_core import Twin
from twin_core.kpi import catalogue
from twin_core.store.database import Database, install_views, migrate

# drawn.py, oracle.py and wards.py lie beside the tests that read like tables because of them.
sys.path.insert(0, str(Path(__file__).parent))

from drawn import Hospital
from wards import SETTINGS, WARDS, Ward


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    opened = Database(Path(":memory:"))
    migrate(opened.connection)
    install_views(opened.connection, catalogue.statements())
    yield opened
    opened.close()


@pytest.fixture
def draw(database: Database) -> Callable[..., Hospital]:
    """Draws an empty hospital: draw(zone="Europe/Berlin", known="2026-11-02")."""

    def empty(zone: str = "UTC", known: str = "2027-01-01") -> Hospital:
        return Hospital(database, zone, known)

    return empty


@pytest.fixture(scope="session")
def adt_twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    with Twin.open(tmp_path_factory.mktemp("adt") / "adt.duckdb", settings=SETTINGS) as opened:
        yield opened


@pytest.fixture
def ward(adt_twin: Twin) -> Ward:
    """A facility of its own that hears drawn ADT messages."""
    return Ward(adt_twin, next(WARDS))
