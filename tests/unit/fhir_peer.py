"""A FHIR server for tests, whose faults each test switches on; and a world whose time is its own.

It keeps versions and deletes by a clock of its own, and pages in the ways of real servers: by
cursor, by offset, or by a stored search.
"""

import asyncio
import contextlib
import gzip
import json
import socket
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from adapters.fhir.client.server import FhirServer
from adapters.fhir.client.world import World
from twin_core.settings import LimitSettings, SourceSettings

BEGAN = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)
FHIR = "application/fhir+json"
TOKEN = "token-{0}-of-the-server"  # noqa: S105  (a test's)


class Time:
    """A clock that moves only when somebody sleeps, or a test moves it."""

    def __init__(self, at=BEGAN):
        self.at = at
        self.slept = []

    def now(self):
        return self.at

    def monotonic(self):
        return (self.at - BEGAN).total_seconds()

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    def world(self, seed=7):
        return World(self, self.monotonic, self.sleep, Random(seed))


class Version:
    """One version of a resource; `body` is None where it was deleted."""

    def __init__(self, number, at, body):
        self.number, self.at, self.body = number, at, body


class Peer:
    """The server: `put` and `delete` change it, its attributes make it faulty."""

    def __init__(self, time=None, base="http://peer.test/fhir"):
        self.time = time or Time()
        self.base = base
        self.kept = {}
        self.asked = []
        """(method, path with query) of every request."""
        self.headers = []
        self.page_style = "cursor"
        self.stored = {}
        self.refuses, self.ignores = set(), set()
        """Search parameters that are answered with 400, and those that are passed over."""
        self.answers = []
        """Answers given before any other: (status, headers, body)."""
        self.on_page = {}
        """Number of a search page, from 1 -> what is done before it is answered."""
        self.loops = ""
        self.links = "absolute"
        self.known_as = base
        self.cut_pages = set()
        self.pages = 0
        self.lost_pages = set()
        self.dates = True
        self.history = True
        self.says_etag = False
        self.fhir_version = "4.0.1"
        self.tokens = None
        """Where set, requests need the token of this number."""
        self.token_uses = 0
        """Where set, a token is refused after so many uses."""
        self.used = Counter()
        self.token_requests = []
        self.expires_in = 3600
        self.token_answer = None
        self.kinds = ["Patient", "Encounter", "Location", "Observation"]
        self.export = None
        self.app = FastAPI(openapi_url=None)
        self.app.add_api_route(
            "/{path:path}", self.serve, methods=["GET", "POST", "DELETE"], response_model=None
        )

    # --- what a test does ----------------------------------------------------------------------

    def put(self, kind, id_, at=None, **body):
        versions = self.kept.setdefault(kind, {}).setdefault(id_, [])
        self.time.at += timedelta(milliseconds=1)
        at = at or self.time.now()
        versions.append(Version(len(versions) + 1, at, {"resourceType": kind, "id": id_, **body}))
        return versions[-1]

    def delete(self, kind, id_):
        versions = self.kept[kind][id_]
        self.time.at += timedelta(milliseconds=1)
        versions.append(Version(len(versions) + 1, self.time.now(), None))

    def people(self, number, prefix="p", **body):
        for one in range(number):
            self.put("Patient", f"{prefix}{one}", gender="female", **body)

    def resource(self, version):
        meta = {"versionId": str(version.number), "lastUpdated": stamp(version.at)}
        return {**version.body, "meta": {**version.body.get("meta", {}), **meta}}

    def live(self, kind):
        newest = (versions[-1] for versions in self.kept.get(kind, {}).values())
        return [version for version in newest if version.body is not None]

    # --- what it answers -----------------------------------------------------------------------

    async def serve(self, request: Request, path: str):
        query = request.url.query
        self.asked.append((request.method, f"/{path}" + (f"?{query}" if query else "")))
        self.headers.append(dict(request.headers))
        if self.answers:
            status, headers, body = self.answers.pop(0)
            return Response(body, status, headers)
        below = f"/{path}".removeprefix(urlsplit(self.base).path).strip("/")
        if below == "token":
            return await self.token(request)
        if below == ".well-known/smart-configuration":
            return self.json({"token_endpoint": f"{self.base}/token"})
        if below == "metadata":
            return self.json(self.metadata())
        is_file = self.export is not None and below.startswith("files/")
        refused = None if is_file else self.unauthorized(request)
        if refused:
            return refused
        if self.export is not None:
            answer = self.export.answer(request, below)
            if answer is not None:
                return answer
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        return self.fhir(below, parameters, request)

    def fhir(self, below, parameters, request):
        parts = below.split("/")
        if len(parts) == 1 and (parts[0] in self.kinds or "_getpages" in parameters):
            return self.search(parts[0], parameters, request)
        if len(parts) == 2 and parts[1] == "_history" and self.history:
            return self.type_history(parts[0], parameters)
        if len(parts) == 2 and parts[0] in self.kinds:
            return self.read(parts[0], parts[1], request)
        return self.outcome(404, "not-found")

    def metadata(self):
        interactions = [{"code": code} for code in ("read", "search-type")]
        interactions += [{"code": "history-type"}] if self.history else []
        kinds = [{"type": kind, "interaction": interactions} for kind in self.kinds]
        operations = [{"name": "export"}] if self.export else []
        return {
            "resourceType": "CapabilityStatement",
            "fhirVersion": self.fhir_version,
            "software": {"name": "Peer", "version": "1"},
            "implementation": {"url": self.known_as},
            "rest": [{"mode": "server", "resource": kinds, "operation": operations}],
        }

    async def token(self, request):
        form = parse_qs((await request.body()).decode())
        self.token_requests.append((dict(request.headers), {k: v[0] for k, v in form.items()}))
        if self.token_answer is not None:
            status, body = self.token_answer
            return JSONResponse(body, status)
        self.tokens = (self.tokens or 0) + 1
        granted = {"access_token": TOKEN.format(self.tokens), "token_type": "Bearer"}
        return JSONResponse(granted | {"expires_in": self.expires_in})

    def unauthorized(self, request):
        if self.tokens is None:
            return None
        shown = request.headers.get("authorization", "")
        self.used[shown] += 1
        spent = self.token_uses and self.used[shown] > self.token_uses
        if shown != f"Bearer {TOKEN.format(self.tokens)}" or spent:
            return self.outcome(401, "login")
        return None

    def search(self, kind, parameters, request):
        for name in parameters:
            if name in self.refuses:
                return self.outcome(400, "invalid")
        self.pages += 1
        for act in [self.on_page.pop(self.pages, None)]:
            if act is not None:
                act()
        if self.pages in self.lost_pages:
            return self.outcome(410, "deleted")
        heeded = {k: v for k, v in parameters.items() if k not in self.ignores}
        found, rest = self.found(kind, heeded)
        bundle = {
            "resourceType": "Bundle",
            "type": "searchset",
            "link": [{"relation": "self", "url": self.link(kind, heeded)}],
            "entry": found,
        }
        if rest is not None:
            bundle["link"].append({"relation": "next", "url": self.link(*rest)})
        return self.paged(bundle, request)

    def paged(self, bundle, request):
        body = json.dumps(bundle)
        if self.pages in self.cut_pages:
            body = body[: len(body) // 2]
        headers = {"Content-Type": FHIR, **self.dated()}
        if self.says_etag:
            headers["ETag"] = etag = f'W/"{hash(body) & 0xFFFF}"'
            if request.headers.get("if-none-match") == etag:
                return Response(status_code=304, headers=headers)
        return Response(body, headers=headers)

    def found(self, kind, parameters):
        """The entries of a page, and kind and parameters of the next one."""
        if "_getpages" in parameters:
            several, kind = self.stored[parameters["_getpages"]]
        else:
            several = self.matches(kind, parameters)
        count = int(parameters.get("_count", 10))
        begin = int(parameters.get("_offset", parameters.get("_getpagesoffset", 0)))
        if "_cursor" in parameters:
            after = tuple(json.loads(parameters["_cursor"]))
            several = [one for one in several if (stamp(one.at), one.body["id"]) > after]
        page = several[begin : begin + count]
        entries = [self.entry(one, kind) for one in page]
        if begin + count >= len(several) and not self.loops:
            return entries, None
        following = {k: v for k, v in parameters.items() if k != "_cursor"}
        if self.loops == "same":
            return entries, (kind, parameters)
        if self.loops == "fresh":
            return entries, (kind, {**following, "nonce": str(self.pages)})
        if self.page_style == "cursor" and "_sort" in parameters:
            last = [stamp(page[-1].at), page[-1].body["id"]]
            return entries, (kind, {**following, "_cursor": json.dumps(last)})
        if self.page_style == "stored":
            key = parameters.get("_getpages") or f"search-{len(self.stored)}"
            self.stored.setdefault(key, (several, kind))
            following = {"_getpages": key, "_getpagesoffset": str(begin + count)}
            return entries, ("", {**following, "_count": str(count)})
        return entries, (kind, {**following, "_offset": str(begin + count)})

    def matches(self, kind, parameters):
        if parameters.get("_deleted") == "true":
            newest = (versions[-1] for versions in self.kept.get(kind, {}).values())
            several = [one for one in newest if one.body is None]
            for one in several:
                id_ = next(k for k, v in self.kept[kind].items() if v[-1] is one)
                one.stub = {"resourceType": kind, "id": id_}
        else:
            several = self.live(kind)
        lower = parameters.get("_lastUpdated", "")
        if lower:
            several = [one for one in several if stamp(one.at) >= lower.removeprefix("ge")]
        if parameters.get("_sort") == "_lastUpdated":
            several = sorted(several, key=lambda one: (stamp(one.at), self.id_of(one)))
        return several

    def id_of(self, one):
        return (one.body or one.stub)["id"]

    def entry(self, one, kind):
        if one.body is None:
            body = {**one.stub, "meta": {"lastUpdated": stamp(one.at)}}
        else:
            body = self.resource(one)
        url = f"{self.known_as}/{kind}/{body['id']}"
        return {"fullUrl": url, "resource": body, "search": {"mode": "match"}}

    def link(self, kind, parameters):
        query = urlencode(parameters)
        if self.links == "relative":
            return f"{kind}?{query}"
        if self.links == "query":
            return f"?{query}"
        return f"{self.known_as}/{kind}?{query}".replace("/?", "?")

    def read(self, kind, id_, request):
        versions = self.kept.get(kind, {}).get(id_)
        if not versions:
            return self.outcome(404, "not-found")
        newest = versions[-1]
        if newest.body is None:
            return self.outcome(410, "deleted")
        etag = f'W/"{newest.number}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"ETag": etag})
        return self.json(self.resource(newest), {"ETag": etag})

    def type_history(self, kind, parameters):
        since = parameters.get("_since", "")
        entries = []
        for id_, versions in self.kept.get(kind, {}).items():
            for one in versions:
                if stamp(one.at) >= since:
                    entries.append((one.at, self.history_entry(kind, id_, one)))
        newest_first = [entry for _, entry in sorted(entries, key=lambda pair: pair[0])[::-1]]
        count, begin = int(parameters.get("_count", 10)), int(parameters.get("_offset", 0))
        bundle = {
            "resourceType": "Bundle",
            "type": "history",
            "entry": newest_first[begin : begin + count],
        }
        if begin + count < len(newest_first):
            following = urlencode({**parameters, "_offset": str(begin + count)})
            url = f"{self.known_as}/{kind}/_history?{following}"
            bundle["link"] = [{"relation": "next", "url": url}]
        return self.json(bundle)

    def history_entry(self, kind, id_, one):
        url = f"{kind}/{id_}/_history/{one.number}"
        entry = {
            "fullUrl": f"{self.known_as}/{kind}/{id_}",
            "request": {"method": "DELETE" if one.body is None else "PUT", "url": url},
            "response": {
                "status": "204" if one.body is None else "200",
                "etag": f'W/"{one.number}"',
                "lastModified": stamp(one.at),
            },
        }
        return entry if one.body is None else {**entry, "resource": self.resource(one)}

    def outcome(self, status, code):
        issue = {"severity": "error", "code": code, "diagnostics": "Mrs Secret, born 1944"}
        return self.json({"resourceType": "OperationOutcome", "issue": [issue]}, status=status)

    def json(self, tree, headers=None, status=200):
        told = {**self.dated(), **(headers or {})}
        return Response(json.dumps(tree), status, told, media_type=FHIR)

    def dated(self):
        at = self.time.now().strftime("%a, %d %b %Y %H:%M:%S GMT")
        return {"Date": at} if self.dates else {}


class PeerExport:
    """The Bulk Data half of a peer: attributes are its faults."""

    def __init__(self, peer):
        self.peer = peer
        peer.export = self
        self.kicked = []
        self.polls_until_ready = 2
        self.polls = 0
        self.poll_headers = [{"Retry-After": "7", "X-Progress": "50% <Mrs Secret>"}, {}]
        self.lost_polls = set()
        """Polls, from 1, that are answered with 404."""
        self.needs_token = False
        self.relative = False
        self.deleted = []
        self.errors = []
        self.files = {}
        self.file_lines = 4
        self.breaks = []
        """Before each answer of a file: after how many bytes the connection breaks, or None."""
        self.cuts = []
        """Before each answer of a file: how many bytes are left out as if they were not there."""
        self.ranges = True
        self.packed = False
        self.says_count = True
        self.slow_s = 0
        """How many seconds each of a few parts of a file takes."""
        self.says_length = True
        self.expire_after = 0
        """After so many answers of files their addresses have expired, until polled again."""
        self.file_answers = 0
        self.signature = 1
        self.forgotten = False
        self.removed = []
        self.made = None

    def answer(self, request, below):
        if below.endswith("$export"):
            return self.kick_off(request, below)
        if below.startswith("jobs/"):
            if request.method == "DELETE":
                self.removed.append(below)
                return Response("Accepted", 202)
            return self.status(request)
        if below.startswith("files/"):
            return self.file(request, below)
        return None

    def kick_off(self, request, below):
        self.kicked.append((below, dict(parse_qsl(request.url.query)), dict(request.headers)))
        self.polls, self.made, self.forgotten = 0, self.make(request), False
        location = f"jobs/{len(self.kicked)}"
        base = urlsplit(self.peer.base).path if self.relative else self.peer.base
        return Response(status_code=202, headers={"Content-Location": f"{base}/{location}"})

    def make(self, request):
        asked = dict(parse_qsl(query_of(request)))
        since = asked.get("_since", "")
        now = stamp(self.peer.time.now())
        self.files, listed = {}, []
        for kind in asked["_type"].split(","):
            lines = [
                json.dumps(self.peer.resource(one))
                for one in self.peer.live(kind)
                if stamp(one.at) >= since
            ]
            for at in range(0, len(lines), self.file_lines):
                listed.append(("output", kind, lines[at : at + self.file_lines]))
        for several, category in ((self.deleted, "deleted"), (self.errors, "error")):
            if several:
                listed.append((category, "Bundle", [json.dumps(one) for one in several]))
        for number, (category, kind, lines) in enumerate(listed):
            self.files[f"files/{number}"] = (category, kind, lines)
        return now

    def status(self, request):
        self.polls += 1
        if self.polls in self.lost_polls or self.forgotten:
            return self.peer.outcome(404, "not-found")
        if self.polls <= self.polls_until_ready:
            headers = self.poll_headers[min(self.polls, len(self.poll_headers)) - 1]
            return Response(status_code=202, headers={**self.peer.dated(), **headers})
        self.signature += 1
        self.file_answers = 0
        manifest = {
            "transactionTime": self.made,
            "request": "x",
            "requiresAccessToken": self.needs_token,
        }
        for category in ("output", "deleted", "error"):
            manifest[category] = [
                self.listed(path, kind, lines)
                for path, (of, kind, lines) in self.files.items()
                if of == category
            ]
        return self.peer.json(manifest)

    def listed(self, path, kind, lines):
        told = {"type": kind, "url": f"{self.peer.base}/{path}?sig={self.signature}"}
        return told | ({"count": len(lines)} if self.says_count else {})

    def file(self, request, below):
        self.file_answers += 1
        stale = request.query_params.get("sig") != str(self.signature)
        if stale or (self.expire_after and self.file_answers > self.expire_after):
            return self.peer.outcome(410, "deleted")
        if self.needs_token and self.peer.unauthorized(request):
            return self.peer.unauthorized(request)
        lines = self.files[below][2]
        body = ("\n".join(lines) + "\n").encode()
        headers = {"Content-Type": "application/fhir+ndjson", "ETag": '"v1"'}
        if self.packed and "gzip" in request.headers.get("accept-encoding", ""):
            body = gzip.compress(body, mtime=0)
            headers["Content-Encoding"] = "gzip"
        left_out = self.cuts.pop(0) if self.cuts else 0
        body = body[: len(body) - left_out]
        begin, status = 0, 200
        asked = request.headers.get("range", "")
        if asked and self.ranges and request.headers.get("if-range", '"v1"') == '"v1"':
            begin, status = int(asked.removeprefix("bytes=").rstrip("-")), 206
            headers["Content-Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
        if self.says_length:
            headers["Content-Length"] = str(len(body) - begin)
        if self.slow_s:
            return StreamingResponse(self.slowly(body[begin:]), status, headers)
        breaks = self.breaks.pop(0) if self.breaks else None
        return Breaking(body[begin:], breaks, status, headers)

    def slowly(self, body):
        for byte in range(0, len(body), 100):
            self.peer.time.at += timedelta(seconds=self.slow_s)
            yield body[byte : byte + 100]


def query_of(request):
    query = request.url.query
    return query.decode() if isinstance(query, bytes) else query


class Breaking(Response):
    """An answer whose connection breaks after so many bytes."""

    def __init__(self, body, breaks, status, headers):
        super().__init__(b"", status, headers)
        self.whole, self.breaks = body, breaks

    async def __call__(self, scope, receive, send):
        head = {"type": "http.response.start", "status": self.status_code}
        await send({**head, "headers": self.raw_headers})
        if self.breaks is None:
            await send({"type": "http.response.body", "body": self.whole})
            return
        for byte in range(0, self.breaks, 7):
            part = self.whole[byte : min(byte + 7, self.breaks)]
            await send({"type": "http.response.body", "body": part, "more_body": True})
        raise ConnectionResetError


def stamp(at):
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def settings(**changed):
    table = {"url": "http://peer.test/fhir", "types": ("Patient",), "page_size": 3}
    return SourceSettings.model_validate({"requests_per_second": 0, **table, **changed})


@contextlib.asynccontextmanager
async def met(peer, source=None, name="pas"):
    """The peer as the client meets it, without a network between them."""
    transport = httpx.ASGITransport(app=peer.app)
    async with httpx.AsyncClient(transport=transport, follow_redirects=False) as http:
        limits = LimitSettings()
        yield FhirServer(name, source or settings(), limits, http, peer.time.world())


@contextlib.contextmanager
def listening(app):
    """An application (or how one is served) on a port of this machine, in a thread."""
    config = app
    if not isinstance(app, uvicorn.Config):
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level=100,
            access_log=False,
            lifespan="off",
            date_header=False,
            ws="none",
        )
    with socket.create_server(("127.0.0.1", 0)) as opened:
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{opened.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
