"""Who reads a page: in which language, with which clock, at which address, with which permissions.

English stands where it is used, so that templates can be read; for every other language there is
one catalogue, `words/LANGUAGE.toml`, from the English words to its own. A reader is found for each
request by `?lang=` and `?hours=`, then by the cookie that keeps them, then by Accept-Language.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from http.cookies import CookieError, SimpleCookie
from importlib.resources import files
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français"}
"""The languages of the pages, each by its own name; the first is that of the source."""
HOURS = ("24", "12")
COOKIE = "wardtwin-reader"
A_YEAR_S = 365 * 24 * 3600
_ASKED = ("lang", "hours")
_NOT_KEPT = (*_ASKED, "next")
"""What links to the same page leave out: choices that a cookie keeps, and where a login goes on."""
_NUMBERS = {"de": str.maketrans(",.", ".,"), "fr": str.maketrans(",.", "\u202f,")}
_CALL = re.compile(r"\b(?:t|many)\(")
_PART = re.compile(r'[()]|"([^"]*)"')


class Reader(NamedTuple):
    """Somebody in front of a page."""

    language: str = "en"
    hours: str = "24"
    path: str = "/"
    query: tuple[tuple[str, str], ...] = ()

    def link(self, **changed: str) -> str:
        """The address of the same page with some parameters changed; an empty one is left out."""
        kept = [(name, text) for name, text in self.query if name not in changed]
        asked = [*kept, *((name, text) for name, text in changed.items() if text)]
        return f"{self.path}?{urlencode(asked)}" if asked else self.path

    def asks(self, name: str) -> bool:
        """Whether the address has a parameter, as in `/?wall`."""
        return any(name == asked for asked, _ in self.query)


READER: ContextVar[Reader] = ContextVar("reader", default=Reader())  # noqa: B039 - immutable


def t(text: str, /, **values: object) -> str:
    """English words in the reader's language, with values in the places that are named in them."""
    said = catalogue(READER.get().language).get(text, text)
    return said.format(**values) if values else said


def many(number: int, one: str, other: str) -> str:
    """Words for a count, which stands in them as `{n}`: `one` of one thing, `other` of several."""
    is_one = number == 1 or (number == 0 and READER.get().language == "fr")
    return t(one if is_one else other, n=numeral(f"{number:,}"))


def numeral(text: str) -> str:
    """A number as English writes it, with the reader's points and commas."""
    signs = _NUMBERS.get(READER.get().language)
    return text.translate(signs) if signs else text


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """A language's words by the English ones; English itself needs none."""
    if language == "en" or language not in LANGUAGES:
        return {}
    written = files("api.web") / "words" / f"{language}.toml"
    sections: dict[str, dict[str, str]] = tomllib.loads(written.read_text("utf-8"))
    return {text: said for section in sections.values() for text, said in section.items()}


@cache
def script_words(language: str) -> Mapping[str, str]:
    """What the scripts of the pages say, in a language; empty for English."""
    known = catalogue(language)
    return {text: known[text] for text in texts_of_scripts() if text in known}


@cache
def texts_of_scripts() -> frozenset[str]:
    """The English words in the calls of `t` and `many` in our scripts."""
    folder = files("api.web") / "static"
    scripts = [file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".js")]
    return frozenset(text for script in scripts for text in texts_in(script))


def texts_in(script: str) -> Iterator[str]:
    """The double-quoted texts inside calls of `t` and `many`; they hold no escapes."""
    for call in _CALL.finditer(script):
        depth = 1
        for part in _PART.finditer(script, call.end()):
            depth += {"(": 1, ")": -1}.get(part[0], 0)
            if depth == 0:
                break
            if part[1] is not None:
                yield part[1]


class Reading:
    """Middleware that finds out who reads, and keeps in a cookie what they chose."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request go on with its reader."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        asked = {name: text for name, text in query if name in _ASKED}
        chosen = _chosen(asked)
        reader = _reader(Headers(scope=scope), chosen)
        kept = tuple(pair for pair in query if pair[0] not in _NOT_KEPT)
        READER.set(reader._replace(path=scope["path"], query=kept))

        async def remembering(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("Set-Cookie", _cookie(reader))
            await send(message)

        await self.app(scope, receive, remembering if chosen else send)


def _reader(headers: Headers, chosen: Mapping[str, str]) -> Reader:
    kept = _kept(headers.get("cookie", ""))
    language = kept.get("lang") or _accepted(headers.get("accept-language", ""))
    found = {"lang": language, "hours": kept.get("hours", HOURS[0]), **chosen}
    return Reader(language=found["lang"], hours=found["hours"])


def _chosen(asked: Mapping[str, str]) -> dict[str, str]:
    """What of the asked is a language or a clock that there is."""
    known = {"lang": tuple(LANGUAGES), "hours": HOURS}
    return {name: text for name, text in asked.items() if text in known[name]}


def _kept(header: str) -> dict[str, str]:
    try:
        cookies = SimpleCookie(header)
    except CookieError:
        return {}
    found = cookies.get(COOKIE)
    language, _, hours = (found.value if found else "").partition("-")
    return _chosen({"lang": language, "hours": hours})


def _accepted(header: str) -> str:
    """The first of our languages by its quality in an Accept-Language header, else English."""
    best, quality = next(iter(LANGUAGES)), 0.0
    for part in header.split(","):
        name, _, told = part.partition(";")
        language = name.strip().partition("-")[0].lower()
        found = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", told)
        liked = float(found[1]) if found else 0.0 if told.strip() else 1.0
        if language in LANGUAGES and liked > quality:
            best, quality = language, liked
    return best


def _cookie(reader: Reader) -> str:
    kept = f"{reader.language}-{reader.hours}"
    return f"{COOKIE}={kept}; Path=/; HttpOnly; SameSite=Lax; Max-Age={A_YEAR_S}"
