"""Opening what a sync needs: the connection to a server, the ledger, and the right to read it."""

import fcntl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

from adapters.fhir.client.assertion import signing_key
from adapters.fhir.client.secrets import secret
from adapters.fhir.client.server import FhirServer, http_client, tls_context
from adapters.fhir.client.world import World
from api.sources.ledger import ledger_path
from twin_core.errors import StoreBusy
from twin_core.settings import LimitSettings, SourceSettings


@asynccontextmanager
async def connected(
    name: str, settings: SourceSettings, limits: LimitSettings, world: World
) -> AsyncIterator[FhirServer]:
    """A server to ask; nothing is asked yet. ConfigurationError for files that cannot be used."""
    async with http_client(name, settings, _version()) as http:
        yield FhirServer(name, settings, limits, http, world)


def usable(name: str, settings: SourceSettings) -> None:
    """Look at the files that a source's settings name; ConfigurationError for one of no use."""
    tls_context(name, settings)
    hook = settings.subscription
    for word in ("secret", "token"):
        file = getattr(hook, f"{word}_file", None)
        if file is not None:
            secret(f"sources.{name}.subscription.{word}", None, file)
    auth = settings.auth
    if auth is None:
        return
    where = f"sources.{name}.auth.{auth.method}"
    own = getattr(auth, auth.method), getattr(auth, f"{auth.method}_file")
    text = secret(where, *own)
    if auth.method == "private_key":
        signing_key(where, text, key_id=auth.key_id, algorithm=auth.algorithm)


@contextmanager
def alone(store: Path, name: str) -> Iterator[None]:
    """The right to read a source into a store; however this process ends, it ends with it.

    Raises StoreBusy where another program reads it.
    """
    ledger = ledger_path(store)
    path = ledger.with_name(f"{ledger.name}.{name}.lock")
    with path.open("w") as file:
        path.chmod(0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreBusy(
                f"The source {name} is being read by another program.",
                why="A running server, or another `wardtwin fhir sync`, keeps it in step.",
                do="See `wardtwin fhir list`.",
            ) from error
        yield


def _version() -> str:
    try:
        return installed_version("wardtwin")
    except PackageNotFoundError:
        return "0"
