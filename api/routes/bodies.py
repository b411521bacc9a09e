"""JSON bodies of requests: what they say, or why they say nothing, whatever the bytes are."""

from typing import TypeVar

import msgspec

_T = TypeVar("_T")


class Unread(ValueError):
    """A body that is not what a route takes; each route refuses it in its own words."""

    def __init__(self, why: str, *, is_json: bool) -> None:
        super().__init__(why)
        self.is_json = is_json
        """Whether it is JSON, of another shape."""


def read_json(body: bytes, decoder: "msgspec.json.Decoder[_T]") -> _T:
    """What a body says. Raises Unread, and nothing else, for bytes that say nothing."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Unread(str(error), is_json=True) from None
    except msgspec.DecodeError as error:
        raise Unread(str(error), is_json=False) from None
    except UnicodeDecodeError:
        raise Unread("It is not UTF-8", is_json=False) from None
    except RecursionError:
        raise Unread("It is nested too deeply", is_json=False) from None
