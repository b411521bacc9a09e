"""The live `limited` profile: rows without direct identifiers that follow the store as it changes.

Nothing is shifted here, because a shift could be told from what arrives now: instants are real,
and what is left out is what `rules.toml` says of `limited`, column by column. The file holds rows
as they are now and nothing of the past, so that a merge shows under the survivor's pseudonym only.
The codes that pass are counted again from time to time; one that is newly shared by enough
patients shows with the next count.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from twin_core.clock import Clock
from twin_core.deid.codebook import Keys
from twin_core.deid.figures import figure_macros, figure_steps
from twin_core.deid.publish import (
    Edition,
    Step,
    account,
    codebook,
    insert,
    projection,
    secrets_of,
    site,
    words,
)
from twin_core.deid.releasing import keys_for, known_words
from twin_core.deid.rules import Rules, rules
from twin_core.settings import Settings
from twin_core.store.database import Database
from twin_core.store.release import columns_of, follow_release, write_release
from twin_core.store.tables import ENTITIES, Entity

LIVE = "limited"
"""The catalog under which statements find the file that follows the store."""
AGGREGATES = "aggregates"
"""The profile of published figures, and the catalogue under which statements find its file."""
COUNT_AGAIN_S = 600.0
COUNT_SHARE = 0.01
"""Codes are counted again after ten minutes, and never for more than this share of the time."""
Ask = Callable[[str], list[tuple[Any, ...]]]


class Limited:
    """What is kept between two looks at a store: under which keys, and when codes were counted."""

    def __init__(
        self, database: Database, settings: Settings, clock: Clock, macros: Sequence[str]
    ) -> None:
        """Raises ConfigurationError where the site has no keys."""
        self._database, self._settings, self._clock = database, settings, clock
        self._macros = macros
        self._rules, self._keys = rules(), keys_for("limited", settings)
        self._counted_at, self._count_s, self._year = float("-inf"), 0.0, 0

    def snapshot(self, path: Path) -> int:
        """Write the whole file anew, as of one batch; return the batch's number."""
        edition, began = self._edition(), time.monotonic()
        unlisted = self._rules.unlisted(columns_of(self._database.cursor()))
        write_release(
            self._database.connection,
            path,
            secrets_of(self._keys),
            list(snapshot_steps(self._rules, self._keys, edition, unlisted)),
            finishing(self._rules, edition),
            self._macros,
            catalog=LIVE,
            key=self._database.key,
        )
        self._counted_at, self._year = time.monotonic(), edition.cut_off.year
        self._count_s = self._counted_at - began
        # What came while the rows were copied is in the changes.
        return self._followed(path, edition)

    def changes(self, path: Path) -> int:
        """Bring the file, open nowhere, up to the last batch; return that batch's number."""
        edition = self._edition()
        if edition.cut_off.year != self._year or self._is_time_to_count():
            # Ages and codes of all rows may be told otherwise from now on.
            return self.snapshot(path)
        return self._followed(path, edition)

    def _followed(self, path: Path, edition: Edition) -> int:
        sequence = 0

        def steps(ask: Ask) -> Iterator[Step]:
            nonlocal sequence
            sequence = int(ask("SELECT coalesce(max(batch_no), 0) FROM wardtwin.core.batch")[0][0])
            yield from change_steps(self._rules, edition, ask)

        secrets, key = secrets_of(self._keys), self._database.key
        follow_release(self._database.connection, path, secrets, steps, LIVE, key)
        return sequence

    def _is_time_to_count(self) -> bool:
        since = time.monotonic() - self._counted_at
        return since > max(COUNT_AGAIN_S, self._count_s / COUNT_SHARE)

    def _edition(self) -> Edition:
        deid = self._settings.deid
        known = known_words(self._settings)
        return Edition("limited", self._clock.now(), deid.shift_weeks, deid.cell, known)


class Aggregates:
    """What may be asked of figures that were published without identities, week by week."""

    def __init__(
        self, database: Database, cell: int, refresh: Callable[[], tuple[int, datetime | None]]
    ) -> None:
        """`refresh` publishes what is due; it tells the last batch and the end of the last week."""
        self._database, self._cell, self._refresh = database, cell, refresh
        self._until: datetime | None = None

    def snapshot(self, path: Path) -> int:
        """Write the whole file; return the number of the last batch before it."""
        sequence, self._until = self._refresh()
        self._write(path)
        return sequence

    def changes(self, path: Path) -> int:
        """Write the file, open nowhere, anew where a week was published since; as `snapshot`."""
        sequence, until = self._refresh()
        if until != self._until:
            self._until = until
            self._write(path)
        return sequence

    def _write(self, path: Path) -> None:
        told = [("profile", AGGREGATES), ("cell", str(self._cell))]
        write_release(
            self._database.connection,
            path,
            {},
            [
                (f"CREATE SCHEMA {AGGREGATES}.deid", ()),
                (f"CREATE TABLE {AGGREGATES}.deid.release (key VARCHAR, value VARCHAR)", ()),
                insert(f"{AGGREGATES}.deid.release", told),
                *figure_steps(AGGREGATES),
            ],
            figure_macros(rules().published),
            catalog=AGGREGATES,
            key=self._database.key,
        )


