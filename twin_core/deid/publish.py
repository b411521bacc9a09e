"""A release as statements: from the rules, a codebook's parameters and a cut-off to tables.

The statements run in the identified store (`twin_core.store.release`), which has the file that is
being written attached as `release`. Every table is written in the order of its pseudonyms, so that
where a row stands says nothing.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from twin_core.deid import stated_sql
from twin_core.deid.codebook import DIGITS, SHIFT_DIGITS, Keys, fingerprint
from twin_core.deid.rules import ColumnRule, Profile, Rules, TableRules, Treatment
from twin_core.deid.stated import OLDEST
from twin_core.deid.zips import SPARSE, sparse_zip3
from twin_core.store.tables import ENTITIES, Entity

Precision = Literal["hour", "exact"]
Step = tuple[str, Sequence[Any] | Mapping[str, Any]]
RARE = "(rare)"
"""What a code becomes that too few patients share."""
_BLOCK = 64
"""Bytes of a block of SHA-256."""


class Edition(NamedTuple):
    """What is asked of a release."""

    profile: Profile
    cut_off: datetime
    """Visits that ended before it are in a release; in `limited`, the year that ages count from."""
    shift_weeks: int
    cell: int
    known: tuple[str, ...] = ()
    precision: Precision = "hour"


def secrets_of(keys: Keys) -> dict[str, bytes]:
    """The padded keys of HMAC (RFC 2104), as the statements ask for them."""
    return {
        f"{name}_{side}": _padded(key, pad)
        for name, key in (("pseudonym", keys.pseudonym), ("shift", keys.shift))
        for side, pad in (("inner", 0x36), ("outer", 0x5C))
    }


def steps(rules: Rules, keys: Keys, edition: Edition, unlisted: Iterable[Any] = ()) -> list[Step]:
    """Everything that fills the new file, in order."""
    return [
        *codebook(),
        *words(rules, edition),
        ("CREATE SCHEMA release.twin", ()),
        ("CREATE SCHEMA release.deid", ()),
        *(step for table in rules.tables.values() for step in table_steps(rules, table, edition)),
        *account(rules, keys, edition, unlisted),
        *_site(edition),
    ]


def table_steps(rules: Rules, table: TableRules, edition: Edition) -> Iterator[Step]:
    """One table of the release; none where the profile has nothing of it."""
    chosen = projection(rules, table, edition)
    if chosen is not None:
        yield f'CREATE TABLE release.twin."{table.name}" AS {chosen} ORDER BY ALL', ()


def projection(
    rules: Rules,
    table: TableRules,
    edition: Edition,
    source: str | None = None,
    more: Sequence[str] = (),
) -> str | None:
    """One table as a SELECT over `source` (by default the identified view of now).

    Needs the temporary tables and macros of `steps`; `more` are further columns, which name nobody.
    None where a profile has nothing of it.
    """
    kept = rules.kept(table.name, edition.profile)
    if not kept:
        return None
    columns = [_column(rule, treatment, edition) for rule, treatment in kept]
    columns += [f"{sql} AS {name}" for name, sql in _derived(table, edition)]
    chosen = ", ".join((*columns, *more))
    source = source or f'wardtwin.twin."{table.name}"'
    if edition.profile == "limited":
        # Nothing moves and nothing is left out, so that nobody need be looked up.
        return f"SELECT {chosen} FROM {source} r"
    where = _WHERE[table.of] if table.of else "true"
    if table.name == "patient":
        where += " AND r.merged_into IS NULL"
    if table.name == "encounter":
        where += " AND r.admitted_at IS NOT NULL"
    return f"SELECT {chosen} FROM {source} r {_JOIN[table.of]} WHERE {where}"


def has_kpis(edition: Edition) -> bool:
    """Whether the KPIs, or some, can be asked of the release itself."""
    return edition.profile == "limited" or (
        edition.profile == "shifted" and edition.precision == "exact"
    )


def finishing(rules: Rules, edition: Edition) -> list[str]:
    """What the new file gets besides tables where KPIs are asked of it: rows as they are now."""
    if not has_kpis(edition):
        return []
    present = [
        (entity.name, found) for entity in ENTITIES if (found := _as_known(rules, entity, edition))
    ]
    macros = (
        f'CREATE MACRO history."{name}"(known_at) AS TABLE {found}' for name, found in present
    )
    return ["CREATE SCHEMA history", *macros]


def _as_known(rules: Rules, entity: Entity, edition: Edition) -> str:
    """A table for the KPIs; in `shifted` with NULL for what is dropped, since those that it has
    ask for none of it."""
    kept = {rule.column for rule, _ in rules.kept(entity.name, edition.profile)}
    if edition.profile == "limited":
        return f'SELECT * FROM twin."{entity.name}"' if kept else ""
    columns = ", ".join(
        f'"{c.name}"' if c.name in kept else f'NULL::{c.type} AS "{c.name}"' for c in entity.columns
    )
    return (
        f'SELECT {columns} FROM twin."{entity.name}"' if kept else f"SELECT {columns} WHERE false"
    )


# --- whose, and when -----------------------------------------------------------------------------

_JOIN = {
    None: "",
    "patient_id": "LEFT JOIN deid_person w ON w.patient_id = r.patient_id",
    "encounter_id": "LEFT JOIN deid_visit w ON w.encounter_id = r.encounter_id",
}
_WHERE = {"patient_id": "w.released", "encounter_id": "w.released"}


def codebook() -> Iterator[Step]:
    """Pseudonyms and shifts as temporary macros over the secrets of `secrets_of`."""
    # HMAC(K, m) = H(K^opad || H(K^ipad || m)); the padded keys are rows of a temporary table.
    for name, digits in (("pseudonym", DIGITS), ("shift", SHIFT_DIGITS)):
        inner, outer = (
            f"(SELECT value FROM deid_secret WHERE name = '{name}_{side}')"
            for side in ("inner", "outer")
        )
        yield (
            f"CREATE TEMP MACRO deid_{name}(kind, said) AS sha256({outer} || from_hex(sha256("
            f"{inner} || encode(kind || chr(31) || said))))[:{digits}]",
            (),
        )
    yield (
        "CREATE TEMP MACRO deid_code(kind, said) AS"
        " CASE WHEN said IS NOT NULL THEN kind || deid_pseudonym(kind, said) END",
        (),
    )
    yield (
        "CREATE TEMP MACRO deid_weeks(patient, most) AS"
        " 1 + ('0x' || deid_shift('patient', patient))::BIGINT % most",
        (),
    )


def _people(edition: Edition) -> Iterator[Step]:
    yield _SURVIVOR, ()
    yield "CREATE TEMP TABLE deid_zone AS " + _ZONES, ()
    yield (
        _VISIT,
        {"weeks": edition.shift_weeks, "cut_off": edition.cut_off, "all": _is_live(edition)},
    )
    yield _PERSON, {"weeks": edition.shift_weeks, "all": _is_live(edition)}


def _is_live(edition: Edition) -> bool:
    return edition.profile == "limited"


_SURVIVOR = """
CREATE TEMP TABLE deid_survivor AS
WITH RECURSIVE path AS (
    SELECT patient_id, patient_id AS reached, merged_into, 0 AS step FROM wardtwin.twin.patient
    UNION ALL
    SELECT p.patient_id, m.patient_id, m.merged_into, p.step + 1
    FROM path p JOIN wardtwin.twin.patient m ON m.patient_id = p.merged_into WHERE p.step < 100
)
SELECT patient_id, arg_max(reached, step) AS survivor FROM path GROUP BY patient_id"""

_ZONES = """
SELECT facility, time_zone AS zone FROM wardtwin.core.facility
UNION ALL
SELECT NULL, CASE WHEN count(DISTINCT time_zone) = 1 THEN min(time_zone) ELSE 'UTC' END
FROM wardtwin.core.facility"""

# A visit without a patient is shifted by itself. What is still going on at the cut-off is not in a
# release, and neither is what never began.
_VISIT = """
CREATE TEMP TABLE deid_visit AS
SELECT e.encounter_id, coalesce(s.survivor, e.patient_id, e.encounter_id) AS survivor,
       coalesce(z.zone, n.zone, 'UTC') AS zone, e.admitted_at,
       deid_weeks(coalesce(s.survivor, e.patient_id, e.encounter_id), $weeks) AS weeks,
       p.birth_date,
       $all OR (e.discharged_at < $cut_off AND e.admitted_at <= e.discharged_at
                AND e.status NOT IN ('cancelled', 'entered-in-error')) IS TRUE AS released
