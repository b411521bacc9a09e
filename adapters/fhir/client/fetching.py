"""Files of an export to disk: continued where they broke off, whole or not at all.

A part that lies there is continued by Range (RFC 9110, 14) where the server still has the same
representation of the file; otherwise it begins anew. A file is whole when it has as many bytes as
were announced, its last line is JSON, and it has as many lines as the manifest says.
"""

import gzip
import json
import re
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec

from adapters.fhir.client.bulk import NDJSON, ExportFile
from adapters.fhir.client.faults import Untrustworthy
from adapters.fhir.client.manners import PASSING, Reply, moved_to, refused
from adapters.fhir.client.server import FhirServer
from twin_core.encryption import PIECE_BYTES, Files, Unsealable
from twin_core.errors import StoreError

_RANGE = re.compile(r"bytes (\d+)-\d*/(\d+|\*)")
_REDIRECTS = 5
_ENOUGH = 64 * 1024
_LAST_LINE = 32 * 1024 * 1024
_EXPIRED = frozenset({401, 403})
Fetched = Callable[[int, int], None]
"""Told how many bytes of a file are there, and how many it has: -1 where its server says none."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a part: it may be continued only by the same representation."""

    validator: str = ""
    length: int = -1
    encoding: str = ""


class _Started(NamedTuple):
    part: Part
    at: int
    """Where its first byte belongs."""


class Fetcher:
    """Fetches files of one server into a folder of its own."""

    def __init__(self, server: FhirServer, folder: Path, files: Files | None = None) -> None:
        self.server, self.folder, self.files = server, folder, files or Files()
        self._token_wanted: set[str] = set()

    async def fetched(
        self, file: ExportFile, name: str, *, needs_token: bool, tell: Fetched = lambda *_: None
    ) -> Path:
        """The whole file as NDJSON, however often the connection breaks.

        Raises Lost, Declined or Unauthorized where it is not to be had at this address any more,
        Untrustworthy where it is never whole, StoreError where the disk is full.
        """
        whole = self.folder / f"{name}.ndjson"
        # One that was kept under another key is fetched again.
        if self.files.opens(whole):
            return whole
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return await self._fetched(file, whole, tell, needs_token=needs_token)
        except OSError as error:
            raise StoreError(
                "A file of an export cannot be written.",
                why=f"{error.strerror or type(error).__name__}.",
                do=f"Make room for {self.folder}.",
            ) from error

    async def _fetched(
        self, file: ExportFile, whole: Path, tell: Fetched, *, needs_token: bool
    ) -> Path:
        part = whole.with_suffix(".part")
        for attempt in range(1, self.server.settings.attempts + 1):
            await self._loaded(file, part, tell, needs_token=needs_token)
            encoding = _note_of(part).encoding
            try:
                self._unpack(part, whole.with_suffix(".tmp"), encoding)
                why = _amiss(whole.with_suffix(".tmp"), file.count, self.files)
            except Unsealable as error:
                why = f"{error.strerror}."
            _note(part).unlink(missing_ok=True)
            part.unlink()
            if not why:
                whole.with_suffix(".tmp").replace(whole)
                return whole
            whole.with_suffix(".tmp").unlink(missing_ok=True)
            if attempt < self.server.settings.attempts:
                await self.server.manners.pause(attempt, None)
        raise Untrustworthy(
            f"A file of the export of source {self.server.name} is never whole.", why=why
        )

    async def _loaded(
        self, file: ExportFile, part: Path, tell: Fetched, *, needs_token: bool
    ) -> None:
        """All bytes of a file as they are sent; every piece that arrives counts."""
        manners, attempt = self.server.manners, 0
        url, redirects = file.url, 0
        renewed, furthest = False, 0
        while True:
            before = self.files.size(part)
            shown = await self._shown(url, needs_token=needs_token)
            pause_s: float | None = None
            try:
                headers = {"Accept": f"{NDJSON}, */*;q=0.5", **_wanted(part, before), **shown}
                async with manners.answering("GET", url, headers=headers) as got:
                    if got.status_code in (200, 206):
                        await self._received(got, part, tell)
                        manners.breaker.succeed()
                        return
                    if got.status_code == 416:
                        # Either nothing is missing, or what lies here is of another file.
                        if before and before == _note_of(part).length:
                            return
                        _forget(part)
                        trouble = "It has no such range."
                    elif got.status_code in PASSING:
                        trouble = f"It answered with status {got.status_code}."
                        pause_s = manners.troubled(got)
                    else:
                        reply = Reply(got.status_code, got.headers, await _some(got), str(got.url))
                        target = moved_to(reply)
                        if target is not None and redirects < _REDIRECTS:
                            self.server.require_safe(target)
                            url, redirects = target, redirects + 1
                            continue
                        if reply.status in _EXPIRED and not renewed and self._may_try(url, shown):
                            renewed = True
                            continue
                        raise refused(self.server.name, reply, "a file of its export")
            except httpx.HTTPError as error:
                trouble = manners.broken(error)
            # Whoever gets further gets as many attempts again.
            size = self.files.size(part)
            got_further, furthest = size > furthest, max(size, furthest)
            attempt = 1 if got_further else attempt + 1
            if got_further:
                manners.breaker.succeed()
            if attempt >= self.server.settings.attempts:
                raise manners.unreachable(trouble)
            await manners.pause(attempt, pause_s)

    async def _shown(self, url: str, *, needs_token: bool) -> dict[str, str]:
        """Credentials for a file, where they are wanted: a signed address is spoilt by them."""
        if not needs_token and url not in self._token_wanted:
            return {}
        if not self.server.may_be_shown(url) and self.server.settings.auth is not None:
            raise Untrustworthy(
                f"Files of source {self.server.name} are at another server and need its token.",
                do=f"Name that server in sources.{self.server.name}.other_origins if it is yours.",
            )
        return await self.server.credentials(url)

    def _may_try(self, url: str, shown: dict[str, str]) -> bool:
        """Whether credentials, or newer ones, may do better."""
        if shown:
            return self.server.authorization.refuse(shown)
        if self.server.settings.auth is None or not self.server.may_be_shown(url):
            return False
        self._token_wanted.add(url)
        return True

    async def _received(self, got: httpx.Response, part: Path, tell: Fetched) -> None:
        started = _started(got, part, self.files.size(part))
        _note(part).write_bytes(msgspec.json.encode(started.part))
        at = started.at
        with self.files.continued(part, at) as written:
            async for chunk in got.aiter_raw():
                at += written.write(chunk)
                tell(at, started.part.length)
            size = written.settled()
        if 0 <= started.part.length != size:
            raise httpx.RemoteProtocolError("it ended early")

    def _unpack(self, part: Path, target: Path, encoding: str) -> None:
        """Write the part without its content coding."""
        if encoding not in ("gzip", "x-gzip"):
            # Some servers send a file that is packed itself.
            with self.files.opened(part) as opened:
                encoding = "gzip" if opened.read(2) == b"\x1f\x8b" else ""
        with self.files.opened(part) as sent, self.files.continued(target, 0) as written:
            if not encoding:
                shutil.copyfileobj(sent, written, PIECE_BYTES)
                return
            with gzip.open(sent, "rb") as packed:
                try:
                    shutil.copyfileobj(packed, written, PIECE_BYTES)
                except (EOFError, zlib.error, gzip.BadGzipFile):
                    written.write(b"\n{")  # what is not whole must not look whole


