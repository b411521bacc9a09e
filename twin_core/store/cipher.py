"""Attaching DuckDB files that may be encrypted, and keeping what DuckDB spills beside them secret.

DuckDB encrypts a file, its WAL and its temporary files with AES-256-GCM. To write any of them it
wants the OpenSSL of its extension httpfs, which an installed package brings and which is loaded
from there: nothing is fetched, and the home folder is not looked at. A key is always a parameter
of a statement, never part of it, so that neither a log nor an error quotes it.
"""

from importlib.resources import files
from pathlib import Path

import duckdb

from twin_core.errors import ConfigurationError, StoreBusy, StoreError, TwinError, WrongKey

_PACKAGE = "duckdb_extension_httpfs"
_FLAGS_AT, _ENCRYPTED = 20, 1
"""Where the header of a DuckDB file has its flags, behind checksum, `DUCK` and version."""

_SAID: tuple[tuple[str, type[TwinError], str, str], ...] = (
    (
        "without a key",
        ConfigurationError,
        "is encrypted, and no key is set.",
        "Name its key in [encryption]: key_file, key_command, or WARDTWIN_ENCRYPTION__KEY.",
    ),
    (
        "Wrong encryption key",
        WrongKey,
        "is encrypted by another key.",
        "Set the key that it was encrypted by; see [encryption].",
    ),
    (
        "is not encrypted",
        StoreError,
        "is not encrypted, and a key is set.",
        "Encrypt the store with `wardtwin store encrypt`, or set no key.",
    ),
)

ROWS_TOGETHER = 16_384
"""Rows that are compressed together, a multiple of 2,048. Writing back begins the last such group
of a table anew, and DuckDB holds about its size beside the memory limit while it tries how it is
best compressed: of messages of 2 kB each, the 122,880 rows of its own take 250 MB. Groups of any
size are read from one file."""


def attach(
    connection: duckdb.DuckDBPyConnection,
    path: Path | str,
    catalog: str,
    *,
    key: str | None = None,
    read_only: bool = False,
) -> None:
    """Attach a file, encrypted by `key` where there is one; a new file is made so.

    Raises ConfigurationError where it is encrypted and there is no key, WrongKey, StoreError where
    a key is given for a file that is not encrypted, and duckdb.Error for everything else.
    """
    quoted = str(path).replace("'", "''")
    mode = ["READ_ONLY"] if read_only else [f"ROW_GROUP_SIZE {ROWS_TOGETHER}"]
    if key is None:
        said = f" ({', '.join(mode)})"
        _attached(connection, f"ATTACH '{quoted}' AS {catalog}{said}", [], Path(path).name)
        return
    load_cipher(connection)
    options = ", ".join(["ENCRYPTION_KEY ?", *mode])
    _attached(connection, f"ATTACH '{quoted}' AS {catalog} ({options})", [key], Path(path).name)


def load_cipher(connection: duckdb.DuckDBPyConnection) -> None:
    """Let a connection write encrypted files, and encrypt whatever it spills to disk.

    Raises ConfigurationError where the package is missing or of another version of DuckDB.
    """
    loaded = "SELECT loaded FROM duckdb_extensions() WHERE extension_name = 'httpfs'"
    if connection.execute(loaded).fetchone() == (True,):
        return
    try:
        package = files(_PACKAGE)
        extension = package / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
        quoted = str(extension).replace("'", "''")
        connection.execute(f"LOAD '{quoted}'")
    except (ImportError, duckdb.Error) as error:
        raise ConfigurationError(
            "The store cannot be encrypted on this machine.",
            why=f"DuckDB {duckdb.__version__} does not load its extension httpfs.",
            do=f"Run `pip install duckdb-extension-httpfs=={duckdb.__version__}`.",
        ) from error
    connection.execute("SET temp_file_encryption = true")


def check_cipher() -> None:
    """Raise ConfigurationError where this machine cannot encrypt a store."""
    with duckdb.connect() as connection:
        load_cipher(connection)


def is_encrypted(path: Path) -> bool | None:
    """Whether a database file says that it is encrypted; None where it is no such file.

    It is not opened, so that this can be told while another program holds it.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_FLAGS_AT + 1)
    except OSError:
        return None
    if header[8:12] != b"DUCK" or len(header) <= _FLAGS_AT:
        return None
    return bool(header[_FLAGS_AT] & _ENCRYPTED)


def why_not(name: str, error: duckdb.Error) -> StoreError:
    """What to say where DuckDB cannot open a file of this name."""
    said = str(error)
    if "set lock on file" in said or "already attached" in said:
        return StoreBusy(
            f"The store {name} is held by another program.",
            why="Only one process may write a store.",
            do="Use the running server, or stop it first.",
        )
    return StoreError(
        f"The store {name} cannot be opened.",
        why=said.splitlines()[0],
        do="Check the path and the disk, or restore the store from a backup.",
    )


def _attached(
    connection: duckdb.DuckDBPyConnection, statement: str, parameters: list[str], name: str
) -> None:
    try:
        connection.execute(statement, parameters or None)
    except duckdb.Error as error:
        for words, kind, what, do in _SAID:
            if words in str(error):
                raise kind(f"The store {name} {what}", do=do) from None
        raise