FROM wardtwin.twin.encounter e
LEFT JOIN deid_survivor s ON s.patient_id = e.patient_id
LEFT JOIN wardtwin.twin.patient p ON p.patient_id = coalesce(s.survivor, e.patient_id)
LEFT JOIN deid_zone z ON z.facility = e.facility
LEFT JOIN deid_zone n ON n.facility IS NULL"""

_PERSON = """
CREATE TEMP TABLE deid_person AS
WITH seen AS (
    SELECT survivor, any_value(zone) AS zone, bool_or(released) AS released
    FROM deid_visit GROUP BY survivor
)
SELECT s.patient_id, s.survivor, coalesce(v.zone, n.zone, 'UTC') AS zone,
       deid_weeks(s.survivor, $weeks) AS weeks, $all OR coalesce(v.released, false) AS released
FROM deid_survivor s LEFT JOIN seen v ON v.survivor = s.survivor
LEFT JOIN deid_zone n ON n.facility IS NULL"""


# --- codes ---------------------------------------------------------------------------------------


def words(rules: Rules, edition: Edition) -> Iterator[Step]:
    """The people who are released, and the codes that pass: vouched for, or shared by enough."""
    yield from _people(edition)
    yield "CREATE TEMP TABLE deid_word (word VARCHAR, code VARCHAR)", ()
    vouched = [
        (name, code)
        for name, listed in rules.words.items()
        for code in dict.fromkeys((*listed.known, *edition.known))
    ]
    yield insert("deid_word", vouched)
    for name, listed in rules.words.items():
        counted = [_counted(rules.tables[table], column) for table, column in listed.columns]
        if counted:
            yield (
                f"INSERT INTO deid_word SELECT '{name}', code FROM ({' UNION ALL '.join(counted)})"
                " WHERE code IS NOT NULL GROUP BY code"
                f" HAVING count(DISTINCT survivor) >= {edition.cell}",
                (),
            )


def _counted(table: TableRules, column: str) -> str:
    return (
        f'SELECT r."{column}" AS code, w.survivor FROM wardtwin.twin."{table.name}" r'
        f" {_JOIN[table.of]} WHERE w.released"
    )


# --- columns -------------------------------------------------------------------------------------


def _column(rule: ColumnRule, treatment: Treatment, edition: Edition) -> str:
    """One column of a table as SQL; `r` is the row, `w` the visit or the person."""
    named = f"{rule.column.removesuffix('_at')}_year" if treatment == "year" else rule.column
    return f'{_TREATED[treatment](rule, edition)} AS "{named}"'


def _keep(rule: ColumnRule, edition: Edition) -> str:
    return f'r."{rule.column}"'


def _pseudonym(rule: ColumnRule, edition: Edition) -> str:
    return f"deid_code('{rule.word}', {_keep(rule, edition)})"


def _spot(rule: ColumnRule, edition: Edition) -> str:
    places = ("facility", "unit", "room", "bed")
    above = places[: places.index(rule.column) + 1]
    path = " || '/' || ".join(f"coalesce(r.{place}, '')" for place in above)
    named = f"CASE WHEN r.{rule.column} IS NOT NULL THEN {path} END"
    return f"deid_code('{rule.column[0]}', {named})"


def _code(rule: ColumnRule, edition: Edition) -> str:
    said = _keep(rule, edition)
    passing = f"(SELECT code FROM deid_word WHERE word = '{rule.word}')"
    return (
        f"CASE WHEN {said} IS NULL OR {said} = '' OR {said} IN {passing} THEN {said}"
        f" ELSE '{RARE}' END"
    )


def _measured(rule: ColumnRule, edition: Edition) -> str:
    """A number, where the code of its row passes: a rare code may be that of a number, too."""
    coded = _code(rule._replace(column="code"), edition)
    return f"CASE WHEN {coded} <> '{RARE}' THEN {stated_sql.number(_keep(rule, edition))} END"


def _said(rule: ColumnRule, edition: Edition) -> str:
    """A value as text that enough patients share and that tells nothing of one."""
    said = _keep(rule, edition)
    telling = stated_sql.is_telling(said, dates_pass=edition.profile == "limited")
    return (
        f"CASE WHEN {said} IS NULL OR NOT ({telling}) THEN {_code(rule, edition)} ELSE '{RARE}' END"
    )


def _shift(rule: ColumnRule, edition: Edition) -> str:
    said = _keep(rule, edition)
    moved = f"{said} - to_days((7 * w.weeks)::INTEGER)"
    whole = f"date_trunc('hour', {moved})" if edition.precision == "hour" else moved
    return f"CASE WHEN {_told(rule, edition)} THEN {whole} END"


def _year(rule: ColumnRule, edition: Edition) -> str:
    return f"CASE WHEN {_told(rule, edition)} THEN year({_local(_keep(rule, edition))}) END"


def _told(rule: ColumnRule, edition: Edition) -> str:
    """Whether an instant is told: before the cut-off, and of no year that tells an age over 89.
    The time of an observation of a birth date may be that date."""
    said = _keep(rule, edition)
    earliest = f"year({_local(said)}) > {edition.cut_off.year - OLDEST}"
    birth = f" AND NOT {stated_sql.is_birth()}" if rule.word == "observed" else ""
    return f"{said} < {_instant(edition)} AND {earliest}{birth}"


def _capped(rule: ColumnRule, edition: Edition) -> str:
    earliest = f"make_date({edition.cut_off.year - OLDEST}, 1, 1)"
    return f"CASE WHEN r.birth_date < {earliest} THEN {earliest} ELSE r.birth_date END"


def _zip3(rule: ColumnRule, edition: Edition) -> str:
    said = _keep(rule, edition)
    sparse = ", ".join(f"'{zip3}'" for zip3 in sorted(sparse_zip3()))
    first = f"left({said}, 3)"
    return (
        f"CASE WHEN NOT regexp_full_match({said}, '[0-9]{{5}}(-?[0-9]{{4}})?') THEN NULL"
        f" WHEN {first} IN ({sparse}) THEN '{SPARSE}' ELSE {first} END"
    )


_TREATED: Mapping[Treatment, Callable[[ColumnRule, Edition], str]] = {
    "keep": _keep,
    "code": _code,
    "measured": _measured,
    "said": _said,
    "pseudonym": _pseudonym,
    "spot": _spot,
    "shift": _shift,
    "year": _year,
    "capped": _capped,
    "zip3": _zip3,
}


def _instant(edition: Edition) -> str:
    return f"TIMESTAMPTZ '{edition.cut_off.isoformat()}'"


def _local(said: str) -> str:
    return f"timezone(w.zone, {said})"


def _derived(table: TableRules, edition: Edition) -> Iterator[tuple[str, str]]:
    """Columns computed before the shift: local weekday and hour, lengths, ages."""
    for kind, *columns in table.derived:
        yield from _DERIVED[edition.profile].get(kind, _none)(*columns)


def _none(*columns: str) -> Iterator[tuple[str, str]]:
    yield from ()


def _weekday(column: str) -> Iterator[tuple[str, str]]:
    yield f"{column.removesuffix('_at')}_weekday", f"isodow({_local(f'r.{column}')})"


def _hour(column: str) -> Iterator[tuple[str, str]]:
    yield f"{column.removesuffix('_at')}_hour", f"hour({_local(f'r.{column}')})"


def _length(start: str, end: str) -> Iterator[tuple[str, str]]:
    yield "hours", f"date_sub('hour', r.{start}, r.{end})"
    yield "nights", f"date_diff('day', {_local(f'r.{start}')}::DATE, {_local(f'r.{end}')}::DATE)"


def _length_band(start: str, end: str) -> Iterator[tuple[str, str]]:
    hours = f"date_sub('hour', r.{start}, r.{end})"
    bounds = (
        (4, "under 4 hours"),
        (24, "4 to 24 hours"),
        (72, "1 to 3 days"),
        (168, "3 to 7 days"),
    )
    bands = " ".join(f"WHEN {hours} < {bound} THEN '{band}'" for bound, band in bounds)
    yield "length_band", f"CASE WHEN {hours} IS NULL THEN NULL {bands} ELSE 'over 7 days' END"


def _age(column: str) -> Iterator[tuple[str, str]]:
    years = f"date_diff('year', w.birth_date, {_local(f'r.{column}')}::DATE)"
    birthday = f"strftime({_local(f'r.{column}')}, '%m%d') < strftime(w.birth_date, '%m%d')"
    whole = f"({years} - CASE WHEN {birthday} THEN 1 ELSE 0 END)"
    yield "age_years", f"CASE WHEN {whole} >= 0 THEN least({whole}, {OLDEST}) END"


_DERIVED: Mapping[Profile, Mapping[str, Any]] = {
    "limited": {},
    "shifted": {"weekday": _weekday, "hour": _hour, "length": _length, "age": _age},
    "safe_harbor": {"length": _length_band, "age": _age},
}


# --- the release's account of itself -------------------------------------------------------------


def account(
    rules: Rules, keys: Keys, edition: Edition, unlisted: Iterable[Any], to: str = "release"
) -> Iterator[Step]:
    """What made the file `to` and what it left out; never when it was cut off."""
    yield f"CREATE TABLE {to}.deid.release (key VARCHAR, value VARCHAR)", ()
    told = {
        "profile": edition.profile.replace("_", "-"),
        "keys": fingerprint(keys),
        "rules": rules.digest,
        "precision": edition.precision if edition.profile == "shifted" else "",
        "cell": str(edition.cell),
        "shift_weeks": str(edition.shift_weeks) if edition.profile == "shifted" else "",
    }
    yield insert(f"{to}.deid.release", list(told.items()))
    yield (
        f"CREATE TABLE {to}.deid.dropped (table_name VARCHAR, column_name VARCHAR, reason VARCHAR)",
        (),
    )
    dropped = [
        (rule.table, rule.column, rule.reason)
        for rule in rules.every()
        if rules.treatment(rule, edition.profile) == "drop"
    ]
    dropped += [(table, column, "no rule names it") for table, column in unlisted]
    yield insert(f"{to}.deid.dropped", dropped)


def site(to: str = "release") -> Iterator[Step]:
    """What the KPIs ask of a site's settings."""
    yield f"CREATE SCHEMA {to}.core", ()
    yield (
        f"CREATE TABLE {to}.core.facility AS"
        " SELECT facility, time_zone FROM wardtwin.core.facility",
        (),
    )
    yield f"CREATE TABLE {to}.core.kpi_setting AS FROM wardtwin.core.kpi_setting", ()


def _site(edition: Edition) -> Iterator[Step]:
    """What the KPIs ask of a site. A shifted release knows everything it ever will."""
    if not has_kpis(edition):
        return
    known_at = (
        "known_at" if edition.profile == "limited" else "TIMESTAMPTZ '9999-01-01 00:00:00+00'"
    )
    yield from site()
    yield (
        f"CREATE TABLE release.core.batch AS SELECT 1::BIGINT AS batch_no, max({known_at})"
        " AS known_at FROM wardtwin.core.batch",
        (),
    )


def insert(table: str, rows: Sequence[tuple[Any, ...]]) -> Step:
    """All rows at once: a statement for each of them takes longer than everything else."""
    marks = ", ".join(f"({', '.join('?' * len(row))})" for row in rows)
    return f"INSERT INTO {table} VALUES {marks}", [cell for row in rows for cell in row]


def _padded(key: bytes, pad: int) -> bytes:
    if len(key) > _BLOCK:
        key = hashlib.sha256(key).digest()
    return bytes(byte ^ pad for byte in key.ljust(_BLOCK, b"\0"))