def _wanted(part: Path, size: int) -> dict[str, str]:
    """The headers that ask for a file, or for what is missing of it."""
    note = _note_of(part)
    if not size or note.length < 0:
        return {"Accept-Encoding": "gzip"}
    validator = {"If-Range": note.validator} if note.validator else {}
    return {"Accept-Encoding": note.encoding or "identity", "Range": f"bytes={size}-", **validator}


def _started(got: httpx.Response, part: Path, size: int) -> _Started:
    """Which bytes an answer begins with, and what is known of the whole."""
    headers = got.headers
    etag = headers.get("etag", "")
    validator = headers.get("last-modified", "") if etag.startswith("W/") or not etag else etag
    encoding = headers.get("content-encoding", "").strip().lower()
    encoding = "" if encoding == "identity" else encoding
    ranged = _RANGE.fullmatch(headers.get("content-range", ""))
    before = _note_of(part)
    if got.status_code == 206 and ranged is not None and part.exists():
        total = int(ranged[2]) if ranged[2] != "*" else before.length
        fits = int(ranged[1]) == size and total == before.length
        if fits and encoding == before.encoding:
            return _Started(before, int(ranged[1]))
        raise httpx.RemoteProtocolError(_forget(part))
    if got.status_code == 206:
        raise httpx.RemoteProtocolError(_forget(part))
    stated = headers.get("content-length", "")
    length = int(stated) if stated.isdecimal() else -1
    return _Started(Part(validator=validator, length=length, encoding=encoding), 0)


def _amiss(file: Path, count: int, files: Files) -> str:
    """What is wrong with a file of NDJSON; nothing where it is whole."""
    lines, last = 0, b""
    with files.opened(file) as opened:
        for line in opened:
            if line.strip():
                lines, last = lines + 1, line
    if last:
        try:
            json.loads(last[:_LAST_LINE])
        except ValueError:
            return "Its last line is cut off."
    if 0 <= count != lines:
        return f"The manifest says {count} resources, it has {lines}."
    return ""


async def _some(got: httpx.Response) -> bytes:
    received = bytearray()
    async for chunk in got.aiter_bytes():
        received += chunk
        if len(received) > _ENOUGH:
            break
    return bytes(received)


def _note(part: Path) -> Path:
    return part.with_suffix(".part.json")


def _note_of(part: Path) -> Part:
    try:
        return msgspec.json.decode(_note(part).read_bytes(), type=Part)
    except (OSError, msgspec.DecodeError):
        return Part()


def _forget(part: Path) -> str:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)
    return "it is another file"
