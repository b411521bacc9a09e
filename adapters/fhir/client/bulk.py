"""Bulk Data export (HL7 Bulk Data Access): kicked off, polled, and its files fetched to disk.

Everything that an export needs to go on after any end is in its `ExportState`; files are fetched
into a folder and continued by Range from what lies there. What an export tells of, and the `_since`
of the next one, is dated by its transactionTime, never by this machine's clock.
"""

import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from adapters.fhir.client.faults import Declined, Lost, Unauthorized, Untrustworthy
from adapters.fhir.client.links import rebased
from adapters.fhir.client.manners import Reply, refused, resolved
from adapters.fhir.client.page import instant
from adapters.fhir.client.patience import asked_pause, backoff
from adapters.fhir.client.server import FHIR_JSON, FhirServer, Parameters

LOG = logging.getLogger("wardtwin.sources")
NDJSON = "application/fhir+ndjson"
MOST_RESTARTS = 3
FIRST_POLL_S, LONGEST_POLL_S = 1.0, 30.0
_PROGRESS = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d{1,2})? ?%|\d{1,7} of \d{1,7}(?!\w))")
_MOST_MANIFESTS = 1_000
_LENIENT = ", handling=lenient"
_ABOUT_TYPES = frozenset({400, 422, 501})

Category = Literal["output", "deleted", "error"]
CATEGORIES: tuple[Category, ...] = ("output", "deleted", "error")
"""What the files of a manifest hold, in the order in which they are taken."""

Progress = Callable[[str], None]


class ExportFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an export."""

    url: str
    kind: str
    category: Category
    count: int = -1
    """Resources in it, where the manifest says."""
    is_taken: bool = False


class ExportState(msgspec.Struct, frozen=True, kw_only=True):
    """How far an export is; between two exports only `watermark` is set."""

    query: str = ""
    watermark: str = ""
    """transactionTime of the last export that was taken whole."""
    status_url: str = ""
    began_at: str = ""
    """When it was kicked off, by this machine's clock: only to give it up one day."""
    transaction_time: str = ""
    needs_token: bool = False
    files: tuple[ExportFile, ...] = ()
    restarts: int = 0

    @property
    def is_ready(self) -> bool:
        """Whether there is a manifest."""
        return bool(self.transaction_time)

    @property
    def is_taken(self) -> bool:
        """Whether every file was taken."""
        return self.is_ready and all(file.is_taken for file in self.files)

    def ended(self) -> "ExportState":
        """The state after an export that was taken whole."""
        return ExportState(query=self.query, watermark=self.transaction_time)

    def begun_anew(self) -> "ExportState":
        """The state before an export that replaces a lost one."""
        return ExportState(query=self.query, watermark=self.watermark, restarts=self.restarts + 1)

    def with_taken(self, number: int) -> "ExportState":
        """The state after one file more."""
        files = list(self.files)
        files[number] = msgspec.structs.replace(files[number], is_taken=True)
        return msgspec.structs.replace(self, files=tuple(files))


