"""Notifications of FHIR servers, in every shape that they come in.

- R4 rest-hook: the resource itself, or nothing: then something has changed and nobody says what. A
  delete has an empty body and a header that names the resource, or is a DELETE of `Type/id`.
- Topic-based, of R4 (backport), R4B and R5: a Bundle whose first entry tells of the subscription:
  a handshake, a heartbeat, or numbered events, with resources, their addresses, or neither.

Nothing is fetched here: what has to be is listed.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from adapters.fhir.client.faults import Untrustworthy
from adapters.fhir.client.page import Page, PageEntry, head_of, instant, read_page
from adapters.fhir.deletion import Deletion
from adapters.fhir.reading import ADDRESS, ID
from adapters.fhir.release import RESOURCE_TYPES
from twin_core.settings import LimitSettings

HANDSHAKE, HEARTBEAT, EVENT = "handshake", "heartbeat", "event-notification"
QUERY_EVENT = "query-event"
RESOURCE = "resource"
"""What a notification is that is no Bundle about a subscription."""

_TYPES = frozenset[str]().union(*RESOURCE_TYPES.values())
_STATUSES = frozenset({"Parameters", "SubscriptionStatus"})
_DELETED_HEADERS = ("x-medplum-deleted-resource", "x-deleted-resource")
_INTERACTION_HEADERS = ("x-medplum-interaction", "x-interaction")
Target = tuple[str, str]
"""Type and id of a resource."""


class Delivered(NamedTuple):
    """A notification as it came in: `kind` and `id` are those of the address, where it has any."""

    method: str
    headers: Mapping[str, str]
    body: bytes
    kind: str = ""
    id: str = ""


class Notification(NamedTuple):
    """What a notification says."""

    type: str
    subscription: str = ""
    """Id of the Subscription at the server."""
    counted: int | None = None
    """Events since the subscription began, as the server counts them."""
    numbers: tuple[int, ...] = ()
    """Numbers of the events that it tells of."""
    entries: tuple[PageEntry, ...] = ()
    """Those that have a resource."""
    deletions: tuple[Deletion, ...] = ()
    wanted: tuple[Target, ...] = ()
    """Resources that it names and does not have."""
    unclear: bool = False
    """Something has changed and it does not say what."""


def is_signed(body: bytes, stated: str, secret: str) -> bool:
    """Whether a signature is the HMAC-SHA256 of a body: hexadecimal or base64, named or not."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    told = stated.strip().removeprefix("sha256=")
    for decode in (bytes.fromhex, _base64):
        try:
            if hmac.compare_digest(decode(told), expected):
                return True
        except (ValueError, binascii.Error):
            continue
    return False


def _base64(told: str) -> bytes:
    return base64.b64decode(told, validate=True)


def is_token(stated: str, token: str) -> bool:
    """Whether a header has the token, by itself or after `Bearer`."""
    kind, _, rest = stated.strip().partition(" ")
    told = rest.strip() if kind.lower() == "bearer" else stated.strip()
    return hmac.compare_digest(told.encode(), token.encode())


def notification(delivered: Delivered, limits: LimitSettings, name: str) -> Notification:
    """What was delivered, understood. Raises Untrustworthy for what cannot be read."""
    deletion = _deletion(delivered)
    if deletion is not None:
        return Notification(RESOURCE, deletions=(deletion,))
    body = delivered.body.strip()
    if body in (b"", b"{}"):
        return Notification(RESOURCE, unclear=True)
    head = head_of(body)
    if not head.resource_type:
        raise Untrustworthy(f"A notification of source {name} is no resource.")
    if head.resource_type != "Bundle":
        meta = head.meta
        entry = PageEntry(body, head.resource_type, head.id, meta.version_id, meta.last_updated)
        return Notification(RESOURCE, entries=(entry,))
    return of_page(read_page(body, limits, name))


def _deletion(delivered: Delivered) -> Deletion | None:
    """The resource that a rest-hook without a body says to be deleted."""
    if delivered.method == "DELETE":
        return _deleted(delivered.kind, delivered.id)
    headers = {name.lower(): value for name, value in delivered.headers.items()}
    told = next((headers[name] for name in _DELETED_HEADERS if name in headers), "")
    kind, id_ = target(told)
    if kind:
        return _deleted(kind, id_)
    acts = {headers[name].lower() for name in _INTERACTION_HEADERS if name in headers}
    if "delete" not in acts:
        return None
    head = head_of(delivered.body)
    return _deleted(delivered.kind or head.resource_type, delivered.id or head.id)


def _deleted(kind: str, id_: str) -> Deletion | None:
    return Deletion(kind, id_) if kind in _TYPES and ID.fullmatch(id_) else None


