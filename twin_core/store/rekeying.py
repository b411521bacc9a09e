"""A store under another key: both halves written anew, compared, and replaced together."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from twin_core.encryption import StoreKey
from twin_core.errors import StoreError
from twin_core.inbox.contents import Sums, copy_sealed, held_in
from twin_core.store.database import Database, connect
from twin_core.store.opening import inbox_path
from twin_core.store.replacing import replacement
from twin_core.store.replica import copy_tables
from twin_core.store.sums import differing, table_sums


def rekey(
    database: Database,
    key: StoreKey | None,
    new_key: StoreKey | None,
    let_go: Callable[[], None],
) -> Sums:
    """Encrypt a store by another key, or by none, and give the sums of its tables.

    `database` is the open store, of which nothing may be applied meanwhile; `let_go` closes both
    halves. Whatever ends this in between leaves the store under one key or the other, whole.
    """
    path = database.path
    with replacement(path) as fresh:
        copy = fresh.folder / path.name
        cursor = database.cursor()
        copy_tables(cursor, copy, frozenset(), key=new_key.database if new_key else None)
        copy_sealed(inbox_path(path), key, inbox_path(copy), new_key)
        sums = table_sums(cursor)
        _compare(sums, _copied(copy, new_key), copy.name)
        before, after = (
            held_in(inbox_path(file), by) for file, by in ((path, key), (copy, new_key))
        )
        _compare(before.sums, after.sums, inbox_path(copy).name)
        for file in (copy, inbox_path(copy)):
            file.chmod(0o600)
        let_go()
        fresh.finish()
    return sums


def _copied(copy: Path, key: StoreKey | None) -> Sums:
    with closing(connect(copy, key=key.database if key else None, read_only=True)) as connection:
        return table_sums(connection)


def _compare(one: Sums, other: Sums, name: str) -> None:
    if different := differing(one, other):
        raise StoreError(
            f"The new {name} differs from the old one, which stays.",
            why=f"Different are: {', '.join(different)}.",
            do="Check the disk and try again.",
        )
