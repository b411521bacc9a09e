"""Signing in and out, who one is, and breaking the glass."""

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from adapters.fhir.release import Release
from api.access.control import AccessControl
from api.access.doors import KNOWN, OPEN, door_of
from api.access.gate import Shut, cookie_of, read_form
from api.access.principal import Principal
from api.access.provider import BEGUN_LASTS, LOGIN_COOKIE, Provider
from api.access.said import letters_said
from api.access.sessions import PLAIN_COOKIE, SECURE_COOKIE, cookie_header, is_csrf
from api.access.tokens import Refused, Unreachable
from api.audit.recording import caller, nobody
from api.openapi import answers, reply
from api.routes.asked import Limit, only_known_parameters, the_principal
from api.routes.bodies import Unread, read_json
from api.web.rendering import NAVIGATION, page
from twin_core.audit import Access, Actor, Beside, Entry, LedgerReader, Outcome, Sought

router = APIRouter(tags=["access"])
BREAK_GLASS_S = 3600
LEAST_LETTERS = 3
log = logging.getLogger(__name__)

_After = Annotated[str, Query(alias="next")]


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who the twin takes the caller for."""

    id: str
    kind: str
    name: str
    roles: list[str]
    permissions: list[str]
    facilities: list[str]
    units: list[str]


class Emergency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why somebody must see patients now, and whom, where it is one."""

    reason: Annotated[str, msgspec.Meta(min_length=LEAST_LETTERS, max_length=2_000)]
    patient: Annotated[str, msgspec.Meta(max_length=200)] = ""


_EMERGENCY = msgspec.json.Decoder(Emergency)


class BrokenGlass(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an emergency opened, and for how long. Somebody was alerted, and will ask."""

    granted: bool
    expires_at: datetime = msgspec.field(name="expires_at")
    expires_s: int = msgspec.field(name="expires_s")
    purpose_of_use: str
    alert: bool


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the ledger, as auditors read it."""

    seq: int
    at: datetime
    who: Actor
    act: str
    what: str
    outcome: str
    status: int
    why: str
    address: str
    objects: list[str]
    patients: list[str]
    beside: Beside


@router.get(
    "/v1/access/me",
    summary="Who the caller is, and what they may do",
    responses=answers(Me, "The caller", problems="401"),
)
async def me(request: Request) -> Response:
    """Roles, permissions and row scope of whoever sent the request."""
    principal = the_principal(request)
    return reply(
        Me(
            id=principal.id,
            kind=principal.kind,
            name=principal.name,
            roles=list(principal.roles),
            permissions=sorted(principal.permissions() - {"every:unit"}),
            facilities=list(principal.facilities),
            units=list(principal.units),
        )
    )


@router.post(
    "/v1/break-glass",
    summary="Read patients for an hour in an emergency",
    responses=answers(BrokenGlass, "The glass is broken", problems="400 401 403 503"),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Emergency"}}},
        }
    },
)
async def break_glass(request: Request) -> Response:
    """Opens patients' rows of every unit for reading, records why, and alerts."""
    try:
        emergency = read_json(await request.body(), _EMERGENCY)
        is_said = letters_said(emergency.reason) >= LEAST_LETTERS
    except Unread:
        is_said = False
    if not is_said:
        raise HTTPException(
            400, "A JSON object with a `reason` of at least three letters is needed."
        )
    control: AccessControl | None = request.app.state.access
    lasts = control.settings.break_glass_minutes * 60 if control else BREAK_GLASS_S
    now = request.app.state.twin.clock.now() if control is None else control.clock.now()
    until = now + timedelta(seconds=lasts)
    principal = the_principal(request)
    # Written first: an emergency that nobody can be asked about later opens nothing.
    await _recorded(
        request,
        _actor(request),
        "success",
        200,
        act="alert",
        why="BTG",
        reason=emergency.reason,
        text=emergency.patient,
    )
    if control is not None:
        await asyncio.to_thread(control.store.break_glass, principal.id, until)
    log.warning("glass broken by %s until %s", principal.id, until.isoformat(timespec="seconds"))
    return reply(
        BrokenGlass(
            granted=True, expires_at=until, expires_s=int(lasts), purpose_of_use="BTG", alert=True
        )
    )