def of_page(page: Page) -> Notification:
    """A Bundle: about a subscription where its first entry says so, else of resources."""
    entries = list(page.entries)
    status = _Status.of(entries.pop(0)) if entries and _tells(entries[0]) else None
    held = tuple(one for one in entries if one.raw and one.kind != "MessageHeader")
    deletions = tuple(_page_deletions(entries))
    if status is None:
        return Notification(RESOURCE, entries=held, deletions=deletions)
    here = {(one.kind, one.id) for one in held} | {(one.kind, one.id) for one in deletions}
    names = {one.full_url for one in held if one.full_url}
    stated = [target(one) for one in status.focuses if one not in names]
    bare = [(one.kind, one.id) for one in entries if not one.raw and not one.is_delete]
    wanted = dict.fromkeys(one for one in (*stated, *bare) if one[0] and one not in here)
    is_event = status.type in (EVENT, QUERY_EVENT)
    told = bool(held or deletions or wanted)
    lost = any(not kind for kind, _ in stated)
    return Notification(
        type=status.type,
        subscription=status.subscription,
        counted=status.counted,
        numbers=status.numbers,
        entries=held,
        deletions=deletions,
        wanted=tuple(wanted),
        unclear=is_event and (lost or not told),
    )


def _tells(entry: PageEntry) -> bool:
    return entry.kind in _STATUSES and bool(entry.raw)


def _page_deletions(entries: Iterable[PageEntry]) -> Iterator[Deletion]:
    for one in entries:
        if one.is_delete and one.kind in _TYPES and ID.fullmatch(one.id):
            yield Deletion(one.kind, one.id, one.version, instant(one.updated))


def target(address: str) -> Target:
    """Type and id of what an address names; nothing where it is none of a resource."""
    matched = ADDRESS.fullmatch(address.strip().removeprefix("/"))
    if matched is None or matched[2] not in _TYPES:
        return "", ""
    return matched[2], matched[3]


class _Status(NamedTuple):
    """SubscriptionStatus, or the Parameters that stand for it in R4."""

    type: str
    subscription: str
    counted: int | None
    numbers: tuple[int, ...]
    focuses: tuple[str, ...]

    @classmethod
    def of(cls, entry: PageEntry) -> "_Status":
        tree = msgspec.json.decode(entry.raw)
        told = tree if entry.kind == "SubscriptionStatus" else _named(tree.get("parameter"))
        events = told.get("notificationEvent")
        several = [one for one in _list(events) if isinstance(one, dict)]
        focuses = [one.get("focus") for one in several]
        focuses += [each for one in several for each in _list(one.get("additionalContext"))]
        numbers = (_number(one.get("eventNumber")) for one in several)
        return cls(
            type=_text(told.get("type")) or HEARTBEAT,
            subscription=target(_referred(told.get("subscription")))[1],
            counted=_number(told.get("eventsSinceSubscriptionStart")),
            numbers=tuple(sorted(number for number in numbers if number is not None)),
            focuses=tuple(filter(None, map(_referred, focuses))),
        )


_REPEATED = frozenset({"notification-event", "additional-context"})


def _named(parameters: object) -> dict[str, Any]:
    """The parameters of the backport under the names that SubscriptionStatus has for them."""
    found: dict[str, Any] = {}
    for one in _list(parameters):
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            continue
        first, *rest = one["name"].split("-")
        name = first + "".join(word.capitalize() for word in rest)
        value: Any = next((each for key, each in one.items() if key.startswith("value")), None)
        if "part" in one:
            value = _named(one["part"])
        if one["name"] in _REPEATED:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else [value] if value is not None else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    """A number as R4B writes it, in quotes, or as others do."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        number = int(value)
    except ValueError:
        return None
    return number if 0 <= number < 2**63 else None


def _referred(value: object) -> str:
    return _text(value.get("reference")) if isinstance(value, dict) else ""


class Events:
    """Which events of a subscription have been told of, by their numbers."""

    def __init__(self, last: int | None = None) -> None:
        self.last = last
        """The number up to which every event was told of or asked for; None before the first."""
        self._missing: set[int] = set()

    def hear(self, told: Notification) -> None:
        """Take in what a notification says of the numbers."""
        top = max((*told.numbers, told.counted or 0))
        if told.type == HANDSHAKE or self.last is None:
            # A subscription begins, or is met in the middle: what was before is read by search.
            self.last = max(told.counted or 0, top)
            self._missing.clear()
            return
        here = set(told.numbers)
        if top > self.last:
            self._missing |= set(range(max(self.last + 1, top - MOST_MISSING), top + 1))
            self.last = top
        self._missing -= here

    def missing(self) -> tuple[int, int] | None:
        """The first and the last event that nobody has told of yet."""
        return (min(self._missing), max(self._missing)) if self._missing else None

    def settle(self) -> None:
        """What was missing has been read in some other way."""
        self._missing.clear()


MOST_MISSING = 10_000
"""Of longer gaps only the end is asked for by number; a search reads the rest."""
