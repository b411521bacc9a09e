"""How heavy the board is on its way to a browser."""

import re
from typing import Any

MOST_BYTES = 80_000
MOST_REQUESTS = 12


def test_the_first_board_is_light_and_takes_few_requests(api: Any) -> None:
    first = api.get("/", headers={"Accept-Encoding": "gzip", "Accept-Language": "de"})
    addresses = {"/", "/v1/deltas"}
    waiting = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', first.text))
    weighed = compressed(api, "/")
    while waiting:
        address = waiting.pop()
        addresses.add(address)
        answer = api.get(address)
        assert answer.status_code == 200, address
        weighed += compressed(api, address)
        if address.endswith(".js"):
            imported = re.findall(r'from "\./([^"]+)"', answer.text)
            waiting |= {f"/static/{name}" for name in imported} - addresses
    assert len(addresses) <= MOST_REQUESTS, sorted(addresses)
    assert weighed < MOST_BYTES


def compressed(api: Any, address: str) -> int:
    """The bytes of an answer as they travel."""
    headers = {"Accept-Encoding": "gzip", "Accept-Language": "de"}
    answer = api.runner.run(_raw(api, address, headers))
    return len(answer)


async def _raw(api: Any, address: str, headers: dict[str, str]) -> bytes:
    async with api.http.stream("GET", address, headers=headers) as answer:
        return b"".join([part async for part in answer.aiter_raw()])
