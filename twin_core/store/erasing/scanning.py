"""Looking for values in the journal and in raw bytes: by a pattern first, exactly after."""

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import duckdb

from twin_core.erased import LEAST_TELLING, telling, words_in

_AT_ONCE = 200
_CHARSETS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")
_HL7_ESCAPES = {"\\": r"\E\ "[:3], "|": r"\F\ "[:3], "^": r"\S\ "[:3], "~": r"\R\ "[:3]}
_HL7_ESCAPES["&"] = r"\T\ "[:3]


def journalled_with(
    connection: duckdb.DuckDBPyConnection, values: Collection[str]
) -> list[tuple[int, int, int, str]]:
    """Events whose JSON holds one of the values: (event_no, node, message_id, payload)."""
    found: dict[int, tuple[int, int, int, str]] = {}
    for pattern in _patterns(_as_json(value) for value in values):
        rows = connection.execute(
            "SELECT event_no, node, message_id, payload FROM core.event"
            " WHERE regexp_matches(payload, ?)",
            [pattern],
        ).fetchall()
        found.update((row[0], row) for row in rows)
    return [found[number] for number in sorted(found)]


def bytes_with(
    connection: duckdb.DuckDBPyConnection, table: str, key: str, words: Collection[str]
) -> Iterator[tuple[Any, ...]]:
    """Rows of a table whose raw bytes hold one of the words: the columns of the key."""
    told = telling(words)
    seen: set[tuple[Any, ...]] = set()
    long = {form for word in words if len(word) >= LEAST_TELLING for form in _as_bytes(word)}
    short = {form for word in words if len(word) < LEAST_TELLING for form in _as_bytes(word)}
    for pattern in (*_patterns(long), *_numbers(short)):
        rows = connection.execute(
            f"SELECT {key}, raw FROM core.{table} WHERE regexp_matches(raw::VARCHAR, ?)", [pattern]
        )
        while several := rows.fetchmany(1_000):
            for *named, raw in several:
                found = tuple(named)
                if found not in seen and not told.isdisjoint(words_in(raw)):
                    seen.add(found)
                    yield found


def _patterns(texts: Iterable[str]) -> Iterator[str]:
    quoted = sorted({_quoted(text) for text in texts if text})
    for start in range(0, len(quoted), _AT_ONCE):
        yield "|".join(quoted[start : start + _AT_ONCE])


def _numbers(texts: Collection[str]) -> Iterator[str]:
    # A number of few characters is looked for only between what delimits numbers.
    for pattern in _patterns(texts):
        yield rf"(?:[|~]|\\x22)(?:\\x00)?(?:{pattern})(?:\\x00)?(?:[|~^&\\]|$)"


def _quoted(text: str) -> str:
    # RE2 takes an escaped sign for itself; of letters and digits it would make classes.
    return "".join(
        f"\\{c}" if c.isascii() and not c.isalnum() and c.isprintable() and c != " " else c
        for c in text
    )


def _as_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _as_bytes(word: str) -> Iterator[str]:
    """How a word may stand in bytes, as DuckDB writes bytes."""
    escaped = "".join(_HL7_ESCAPES.get(c, c) for c in word)
    for said in {word, escaped, _as_json(word), json.dumps(word)[1:-1]}:
        for charset in _CHARSETS:
            try:
                encoded = said.encode(charset)
            except UnicodeEncodeError:
                continue
            yield "".join(_written(byte) for byte in encoded)


def _written(byte: int) -> str:
    plain = 32 <= byte < 127 and chr(byte) not in "\\'\""
    return chr(byte) if plain else f"\\x{byte:02X}"
