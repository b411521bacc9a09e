"""The program that holds a store, as another program of the same user sees it.

The holder listens on a Unix socket beside the store that only its user may open. `wardtwin sql`,
`kpi`, `state`, `ingest`, `quarantine` and `backup` look there first, so that they work whether or
not a server has the store open.
"""

import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec

from api.ingesting import ROOM
from twin_core import errors
from twin_core.errors import StoreError, TwinError
from twin_core.inbox import Answer
from twin_core.settings import Settings

LONGEST_SOCKET_PATH = 100
"""Bytes of a Unix socket's path; the kernel takes 107 on Linux and 103 elsewhere."""

_CONNECT_S = 2.0


def socket_path(store: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the holder of a store listens: beside it, or in a private folder if that is too long.

    Raises StoreError where the private folder is somebody else's.
    """
    beside = Path(f"{store.resolve()}.sock")
    if len(os.fsencode(beside)) <= LONGEST_SOCKET_PATH:
        return beside
    base = Path(environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = base / f"wardtwin-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StoreError(
            f"{folder} is not a private folder of this user.",
            why="The socket of a store with such a long path would be kept there.",
            do="Remove that folder, or keep the store under a shorter path.",
        )
    return folder / f"{hashlib.sha256(os.fsencode(beside)).hexdigest()[:16]}.sock"


class Holder:
    """The program that holds a store, as another program sees it."""

    room = ROOM

    def __init__(self, path: Path) -> None:
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)),
            base_url="http://holder",
            timeout=httpx.Timeout(None, connect=_CONNECT_S),
            trust_env=False,
        )
        self._sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="wardtwin-submit")

    def ask(self, operation: str, **asked: Any) -> Any:
        """The answer to an operation; the holder's errors are raised here as its own."""
        return self._answer("POST", f"/ask/{operation}", json=asked)

    def hello(self) -> dict[str, Any]:
        """Who holds the store: settings, clock, process id, and whether it is a demo."""
        greeting: dict[str, Any] = self._answer("GET", "/hello")
        return greeting

    def settings(self) -> Settings:
        """The settings the holder reads messages by."""
        return Settings.model_validate(self.hello()["settings"])

    def submit(self, receipts: bytes, *, from_file: bool = True) -> "Future[list[Answer]]":
        """As `Twin.submit`, in the holder; the receipts are encoded already."""
        return self._sender.submit(self._submit, receipts, from_file)

    def handover(self) -> None:
        """No process but those of the holder writes its inbox."""

    def position(self) -> int:
        """How far the holder has applied its inbox."""
        return int(self._answer("GET", "/position"))

    def close(self) -> None:
        """Let go of the connection; the holder goes on."""
        self._sender.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    def _submit(self, encoded: bytes, from_file: bool) -> list[Answer]:
        path = "/receipts" if from_file else "/receipts?from_file=false"
        answers = self._answer("POST", path, content=encoded)
        return msgspec.convert(answers, list[Answer])

    def _answer(self, method: str, path: str, **sent: Any) -> Any:
        try:
            response = self._http.request(method, path, **sent)
        except httpx.HTTPError as error:
            raise StoreError(
                "The program that holds the store ended before it answered.",
                why=f"{type(error).__name__}.",
                do="Start it again, or run this command again without it.",
            ) from error
        if response.status_code == httpx.codes.OK:
            return msgspec.json.decode(response.content)
        raise _raised(response)


def reach(store: Path, environ: Mapping[str, str] = os.environ) -> Holder | None:
    """The program that holds the store and answers, if there is one."""
    path = socket_path(store, environ)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_CONNECT_S)
            probe.connect(str(path))
    except OSError:
        # No socket, or the socket of a program that is gone: nobody to ask.
        return None
    return Holder(path)


def _raised(response: httpx.Response) -> TwinError:
    try:
        told = response.json()
        kind = getattr(errors, told["kind"])
        error: TwinError = kind(told["what"], why=told["why"], do=told["do"])
    except (ValueError, KeyError, AttributeError, TypeError):
        return StoreError(
            "The program that holds the store could not answer.",
            why=f"It answered with status {response.status_code}.",
            do="See its log.",
        )
    return error
