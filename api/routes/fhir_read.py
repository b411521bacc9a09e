"""The reading half of the FHIR bases: read, version read, history, search, and their conditions."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import partial
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from adapters.fhir import encode
from adapters.fhir.encode import Json
from adapters.fhir.faults import Refused
from adapters.fhir.release import FHIR_VERSIONS, Release
from api.fhir.exporting import (
    NDJSON,
    Export,
    asked_export,
    deletions,
    export_of,
    lines,
    manifest,
)
from api.fhir.parameters import Unanswerable
from api.fhir.question import Asked
from api.fhir.reading import Given, Reader, is_id, not_found
from api.fhir.reports import REPORTED, Kpis, Reports
from api.fhir.served import SERVED
from api.routes.asked import the_reach
from api.routes.bodies import Unread, read_json
from api.routes.fhir_requests import check_accept, check_media_type, read_body
from twin_core.errors import QueryFailed, StoreError
from twin_core.kpi.measuring import hospital_zone

FORMATS = frozenset({"json", "application/json", "application/fhir+json", "text/json"})
_FORM = "application/x-www-form-urlencoded"
_MOST_FORM_BYTES = 64 * 1024
_RETRY_S = "5"

_T = TypeVar("_T")

log = logging.getLogger(__name__)


class Readable(Kpis, Protocol):
    """What of a Twin is needed to give resources."""

    def query(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[dict[str, Any]]:
        """Rows of a fixed query."""
        ...


class FhirReading:
    """One FHIR base as it is read."""

    def __init__(self, twin: Readable, release: Release) -> None:
        self.twin, self.release = twin, release

    def add_routes(self, router: APIRouter, at: str) -> None:
        """Add every address that is read, the more particular ones first."""
        name = self.release.lower()
        add = partial(router.add_api_route, response_class=Response, tags=[f"FHIR {self.release}"])
        for path, kick_off in (("$export", self.export), ("Patient/$export", self.export_patients)):
            add(
                f"{at}/{path}",
                kick_off,
                methods=["GET"],
                summary="Begin a Bulk Data export",
                operation_id=f"{name}_{kick_off.__name__}",
            )
        add(f"{at}/$export-status", self.manifest, methods=["GET"], include_in_schema=False)
        add(f"{at}/$export-status", self.drop, methods=["DELETE"], include_in_schema=False)
        add(f"{at}/$export-file", self.file, methods=["GET"], include_in_schema=False)
        for number, path in enumerate(("Measure", "Measure/{id_}")):
            for method, evaluate in (("GET", self.evaluate), ("POST", self.post_evaluate)):
                add(
                    f"{at}/{path}/$evaluate-measure",
                    evaluate,
                    methods=[method],
                    summary="The figures of a KPI over a period",
                    operation_id=f"{name}_{evaluate.__name__}{number}",
                )
        for path, answer, words in (
            ("{kind}/_history", self.type_history, "What changed, of a type"),
            ("{kind}/{id_}/_history", self.history, "The versions of a resource"),
            ("{kind}/{id_}/_history/{version}", self.vread, "One version of a resource"),
            ("{kind}/{id_}", self.read, "A resource"),
            ("{kind}", self.search, "Search a type"),
        ):
            called = f"{name}_{answer.__name__}"
            add(f"{at}/{path}", answer, methods=["GET"], summary=words, operation_id=called)
            add(f"{at}/{path}", answer, methods=["HEAD"], include_in_schema=False)
        add(
            f"{at}/{{kind}}/_search",
            self.post_search,
            methods=["POST"],
            summary="Search a type, the parameters in a form",
            operation_id=f"{name}_post_search",
        )

    async def read(self, request: Request, kind: str, id_: str) -> Response:
        """The resource, or 304 where the caller has it already."""
        if kind in REPORTED:
            return await self._reported(request, lambda reports: reports.read(kind, id_))
        return await self._one(request, kind, id_, lambda reader: reader.read(kind, id_))

    async def vread(self, request: Request, kind: str, id_: str, version: str) -> Response:
        """The resource as it was."""
        return await self._one(request, kind, id_, lambda reader: reader.vread(kind, id_, version))

    async def history(self, request: Request, kind: str, id_: str) -> Response:
        """Every version of a resource, the newest first."""
        asked = request.query_params.multi_items()
        return await self._one(request, kind, id_, lambda reader: reader.history(kind, asked, id_))

    async def type_history(self, request: Request, kind: str) -> Response:
        """Every change of resources of a type, the newest first."""
        asked = request.query_params.multi_items()
        return await self._answer(request, kind, lambda reader: reader.history(kind, asked))

    async def search(self, request: Request, kind: str) -> Response:
        """A page of a search."""
        return await self._search(request, kind, request.query_params.multi_items())

    async def post_search(self, request: Request, kind: str) -> Response:
        """A page of a search whose parameters are in the body, out of sight of the address."""
        stated = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = await read_body(request, _MOST_FORM_BYTES)
        if isinstance(body, Refused):
            return self.answered(Given(413, encode.refusal([body.fault])))
        if body and stated != _FORM:
            return self._unanswerable(Unanswerable(f"Send {_FORM}.", "not-supported", 415))
        try:
            form = parse_qsl(body.decode(), keep_blank_values=True, errors="strict")
        except ValueError:
            return self._unanswerable(Unanswerable("The form cannot be read."))
        return await self._search(request, kind, [*request.query_params.multi_items(), *form])

    async def _search(self, request: Request, kind: str, asked: Asked) -> Response:
        strict = "handling=strict" in request.headers.get("prefer", "").replace(" ", "")

        def searched(reader: Reader) -> Given:
            return Given(200, reader.search(kind, asked, strict=strict))

        def listed(reports: Reports) -> Given:
            return Given(200, reports.search(kind, asked, strict=strict))

        if kind in REPORTED:
            return await self._reported(request, listed)
        return await self._answer(request, kind, searched)

    async def evaluate(self, request: Request, id_: str = "") -> Response:
        """A MeasureReport over the period that the address asks for."""
        asked = request.query_params.multi_items()
        return await self._reported(request, lambda reports: reports.evaluate(asked, id_))

    async def post_evaluate(self, request: Request, id_: str = "") -> Response:
        """A MeasureReport over the period that a Parameters resource asks for."""
        body = await read_body(request, _MOST_FORM_BYTES)
        if isinstance(body, Refused):
            return self.answered(Given(413, encode.refusal([body.fault])))
        refused = check_media_type(request, self.release)
        if refused is not None:
            return self.answered(Given(refused.status, encode.refusal([refused.fault])))
        try:
            asked = [*request.query_params.multi_items(), *_parameters(body)]
        except Unanswerable as error:
            return self._unanswerable(error)
        return await self._reported(request, lambda reports: reports.evaluate(asked, id_))

    async def export(self, request: Request) -> Response:
        """Where the export of everything will be found."""
        return await self._kicked_off(request, "")

    async def export_patients(self, request: Request) -> Response:
        """Where the export of what is about patients will be found."""
        return await self._kicked_off(request, "Patient")

    async def _kicked_off(self, request: Request, level: str) -> Response:
        asked = request.query_params.multi_items()
        wishes = request.headers.get("prefer", "").replace(" ", "")
        if "respond-async" not in wishes:
            return self._unanswerable(Unanswerable("An export is asked for with respond-async."))
        lenient = "handling=lenient" in wishes

        def begun(reader: Reader) -> Given:
            export = asked_export(reader, asked, level, strict=not lenient)
            address = f"{reader.base}/$export-status?{export.address()}"
            return Given(202, encode.acceptance([]), headers={"Content-Location": address})

        return await self._checked(request, begun)

    async def manifest(self, request: Request) -> Response:
        """What the export has: it is ready as soon as it is asked for."""
        asked = request.query_params.multi_items()

        def found(reader: Reader) -> Given:
            return Given(200, manifest(reader, export_of(asked)), media_type="application/json")

        return await self._checked(request, found)

    async def drop(self, request: Request) -> Response:
        """Nothing is kept of an export, so that there is nothing to remove."""
        return self.answered(Given(202, encode.acceptance([])))

    async def file(self, request: Request) -> Response:
        """A file of an export, made while it is sent."""
        told = request.query_params
        asked, kind = told.multi_items(), told.get("kind", "")

        def begun(reader: Reader) -> tuple[Reader, Export]:
            export = export_of(asked)
            if kind not in export.types:
                raise Unanswerable("This is the address of no export.", "not-found", 404)
            return reader, export

        try:
            reader, export = await run_in_threadpool(self._worked, request, begun)
        except Unanswerable as error:
            return self._unanswerable(error)
        except StoreError:
            return self._unavailable()
        several = deletions if told.get("deleted") == "true" else lines
        return StreamingResponse(several(reader, export, kind), media_type=NDJSON)

    async def _reported(self, request: Request, work: Callable[[Reports], Given]) -> Response:
        def worked(reader: Reader) -> Given:
            return work(Reports(self.twin, reader.base, reader.zone, self.release))

        return await self._checked(request, worked)

    async def _one(
        self, request: Request, kind: str, id_: str, work: Callable[[Reader], Given]
    ) -> Response:
        if not is_id(id_):
            return self.answered(not_found("The address has no FHIR id."))
        return await self._answer(request, kind, work)

    async def _answer(
        self, request: Request, kind: str, work: Callable[[Reader], Given]
    ) -> Response:
        """What is asked of resources of a type, where the twin gives such."""
        if kind not in SERVED:
            reason = f"{kind if kind.isalpha() else 'This'} is not read here. See [base]/metadata."
            return self._unanswerable(Unanswerable(reason, "not-supported", 404))
        return await self._checked(request, work)

    async def _checked(self, request: Request, work: Callable[[Reader], Given]) -> Response:
        """Check what can be checked before the store is asked; every failure is told in FHIR."""
        refused = check_format(request)
        if refused is not None:
            return self._unanswerable(refused)
        try:
            given = await run_in_threadpool(self._worked, request, work)
        except Unanswerable as error:
            return self._unanswerable(error)
        except QueryFailed:
            log.error("the store did not understand a question to a FHIR base")
            return self._unanswerable(Unanswerable("The question failed.", "exception", 500))
        except StoreError:
            return self._unavailable()
        return conditional(request, given, self.answered(given))

    def _worked(self, request: Request, work: Callable[[Reader], _T]) -> _T:
        query = self.twin.query
        zone = str(hospital_zone(query))
        reach = the_reach(request)
        return work(Reader(query, self._address(request), zone, self.release, reach))

    def _address(self, request: Request) -> str:
        return f"{str(request.base_url).rstrip('/')}/fhir/{self.release}"

    def _unanswerable(self, error: Unanswerable) -> Response:
        outcome = encode.operation_outcome([encode.issue("error", error.code, error.reason)])
        return self.answered(Given(error.status, outcome))

    def _unavailable(self) -> Response:
        reason = "The store cannot answer now. Ask again later."
        outcome = encode.operation_outcome([encode.issue("error", "transient", reason)])
        answer = self.answered(Given(503, outcome))
        answer.headers["Retry-After"] = _RETRY_S
        return answer

    def answered(self, given: Given) -> Response:
        """A resource as an answer, with its version where it has one."""
        version = FHIR_VERSIONS[self.release].rpartition(".")[0]
        headers = {"Cache-Control": "no-store", **(given.headers or {})}
        if given.changed_at is not None:
            headers["ETag"] = f'W/"{_version_of(given.resource)}"'
            headers["Last-Modified"] = format_datetime(
                given.changed_at.astimezone(UTC), usegmt=True
            )
        return Response(
            encode.encode(given.resource),
            status_code=given.status,
            media_type=given.media_type or f"application/fhir+json; fhirVersion={version}",
            headers=headers,
        )


def _parameters(body: bytes) -> Iterator[tuple[str, str]]:
    """Names and values of a Parameters resource. Raises Unanswerable for anything else."""
    try:
        told = read_json(body, _PARAMETERS)
    except Unread:
        raise Unanswerable("Send a Parameters resource.", "structure") from None
    for one in told.parameter:
        values = [value for name, value in one.items() if name.startswith("value")]
        if len(values) != 1 or not isinstance(values[0], str):
            raise Unanswerable("A parameter has one value, a date, a code or a string.")
        yield str(one.get("name", "")), values[0]


class _Parameters(msgspec.Struct):
    parameter: list[dict[str, Any]] = []


_PARAMETERS = msgspec.json.Decoder(_Parameters)


def _version_of(resource: Mapping[str, Any]) -> str:
    meta: Json = resource["meta"]
    return str(meta["versionId"])


def check_format(request: Request) -> Unanswerable | None:
    """Why an answer cannot be given in the form that was asked for; `_format` outdoes Accept."""
    stated = request.query_params.get("_format", "")
    if stated:
        kind = stated.replace(" ", "+").partition(";")[0].strip().lower()
        if kind in FORMATS:
            return None
    elif check_accept(request) is None:
        return None
    return Unanswerable("Answers are application/fhir+json only.", "not-supported", 406)


def conditional(request: Request, given: Given, answer: Response) -> Response:
    """304 without a body where If-None-Match or If-Modified-Since says that it is known."""
    if given.changed_at is None or given.status != 200:
        return answer
    tags = request.headers.get("if-none-match")
    if tags is not None:
        known = {tag.strip().removeprefix("W/").strip('"') for tag in tags.split(",")}
        seen = "*" in known or _version_of(given.resource) in known
    else:
        seen = _not_since(request.headers.get("if-modified-since"), given.changed_at)
    if not seen:
        return answer
    kept = {name: answer.headers[name] for name in ("ETag", "Last-Modified", "Cache-Control")}
    return Response(status_code=304, headers=kept)


def _not_since(stated: str | None, changed_at: datetime) -> bool:
    if stated is None:
        return False
    try:
        since = parsedate_to_datetime(stated)
    except ValueError:
        return False
    if since.tzinfo is None:
        return False
    return changed_at.replace(microsecond=0) <= since
