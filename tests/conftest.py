"""What every test stands on: a new store begins as a copy of one blank store, made once.

Creating the schema, the views and the KPI catalogue costs a second of processor time, and hundreds
of tests open a store. The blank one is made by the same code as any other and has no identity yet;
a store with a key, a site's own KPIs or an older schema is still made from nothing, and so is every
store of a process that a test starts.

No test fails for being slow: generated examples have no deadline, on however busy a machine.
Tests over sockets and with servers wait for a third of their time, so one runs more than there are
processors.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, settings

from twin_core.kpi import catalogue
from twin_core.kpi.site import known_kpis
from twin_core.store import database
from twin_core.store.database import connect, install_views, migrate

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many run at once with `-n auto`."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session", autouse=True)
def blank_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file that new stores are copied from."""
    blank = tmp_path_factory.mktemp("blank") / "blank.duckdb"
    connection = connect(blank)
    migrate(connection)
    install_views(connection, catalogue.statements(known_kpis(None)))
    connection.close()
    assert not blank.with_name("blank.duckdb.wal").exists()

    def from_blank(path: Path, **options: object) -> duckdb.DuckDBPyConnection:
        ordinary = not any(given for name, given in options.items() if name != "memory_limit")
        if ordinary and path.name != ":memory:" and path.parent.is_dir() and not path.exists():
            shutil.copyfile(blank, path)
        return connect(path, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(database, "connect", from_blank)
        yield blank
