"""OperationOutcomes as their codes: their texts may hold what belongs to patients."""

from typing import Any

import msgspec

_MOST = 5
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_0123456789")


def issue_codes(body: bytes) -> str:
    """Severity and code of the issues of an OperationOutcome, or an OAuth error; else nothing."""
    try:
        tree: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    if not isinstance(tree, dict):
        return ""
    if isinstance(tree.get("error"), str):
        return _word(tree["error"])
    issues = tree.get("issue")
    told = [
        " ".join(filter(None, (_word(one.get("severity")), _word(one.get("code")))))
        for one in (issues if isinstance(issues, list) else ())
        if isinstance(one, dict)
    ]
    return ", ".join(dict.fromkeys(filter(None, told[:_MOST])))


def _word(code: object) -> str:
    return code if isinstance(code, str) and len(code) <= 64 and set(code) <= _WORD else ""