class Export:
    """Exports of one server: of the system, its patients, or a group."""

    def __init__(
        self,
        server: FhirServer,
        kinds: tuple[str, ...],
        progress: Progress,
        *,
        listed: tuple[str, ...] = (),
        known_as: str = "",
    ) -> None:
        """`listed` are those of `kinds` that the CapabilityStatement has: often too few."""
        self.server, self._kinds, self._progress = server, kinds, progress
        self._known_as = known_as
        self._ways = list(dict.fromkeys([(kinds, ""), (kinds, _LENIENT), (listed, ""), ((), "")]))

    async def ready(self, state: ExportState) -> AsyncIterator[ExportState]:
        """Every state on the way to a manifest, each to be kept before the next is asked for.

        Raises Declined where no export is given, Lost where it is lost again and again, and what
        asking raises.
        """
        while not state.is_ready:
            if not state.status_url:
                state = await self._kicked_off(state)
                yield state
                continue
            try:
                state = await self._polled(state)
            except Lost:
                state = self.again(state)
            yield state

    def again(self, state: ExportState) -> ExportState:
        """The state in which a lost export is kicked off once more; Lost where it was too often."""
        if state.restarts >= MOST_RESTARTS:
            raise Lost(
                f"The export of source {self.server.name} is lost again and again.",
                why="Its status or its files are there no more before they are read.",
                do="See the server's own log.",
                status=410,
            )
        LOG.warning("source %s: its export is lost and begins anew", self.server.name)
        return state.begun_anew()

    async def renewed(self, state: ExportState) -> ExportState:
        """The state with the manifest's addresses as they are now: signatures expire.

        Raises Lost where the manifest is gone, or is one of another export.
        """
        if not state.status_url:
            raise Lost("The export has no manifest to read again.", status=410)
        reply = await self._asked(state.status_url)
        if reply.status != 200:
            raise Lost("The manifest is there no more.", status=reply.status)
        fresh = await self._manifest(state, reply)
        shape = [(file.category, file.kind, file.count) for file in state.files]
        if fresh.transaction_time != state.transaction_time or shape != [
            (file.category, file.kind, file.count) for file in fresh.files
        ]:
            raise Lost("The manifest is one of another export.", status=410)
        files = tuple(
            msgspec.structs.replace(now, is_taken=before.is_taken)
            for now, before in zip(fresh.files, state.files, strict=True)
        )
        return msgspec.structs.replace(fresh, files=files)

    async def thank(self, state: ExportState) -> None:
        """Tell the server that it may remove the export; what it answers does not matter."""
        if state.status_url:
            try:
                await self.server.ask(state.status_url, method="DELETE")
            except (Declined, Unauthorized, Untrustworthy) as error:
                LOG.info("source %s: its export was not removed: %s", self.server.name, error.what)

    async def _kicked_off(self, state: ExportState) -> ExportState:
        since = state.watermark or self.server.settings.since
        for kinds, leniently in self._ways:
            reply = await self.server.ask(
                self._address(since, kinds),
                headers={"Accept": FHIR_JSON, "Prefer": f"respond-async{leniently}"},
            )
            # A type that it does not export may be why it refuses; one that nobody wants is not.
            if reply.status not in _ABOUT_TYPES:
                break
        began_at = self.server.world.clock.now().isoformat()
        if reply.status == 200:
            # Some servers have the manifest at once.
            return await self._manifest(msgspec.structs.replace(state, began_at=began_at), reply)
        location = reply.headers.get("content-location") or reply.headers.get("location", "")
        if reply.status != 202 or not location:
            raise refused(self.server.name, reply, "a Bulk Data export")
        status_url = self._here(resolved(reply.url, location))
        return msgspec.structs.replace(state, status_url=status_url, began_at=began_at)

    def _here(self, address: str) -> str:
        return rebased(address, base=self.server.base, known_as=self._known_as)

    def _address(self, since: str, kinds: tuple[str, ...]) -> str:
        settings = self.server.settings
        level, _, group = settings.export.partition("/")
        path = {"system": "$export", "patient": "Patient/$export"}.get(
            level, f"Group/{group}/$export"
        )
        parameters: Parameters = [("_type", ",".join(kinds))] if kinds else []
        parameters += [("_since", since)] if since else []
        parameters += [
            ("_typeFilter", f"{kind}?{search}")
            for kind, search in settings.filters.items()
            if kind in kinds
        ]
        return self.server.export_address(path, parameters)

    async def _polled(self, state: ExportState) -> ExportState:
        """The state with a manifest, however long the server takes to make it."""
        world = self.server.world
        attempt = 0
        while True:
            self._require_in_time(state)
            attempt += 1
            reply = await self._asked(state.status_url)
            if reply.status == 200:
                return await self._manifest(state, reply)
            if reply.status != 202:
                raise refused(self.server.name, reply, "the status of its export")
            self._progress(_shown(reply.headers.get("x-progress", "")))
            asked = asked_pause(reply.headers, world.clock.now())
            longest_s = self.server.settings.longest_pause_s
            first_s, own_s = FIRST_POLL_S, min(LONGEST_POLL_S, longest_s)
            own = backoff(attempt, world.chance, first_s=first_s, longest_s=own_s)
            await world.sleep(own if asked is None else max(min(asked, longest_s), 0.1))

    async def _asked(self, url: str) -> Reply:
        return await self.server.ask(url, headers={"Accept": "application/json"})

    def _require_in_time(self, state: ExportState) -> None:
        lasts = self.server.world.clock.now() - datetime.fromisoformat(state.began_at)
        if lasts > timedelta(seconds=self.server.settings.export_timeout_s):
            raise Lost(
                f"The export of source {self.server.name} takes too long.",
                do=f"Raise sources.{self.server.name}.export_timeout_s, or narrow its types.",
                status=408,
            )

    async def _manifest(self, state: ExportState, reply: Reply) -> ExportState:
        """The state with the files of a manifest, of all of its parts."""
        files: list[ExportFile] = []
        tree = self._tree(reply)
        first = tree
        for _ in range(_MOST_MANIFESTS):
            files += [self._wanted(one) for one in _files(tree, reply.url)]
            link = _next(tree)
            if not link:
                break
            reply = await self.server.fetch(
                resolved(reply.url, link), "a part of its export's manifest"
            )
            tree = self._tree(reply)
        files.sort(key=lambda file: CATEGORIES.index(file.category))
        return msgspec.structs.replace(
            state,
            transaction_time=str(first["transactionTime"]),
            needs_token=first.get("requiresAccessToken") is True,
            files=tuple(files),
        )

    def _wanted(self, file: ExportFile) -> ExportFile:
        """A file at the address where it is got; one of a type that is not wanted is done with."""
        unwanted = file.category == "output" and file.kind not in ("", *self._kinds)
        url = self._here(file.url)
        return msgspec.structs.replace(file, url=url, is_taken=unwanted)

    def _tree(self, reply: Reply) -> dict[str, Any]:
        try:
            tree = json.loads(reply.body)
        except ValueError:
            tree = None
        if not isinstance(tree, dict) or instant(str(tree.get("transactionTime"))) is None:
            raise Untrustworthy(
                f"The export of source {self.server.name} has no manifest that can be used.",
                why="It is no JSON object with a transactionTime.",
            )
        return tree


def _files(tree: dict[str, Any], base: str) -> list[ExportFile]:
    found = []
    for category in CATEGORIES:
        listed = tree.get(category)
        for one in listed if isinstance(listed, list) else ():
            if isinstance(one, dict) and isinstance(one.get("url"), str):
                count = one.get("count")
                found.append(
                    ExportFile(
                        url=resolved(base, one["url"]),
                        kind=str(one.get("type", "")),
                        category=category,
                        count=count if isinstance(count, int) else -1,
                    )
                )
    return found


def _next(tree: dict[str, Any]) -> str:
    links = tree.get("link")
    for one in links if isinstance(links, list) else ():
        if isinstance(one, dict) and one.get("relation") == "next":
            return str(one.get("url", ""))
    return ""


def _shown(progress: str) -> str:
    """How far a server says that it is, as a number: its own words may name anybody."""
    found = _PROGRESS.search(progress)
    return found[1] if found else "under way"