@router.get("/fhir/{release}/.well-known/smart-configuration", include_in_schema=False)
async def smart(request: Request, release: str) -> Response:
    """Where tokens for the FHIR bases come from (SMART App Launch 2.2, backend services)."""
    control: AccessControl | None = request.app.state.access
    if control is None or control.verifier is None or release not in tuple(Release):
        raise HTTPException(404, "No identity provider is configured.")
    try:
        told = await asyncio.to_thread(control.published.document)
    except Unreachable:
        raise HTTPException(503, "The identity provider does not answer.") from None
    named = ("issuer", "jwks_uri", "authorization_endpoint", "token_endpoint")
    return reply(
        {
            **{name: told[name] for name in named if name in told},
            "grant_types_supported": ["client_credentials", "authorization_code"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["system/*.cruds", "user/*.cruds"],
            "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
        }
    )


@router.get(
    "/v1/audit",
    summary="Who saw what, the latest first",
    responses=answers(list[Seen], "Entries of the ledger", problems="400 401 403 422 503"),
    dependencies=[Depends(only_known_parameters)],
)
def audit(
    request: Request,
    who: Annotated[str, Query(max_length=200, description="One user, client or key")] = "",
    patient: Annotated[str, Query(max_length=100, description="Accesses to one patient")] = "",
    what: Annotated[str, Query(max_length=200, description="Addresses with this in them")] = "",
    limit: Limit = 100,
) -> Response:
    """Entries of the ledger: patients by pseudonym, without queries and reasons."""
    ledger = request.app.state.ledger
    reader = LedgerReader(ledger.path, ledger.key)
    try:
        found = reader.sought(Sought(who=who, patient=patient, what=what), ledger.keys)
        return reply([_seen(reader, entry) for entry, _ in zip(found, range(limit), strict=False)])
    finally:
        reader.close()


@router.get("/login", include_in_schema=False)
async def login_page(request: Request, after: _After = "/") -> Response:
    """The page to sign in on."""
    control: AccessControl | None = request.app.state.access
    if control is None:
        return RedirectResponse("/", 303)
    return _page(control, after)


@router.post("/login", include_in_schema=False)
async def login(request: Request) -> Response:
    """Sign in with an API key."""
    control: AccessControl | None = request.app.state.access
    if control is None:
        return RedirectResponse("/", 303)
    form = await _form(request)
    principal = await asyncio.to_thread(control.store.principal, form.get("key", "").strip())
    if principal is None:
        control.failures.wait_s(str(request.scope["wardtwin.address"]))
        await _recorded(request, Actor(id="unknown", kind="unknown"), "refused", 401, act="login")
        return _page(control, form.get("next", "/"), refused=True)
    return await _signed_in(request, control, principal, form.get("next", "/"))


@router.post("/logout", include_in_schema=False)
async def logout(request: Request) -> Response:
    """Sign out, and forget the cookie."""
    control: AccessControl | None = request.app.state.access
    answer = RedirectResponse("/login" if control else "/", 303)
    if control is not None:
        secure = bool(request.scope["wardtwin.secure"])
        cookie = cookie_of(request.headers, secure=secure)
        session = control.sessions.find(cookie)
        form = await _form(request)
        if session is not None and not is_csrf(session, form.get("csrf", "")):
            raise HTTPException(403, "This form is out of date; load the page again.")
        control.sessions.end(cookie)
        name = SECURE_COOKIE if secure else PLAIN_COOKIE
        answer.headers.append("Set-Cookie", cookie_header(name, "", secure=secure, seconds=0))
    return answer


@router.get("/login/provider", include_in_schema=False)
async def provider(request: Request, after: _After = "/") -> Response:
    """Go to the identity provider."""
    signing: Provider | None = request.app.state.provider
    if signing is None:
        raise HTTPException(404)
    secure = bool(request.scope["wardtwin.secure"])
    try:
        address, state = await asyncio.to_thread(
            signing.begin, _local(after), _callback(request, secure=secure)
        )
    except Unreachable:
        raise HTTPException(503, "The identity provider does not answer.") from None
    answer = RedirectResponse(address, 303)
    seconds = int(BEGUN_LASTS.total_seconds())
    header = cookie_header(LOGIN_COOKIE, state, secure=secure, seconds=seconds)
    answer.headers.append("Set-Cookie", header)
    return answer


@router.get("/login/callback", include_in_schema=False)
async def callback(request: Request, state: str = "", code: str = "") -> Response:
    """Come back from the identity provider."""
    control: AccessControl | None = request.app.state.access
    signing: Provider | None = request.app.state.provider
    if control is None or signing is None:
        raise HTTPException(404)
    try:
        begun = request.cookies.get(LOGIN_COOKIE, "")
        principal, back = await asyncio.to_thread(signing.finish, state, begun, code)
    except Refused as error:
        log.warning("a sign-in was refused: %s", error)
        control.failures.wait_s(str(request.scope["wardtwin.address"]))
        await _recorded(request, Actor(id="unknown", kind="unknown"), "refused", 401, act="login")
        return _page(control, "/", refused=True)
    except Unreachable:
        raise HTTPException(503, "The identity provider does not answer.") from None
    return await _signed_in(request, control, principal, back)


def _seen(reader: LedgerReader, entry: Entry) -> Seen:
    told = {name: getattr(entry, name) for name in Seen.__struct_fields__}
    patients = list(reader.patients(entry))
    return Seen(**{**told, "objects": list(entry.objects), "patients": patients})


async def _form(request: Request) -> dict[str, str]:
    try:
        form, _ = await read_form(request.receive)
    except Shut as shut:
        raise HTTPException(shut.status, shut.said) from None
    return form


async def _signed_in(
    request: Request, control: AccessControl, principal: Principal, back: str
) -> Response:
    await _recorded(request, principal.actor(), "success", 303, act="login")
    secure = bool(request.scope["wardtwin.secure"])
    cookie, session = control.sessions.begin(principal)
    answer = RedirectResponse(
        _landing(principal, _local(back)), 303, headers={"Cache-Control": "no-store"}
    )
    seconds = int((session.until - control.clock.now()).total_seconds())
    name = SECURE_COOKIE if secure else PLAIN_COOKIE
    answer.headers.append("Set-Cookie", cookie_header(name, cookie, secure=secure, seconds=seconds))
    return answer


async def _recorded(
    request: Request, who: Actor, outcome: Outcome, status: int, **said: Any
) -> None:
    access = Access(
        who=who,
        what=f"{request.method} {request.url.path}",
        outcome=outcome,
        status=status,
        address=caller(request.scope),
        **said,
    )
    await asyncio.wrap_future(request.app.state.ledger.append(access))


def _page(control: AccessControl, back: str, *, refused: bool = False) -> Response:
    has_provider = bool(control.settings.client_id)
    answer = page(
        "login.html",
        back=_local(back),
        refused=refused,
        has_provider=has_provider,
        here="",
        demo=False,
    )
    answer.status_code = 401 if refused else 200
    if refused:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="wardtwin"'
    return answer


def _landing(principal: Principal, back: str) -> str:
    """Where somebody wanted to go, or the first page that is theirs where that one is not."""
    permissions = principal.permissions()
    door = door_of("GET", urlsplit(back).path)
    if door is None or door.permission in {*permissions, OPEN, KNOWN}:
        return back
    return next((href for _, href, _, needed in NAVIGATION if needed in permissions), back)


def _local(back: str) -> str:
    """An address of this server and of nowhere else."""
    harmless = back.startswith("/") and not back.startswith(("//", "/\\"))
    return back if harmless and back.isprintable() and "\\" not in back else "/"


def _callback(request: Request, *, secure: bool) -> str:
    return f"{'https' if secure else 'http'}://{request.headers['host']}/login/callback"


def _actor(request: Request) -> Actor:
    return request.scope.get("wardtwin.actor") or nobody()