def snapshot_steps(
    rules: Rules, keys: Keys, edition: Edition, unlisted: Sequence[Any]
) -> Iterator[Step]:
    """Everything that fills a new file."""
    yield from codebook()
    yield from words(rules, edition)
    for schema in ("present", "twin", "deid"):
        yield f"CREATE SCHEMA {LIVE}.{schema}", ()
    for entity in _entities(rules):
        source = f"(FROM wardtwin.core.{entity.name}_version WHERE known_to = 'infinity')"
        chosen = _chosen(rules, edition, entity, source)
        yield f"CREATE TABLE {LIVE}.present.{entity.name} AS {chosen}", ()
    yield f"CREATE TABLE {LIVE}.deid.word AS FROM deid_word", ()
    yield from account(rules, keys, edition, unlisted, LIVE)
    yield from site(LIVE)
    yield f"CREATE TABLE {LIVE}.core.batch AS {_LAST}", ()


def change_steps(rules: Rules, edition: Edition, ask: Ask) -> Iterator[Step]:
    """What became otherwise since the file's own batch, found by instants of knowledge, so that the
    work grows with the change and not with the store."""
    [(known,)] = ask(f"SELECT known_at::VARCHAR FROM {LIVE}.core.batch") or [("-infinity",)]
    since = f"known_from > '{known}' OR (known_to > '{known}' AND known_to < 'infinity')"
    found = " UNION ALL ".join(
        f"SELECT '{entity.name}' WHERE EXISTS (FROM wardtwin.core.{entity.name}_version"
        f" WHERE {since})"
        for entity in _entities(rules)
    )
    changed = {name for (name,) in ask(found)}
    if changed:
        yield from codebook()
        yield f"CREATE TEMP TABLE deid_word AS FROM {LIVE}.deid.word", ()
    for entity in _entities(rules):
        if entity.name not in changed:
            continue
        versions = f"wardtwin.core.{entity.name}_version"
        yield (
            f"DELETE FROM {LIVE}.present.{entity.name} WHERE version_no IN (SELECT version_no"
            f" FROM {versions} WHERE known_to > '{known}' AND known_to < 'infinity')",
            (),
        )
        source = f"(FROM {versions} WHERE known_from > '{known}' AND known_to = 'infinity')"
        chosen = _chosen(rules, edition, entity, source)
        yield f"INSERT INTO {LIVE}.present.{entity.name} {chosen}", ()
    yield f"DELETE FROM {LIVE}.core.batch", ()
    yield f"INSERT INTO {LIVE}.core.batch {_LAST}", ()


def finishing(rules: Rules, edition: Edition) -> list[str]:
    """The names by which rows are asked for: as in a release, with what each column means."""
    return ["CREATE SCHEMA history", *(s for e in _entities(rules) for s in _names(rules, e))]


def _names(rules: Rules, entity: Entity) -> Iterator[str]:
    kept = {rule.column for rule, _ in rules.kept(entity.name, "limited")}
    shown = [column for column in entity.columns if column.name in kept]
    columns = ", ".join(f'"{column.name}"' for column in shown)
    yield f'CREATE VIEW twin."{entity.name}" AS SELECT {columns} FROM present."{entity.name}"'
    yield f'COMMENT ON VIEW twin."{entity.name}" IS {_quoted(entity.comment)}'
    for column in shown:
        yield (
            f'COMMENT ON COLUMN twin."{entity.name}"."{column.name}" IS {_quoted(column.comment)}'
        )
    yield f'CREATE MACRO history."{entity.name}"(known_at) AS TABLE FROM twin."{entity.name}"'


def _chosen(rules: Rules, edition: Edition, entity: Entity, source: str) -> str:
    chosen = projection(rules, rules.tables[entity.name], edition, source, ["r.version_no"])
    return chosen or ""


def _entities(rules: Rules) -> list[Entity]:
    return [entity for entity in ENTITIES if rules.kept(entity.name, "limited")]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_LAST = """
SELECT batch_no, known_at FROM wardtwin.core.batch ORDER BY batch_no DESC LIMIT 1"""
