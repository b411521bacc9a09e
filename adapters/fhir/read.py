"""A resource or a Bundle as it was sent: JSON bytes in, checked before anything trusts them.

Size and nesting are checked on the bytes, before any parser recurses. Duplicate names are refused,
because two readers of such a resource may see two different patients. Each resource is then
decoded once into plain objects; what the rest needs of it is converted from there.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from itertools import accumulate, compress
from typing import Any, NamedTuple

import msgspec

from adapters.fhir.faults import DATA_TYPE, DUPLICATE_KEY, REQUIRED, STRUCTURE, Refused
from twin_core.events import Fault
from twin_core.settings import LimitSettings

BOM = b"\xef\xbb\xbf"
_KEPT = b'{}[],:"'
_NOT_STRUCTURE = bytes(set(range(256)) - set(_KEPT))
_QUOTED = re.compile(rb'"[^"]*+(?:"|\Z)')
_STEP = [1 if byte in b"{[" else -1 if byte in b"}]" else 0 for byte in range(256)]
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")

_decode_any = msgspec.json.Decoder().decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode

Tree = dict[str, Any]


class Resource(NamedTuple):
    """One resource as it was sent and as it was decoded.

    `digest` is 16 bytes over the content in canonical form without meta.lastUpdated, which some
    servers renew at every answer.
    """

    raw: bytes
    tree: Tree
    type: str
    digest: bytes


def read_resource(text: bytes, limits: LimitSettings) -> Resource | Refused:
    """One resource from JSON bytes, or why it cannot be read."""
    text = text.removeprefix(BOM)
    if len(text) > limits.frame_bytes:
        return too_large(limits.frame_bytes)
    refused = _check_text(text, limits.json_depth)
    if refused is not None:
        return refused
    tree = decode(text, _decode_any)
    if isinstance(tree, Refused):
        return tree
    if not isinstance(tree, dict):
        return _refused("", STRUCTURE, "The body is not a JSON object.")
    kind = tree.get("resourceType")
    if not isinstance(kind, str) or not kind:
        return _refused("resourceType", REQUIRED, "The object has no resourceType.")
    canonical, omitted = _canonical(tree)
    if _repeats_a_name(text, canonical, omitted):
        return _refused(
            "", DUPLICATE_KEY, "An object names one element twice; send each element once."
        )
    return Resource(text, tree, kind, hashlib.sha256(canonical).digest()[:16])


def too_large(most_bytes: int) -> Refused:
    """The refusal of a text that weighs more than it may."""
    return _refused("", STRUCTURE, f"The body is larger than {most_bytes} bytes.", 413)


def _check_text(text: bytes, most_deep: int) -> Refused | None:
    """Whether JSON text is shallow and free of NUL, before any parser recurses into it."""
    if _is_deeper(text, most_deep):
        return _refused("", STRUCTURE, f"The body is nested deeper than {most_deep} levels.")
    if b"\\u0000" in text and _ESCAPED_NUL.search(text):
        return _refused("", DATA_TYPE, "A string holds a NUL character, which FHIR forbids.")
    return None


def members(text: bytes, most_items: int | None = None) -> dict[str, bytes] | Refused:
    """The members of a JSON object as the bytes they were sent as.

    Nothing below the first level is decoded, so a large Bundle never becomes objects at once, and
    nesting is skipped over by a parser that knows its own limit. With `most_items`, an array
    directly below may have that many items.
    """
    raw = decode(text, _decode_members)
    if isinstance(raw, Refused):
        return raw
    found = {name: bytes(member) for name, member in raw.items()}
    if _loses_names(text, found):
        return _refused("", DUPLICATE_KEY, "The Bundle names one element twice.")
    if most_items is not None and any(_has_more_items(m, most_items) for m in found.values()):
        reason = f"The Bundle has more than {most_items} entries."
        return _refused("Bundle.entry", STRUCTURE, reason, 413)
    return found


def items(text: bytes) -> Sequence[bytes] | Refused:
    """The items of a JSON array as the bytes they were sent as."""
    raw = decode(text, _decode_items)
    return raw if isinstance(raw, Refused) else [bytes(item) for item in raw]


def has_repeated_names(text: bytes) -> bool:
    """Whether some object of valid JSON text names one member twice."""
    try:
        _UNIQUE.decode(text.decode("utf-8"))
    except ValueError:
        # Also where this reader refuses what the other took: then nothing proves that they agree.
        return True
    return False


def decode(text: bytes, decoder: Any) -> Any:
    """What a decoder makes of JSON text, or why it cannot: never an exception."""
    try:
        return decoder(text)
    except msgspec.ValidationError as error:
        reason = "A number is out of range." if "out of range" in str(error) else _SHAPE
        return _refused("", DATA_TYPE, reason)
    except UnicodeDecodeError:
        return _refused("", STRUCTURE, "The body is not UTF-8.")
    except msgspec.DecodeError as error:
        at = re.search(r"\(byte \d+\)", str(error))
        return _refused("", STRUCTURE, f"The body is not valid JSON {at[0] if at else ''}".strip())
    except RecursionError:
        return _refused("", STRUCTURE, "The body is nested too deeply.")


_SHAPE = "The body does not have the shape of a resource or a Bundle."


def _refused(where: str, code: str, reason: str, status: int = 400) -> Refused:
    return Refused(status, Fault(where=where, code=code, reason=reason))


def _is_deeper(text: bytes, most: int) -> bool:
    if text.count(b"{") + text.count(b"[") <= most:
        return False
    return max(accumulate(map(_STEP.__getitem__, _skeleton(text))), default=0) > most


def _skeleton(text: bytes) -> bytes:
    """Brackets, colons and commas of JSON text, without everything in strings.

    Every step is one pass over bytes: without escaped quotes each quote begins or ends a string,
    and taking out two that have become neighbours leaves the others what they were.
    """
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    text = text.translate(None, _NOT_STRUCTURE).replace(b'""', b"")
    return _QUOTED.sub(b"", text)


def _has_more_items(text: bytes, most: int) -> bool:
    if not text.startswith(b"[") or text.count(b",") < most:
        return False
    skeleton = _skeleton(text)
    depths = accumulate(map(_STEP.__getitem__, skeleton))
    return bytes(compress(skeleton, map((1).__eq__, depths))).count(b",") >= most


def _canonical(tree: Tree) -> tuple[bytes, int]:
    """The content in canonical form, and how many colons of the text it leaves out."""
    meta = tree.get("meta")
    if not isinstance(meta, dict) or "lastUpdated" not in meta:
        return _encode_sorted(tree), 0
    stated = meta.pop("lastUpdated")
    omitted = 1 + _encode_sorted(stated).count(b":")
    if meta:
        canonical = _encode_sorted(tree)
    else:
        del tree["meta"]
        canonical, omitted = _encode_sorted(tree), omitted + 1
        tree["meta"] = meta
    meta["lastUpdated"] = stated
    return canonical, omitted


def _repeats_a_name(text: bytes, canonical: bytes, omitted: int) -> bool:
    """Whether decoding lost a member, which it does where an object names one twice.

    Every member has a colon, and strings have the same colons in the text and in its canonical
    form, unless the text writes one as \\u003a. Without such escapes, equal counts prove that no
    member was lost. Else a slower reader decides.
    """
    if text.count(b":") == canonical.count(b":") + omitted and b"\\u" not in text:
        return False
    return has_repeated_names(text)


def _loses_names(text: bytes, found: dict[str, bytes]) -> bool:
    """Whether the first level of an object has more names than were found, as one given twice."""
    names = text.count(b":") - sum(member.count(b":") for member in found.values())
    if names != len(found):
        names = _count_names(text) - sum(_count_names(member) for member in found.values())
    return names != len(found)


def _count_names(text: bytes) -> int:
    return _skeleton(text).count(b":")


def _unique(pairs: list[tuple[str, Any]]) -> Tree:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("an object names one member twice")
    return tree


_UNIQUE = json.JSONDecoder(object_pairs_hook=_unique, parse_int=str, parse_float=str)
