"""Bodies that nobody should send: every address of the document that takes one refuses them."""

import re
from typing import Any

import pytest

DEEP = 200_000
HOSTILE = {
    "nothing": b"",
    "a byte that is none of UTF-8": b"\xff",
    "such a byte in a text": b'{"reason":"\xff\xff","sql":"\xff","href":"\xff"}',
    "half a surrogate": b'{"reason":"\\ud800","sql":"\\ud800","href":"\\ud800"}',
    "deep, and beside what is asked for": b'{"reason":"abcd","sql":"SELECT 1","x":'
    + b"[" * DEEP
    + b"]" * DEEP
    + b"}",
    "deep, and without an end": b"[" * DEEP,
    "deep objects": b'{"parameter":' + b'{"a":' * DEEP,
    "endless numbers": b'{"sql":1e999,"days":1e999,"census":NaN}',
    "another shape": b'{"sql":{},"href":[],"reason":0,"resourceType":7,"parameter":{}}',
    "a list of nothing": b"[null]",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_is_refused_and_never_an_accident(api: Any, name: str) -> None:
    taken = [
        (method, re.sub(r"\{[^}]+\}", "x", path))
        for path, methods in api.get("/openapi.json").json()["paths"].items()
        for method in ("post", "put")
        if method in methods
    ]
    fhir = [
        ("post", "/fhir/R4/Measure/alos/$evaluate-measure"),
        ("post", "/fhir/R4/Patient/_search"),
    ]
    assert {path for _, path in taken} > {"/v1/sql", "/v1/break-glass", "/v1/simulations"}
    for method, path in [*taken, *fhir]:
        for media_type in ("application/json", "application/fhir+json"):
            answer = api.request(
                method.upper(), path, content=HOSTILE[name], headers={"Content-Type": media_type}
            )
            assert answer.status_code < 500, (path, media_type)
            assert "Internal" not in answer.text, path
