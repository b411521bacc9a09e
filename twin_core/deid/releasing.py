"""Publishing a release of a store: what was asked, checked, written, and what came of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from twin_core.deid.codebook import Keys, fingerprint
from twin_core.deid.figures import cube_step, figure_macros, figure_steps
from twin_core.deid.keys import drawn_keys, read_keys
from twin_core.deid.publish import (
    Edition,
    Precision,
    finishing,
    has_kpis,
    secrets_of,
    steps,
)
from twin_core.deid.rules import Profile, Rules, rules
from twin_core.errors import ConfigurationError, StoreError, UsageError
from twin_core.settings import Settings
from twin_core.store.database import Database
from twin_core.store.release import RELEASE, columns_of, read_release, write_release


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What a release holds, and what it does not."""

    path: str
    profile: str
    keys: str
    """Which keys made it; the word `thrown away` for keys that nobody has."""
    rows: dict[str, int]
    visits_left_out: int
    """Visits that had not ended at the cut-off, were cancelled or never began."""
    unlisted: list[str]
    """Columns that no rule names; they were dropped."""


def publish(
    database: Database,
    path: Path,
    profile: Profile,
    settings: Settings,
    now: datetime,
    *,
    macros: Sequence[str] = (),
    cut_off: datetime | None = None,
    precision: Precision = "hour",
) -> Published:
    """Write a release of everything a profile has, in the place of an earlier one.

    Raises ConfigurationError where there are no keys, UsageError for a cut-off to come.
    """
    _replaceable(path)
    listed, keys = rules(), keys_for(profile, settings)
    edition = Edition(
        profile,
        _cut_off(profile, settings, now, cut_off),
        settings.deid.shift_weeks,
        settings.deid.cell,
        known_words(settings),
        precision,
    )
    unlisted = listed.unlisted(columns_of(database.cursor()))
    write_release(
        database.connection,
        path,
        secrets_of(keys),
        [
            *steps(listed, keys, edition, unlisted),
            cube_step(RELEASE, facilities=profile != "safe_harbor"),
            *figure_steps(RELEASE, facilities=profile != "safe_harbor"),
        ],
        finishing(listed, edition),
        [*(macros if has_kpis(edition) else ()), *figure_macros(_moved(listed, edition))],
    )
    return _told(database, path, listed, edition, keys, [".".join(one) for one in unlisted])


def _moved(listed: Rules, edition: Edition) -> list[str]:
    """KPIs that cannot be asked of the release's rows, and are told as they were published."""
    if edition.profile == "limited":
        return []
    kept = listed.kpis if has_kpis(edition) else ()
    return [kpi for kpi in listed.published if kpi not in kept]


def keys_for(profile: Profile, settings: Settings) -> Keys:
    """The site's keys; for `safe_harbor` fresh ones, since no code may be derived from an
    identifier by anyone who kept a key (45 CFR 164.514(c)).

    Raises ConfigurationError where the site has none.
    """
    if profile == "safe_harbor":
        return drawn_keys()
    keys = read_keys(settings.deid)
    if keys is None:
        raise ConfigurationError(
            "There are no keys for pseudonyms and shifts.",
            do="Make them with `wardtwin deid keys FILE`, and name the file in [deid] keys_file.",
        )
    return keys


def known_words(settings: Settings) -> tuple[str, ...]:
    """The codes that a site's own settings name: its facilities, units and services."""
    named = [*settings.deid.known, *settings.facilities]
    for feed in settings.feeds.values():
        named += [feed.facility, *feed.facilities.values(), *feed.units.values()]
        named += [*feed.services.values(), *feed.classes.values()]
        named += [part for place in feed.beds.values() for part in place.split("/")[-4:-2]]
    named += [word for _, *row in settings.kpi.rows() for word in row]
    return tuple(dict.fromkeys(word for word in named if word))


def _replaceable(path: Path) -> None:
    if path.exists():
        try:
            read_release(path, "SELECT key FROM deid.release")
        except StoreError:
            raise UsageError(
                f"{path} exists and is no release.", do="Name a new file, or an earlier release."
            ) from None


def _cut_off(
    profile: Profile, settings: Settings, now: datetime, asked: datetime | None
) -> datetime:
    """A release time tells nothing of an instant that is at least the greatest shift older."""
    if asked is not None and asked > now:
        raise UsageError("The cut-off is still to come.", do="Name an instant that has passed.")
    usual = now - timedelta(weeks=settings.deid.shift_weeks) if profile == "shifted" else now
    at = asked or usual
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _told(
    database: Database,
    path: Path,
    listed: Rules,
    edition: Edition,
    keys: Keys,
    unlisted: list[str],
) -> Published:
    names = [name for name in listed.tables if listed.kept(name, edition.profile)]
    counts = " UNION ALL ".join(
        f"SELECT '{name}' AS name, count(*) AS n FROM twin.\"{name}\""  # noqa: S608 - our own names
        for name in names
    )
    rows = {str(row["name"]): _number(row["n"]) for row in read_release(path, counts)}
    [visits] = database.query("SELECT count(*) AS n FROM twin.encounter")
    return Published(
        path=str(path),
        profile=edition.profile.replace("_", "-"),
        keys="thrown away" if edition.profile == "safe_harbor" else fingerprint(keys),
        rows=rows,
        visits_left_out=_number(visits["n"]) - rows["encounter"],
        unlisted=unlisted,
    )


def _number(count: object) -> int:
    return int(str(count))
