"""FHIR over HTTP: resources and Bundles are taken in and given back at /fhir/R4, /fhir/R4B and
/fhir/R5.

An answer in the 200s means that the resource is durable. Answers are FHIR, and never repeat a
value that was sent.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from adapters.fhir import encode
from adapters.fhir.encode import EntryAnswer, Json
from adapters.fhir.faults import Refused
from adapters.fhir.reading import ID
from adapters.fhir.release import FHIR_VERSIONS, RESOURCE_TYPES, Release
from api.routes.fhir_batch import read_within
from api.routes.fhir_capability import capability_statement
from api.routes.fhir_intake import FhirIntake, Instants, Intake, Posted
from api.routes.fhir_read import FhirReading, Readable
from api.routes.fhir_requests import EarlyAnswer, check_accept, check_media_type, read_body
from twin_core.errors import StoreBusy, StoreError

BUSY_RETRY_S = 1
RETRY_S = 30
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_READING = frozenset({"GET", "HEAD"})


class Served(Intake, Readable, Protocol):
    """What of a Twin is needed to take resources in and to give them."""


def fhir_router(twin: Served) -> APIRouter:
    """The routes of every FHIR base, in front of a twin."""
    router = APIRouter()
    instants = Instants(twin.clock)
    for release in Release:
        base = FhirBase(twin, FhirIntake(twin, release, instants))
        at = f"/fhir/{release}"
        add = partial(router.add_api_route, response_class=Response, tags=[f"FHIR {release}"])
        name = release.lower()
        add(
            at,
            base.post_bundle,
            methods=["POST"],
            summary="Take in a Bundle",
            operation_id=f"{name}_bundle",
        )
        add(f"{at}/", base.post_bundle, methods=["POST"], include_in_schema=False)
        add(
            f"{at}/metadata",
            base.metadata,
            methods=["GET"],
            summary="What this base can do",
            operation_id=f"{name}_metadata",
        )
        add(
            f"{at}/{{kind}}",
            base.create,
            methods=["POST"],
            summary="Take in a resource",
            operation_id=f"{name}_create",
        )
        add(
            f"{at}/{{kind}}/{{id_}}",
            base.update,
            methods=["PUT"],
            summary="State a resource anew",
            operation_id=f"{name}_update",
        )
        add(
            f"{at}/{{kind}}/{{id_}}",
            base.delete,
            methods=["DELETE"],
            summary="Withdraw what a source stated of a resource",
            operation_id=f"{name}_delete",
        )
        FhirReading(twin, release).add_routes(router, at)
        for path in (at, f"{at}/{{path:path}}"):
            add(path, base.unsupported, methods=_METHODS, include_in_schema=False)
    return router


class FhirBase:
    """One FHIR base: requests in, FHIR answers out."""

    def __init__(self, twin: Intake, intake: FhirIntake) -> None:
        self.twin, self.intake, self.release = twin, intake, intake.release

    async def post_bundle(self, request: Request) -> Response:
        """A transaction is stored as a whole or not at all; other Bundles entry by entry."""

        async def take(posted: Posted) -> Response:
            reading = posted._replace(read=partial(read_within, request, f"/fhir/{self.release}"))
            status, answer = await self.intake.take_bundle(reading)
            return self._answered(status, answer)

        return await self._posted(request, take, self.twin.settings.limits.body_bytes)

    async def create(self, request: Request, kind: str) -> Response:
        """A resource keeps the id it states; one without gets an id derived from its content."""
        return await self._resource(request, kind)

    async def update(self, request: Request, kind: str, id_: str) -> Response:
        """The resource's id is that of the address."""
        if not ID.fullmatch(id_):
            return self._refused(400, "value", "The address has no FHIR id.")
        return await self._resource(request, kind, id_)

    async def delete(self, request: Request, kind: str, id_: str) -> Response:
        """What the source stated of the resource no longer counts, however often it is asked."""
        if kind not in RESOURCE_TYPES[self.release]:
            return self._refused(404, "not-supported", f"FHIR {self.release} has no such type.")
        if not ID.fullmatch(id_):
            return self._refused(400, "value", "The address has no FHIR id.")
        sources = request.query_params.getlist("source")
        asked = Posted(b"", self._address(request), sources, kind, id_)
        try:
            return self._stored(await self.intake.delete_resource(asked), request)
        except StoreBusy:
            return self._unavailable(BUSY_RETRY_S)
        except StoreError:
            return self._unavailable(RETRY_S)

    async def metadata(self, request: Request) -> Response:
        """The CapabilityStatement."""
        now = self.twin.clock.now()
        return self._answered(200, capability_statement(self.release, self._address(request), now))

    async def unsupported(self, request: Request) -> Response:
        """Everything that this server does not do."""
        if request.method in _READING:
            reason = "Nothing is read at this address. See [base]/metadata."
            return self._refused(404, "not-supported", reason)
        reason = "Only POST of a Bundle or resource, and PUT and DELETE of a resource are answered."
        allowed = {"Allow": "POST, PUT, DELETE"}
        return self._refused(405, "not-supported", reason, allowed)

    async def _resource(self, request: Request, kind: str, id_: str = "") -> Response:
        if kind not in RESOURCE_TYPES[self.release]:
            return self._refused(404, "not-supported", f"FHIR {self.release} has no such type.")

        async def take(posted: Posted) -> Response:
            asked = request.headers.get("if-none-exist", "") if not id_ else ""
            wanted = posted._replace(kind=kind, id_=id_, if_none_exist=asked)
            return self._stored(await self.intake.take_resource(wanted), request)

        return await self._posted(request, take, self.twin.settings.limits.frame_bytes)

    async def _posted(
        self, request: Request, take: Callable[[Posted], Awaitable[Response]], most_bytes: int
    ) -> Response:
        """Check what can be checked before the body, read the body, and let it be taken in."""
        refused = check_accept(request) or check_media_type(request, self.release)
        if refused is not None:
            return self._answered(refused.status, encode.refusal([refused.fault]))
        body = await read_body(request, most_bytes)
        if isinstance(body, Refused):
            answer = self._answered(body.status, encode.refusal([body.fault]))
            headers = {**answer.headers, "Connection": "close"}
            return EarlyAnswer(answer.body, answer.status_code, headers)
        sources = request.query_params.getlist("source")
        try:
            return await take(Posted(body, self._address(request), sources))
        except StoreBusy:
            return self._unavailable(BUSY_RETRY_S)
        except StoreError:
            return self._unavailable(RETRY_S)

    def _stored(self, answer: EntryAnswer, request: Request) -> Response:
        wanted = request.headers.get("prefer", "")
        headers = encode.headers(answer, self._address(request))
        if answer.status == 204:
            return Response(status_code=204, headers=headers)
        if answer.status < 300 and "return=minimal" in wanted:
            return Response(status_code=answer.status, headers=headers)
        return self._answered(answer.status, answer.outcome or encode.acceptance([]), headers)

    def _unavailable(self, retry_s: int) -> Response:
        reason = "Nothing was stored. Send it again later."
        return self._refused(503, "transient", reason, {"Retry-After": str(retry_s)})

    def _refused(
        self, status: int, code: str, reason: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        outcome = encode.operation_outcome([encode.issue("error", code, reason)])
        return self._answered(status, outcome, headers)

    def _answered(
        self, status: int, answer: Json, headers: Mapping[str, str] | None = None
    ) -> Response:
        version = FHIR_VERSIONS[self.release].rpartition(".")[0]
        return Response(
            encode.encode(answer),
            status_code=status,
            media_type=f"application/fhir+json; fhirVersion={version}",
            headers={"Cache-Control": "no-store", **(headers or {})},
        )

    def _address(self, request: Request) -> str:
        return f"{str(request.base_url).rstrip('/')}/fhir/{self.release}"
