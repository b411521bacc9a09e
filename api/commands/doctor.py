"""`wardtwin doctor`: is this machine, this configuration and this store fit to run?"""

import importlib.metadata
import os
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from api.commands import Call, Command
from twin_core.errors import StoreBusy, TwinError
from twin_core.settings import MAIN_FEED, TlsSettings

Verdict = Literal["ok", "warn", "fail", "skipped"]

OLDEST_PYTHON = (3, 11)
LITTLE_SPACE, NO_SPACE = 5 * 1024**3, 512 * 1024**2
NOT_BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
"""This program did not exist earlier, so a clock that shows an earlier instant is wrong."""

_ANY_MESSAGE = b"MSH|^~\\&|A|B|C|D|20260101||ADT^A08|1|P|2.5.1\r"
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_ILL = {"stopped", "retrying", "connecting", "not configured"}
_OUT_OF_STEP = {"failed", "refused", "unreachable", "resting", "partly in step", "not configured"}
"""States of a destination that need somebody's attention."""
_COLORS = {"ok": "32", "warn": "33", "fail": "31", "skipped": "2"}


class Check(NamedTuple):
    """What was looked at, how it is, and what to do about it."""

    check: str
    verdict: Verdict
    said: str


def run(call: Call) -> int:
    """Print every check; findings (exit 1) where one failed or warns."""
    checks = list(_checks(call))
    if call.terminal.as_json:
        call.terminal.json([check._asdict() for check in checks])
    else:
        for check in checks:
            verdict = call.terminal.styled(
                f"{check.verdict:<4}", _COLORS[check.verdict], call.terminal.out
            )
            call.terminal.line(f"{verdict}  {check.check:<10} {check.said}")
    return 1 if any(check.verdict != "ok" for check in checks) else 0


def _checks(call: Call) -> Iterator[Check]:
    readable = True
    for look in CHECKS:
        if readable or look in WITHOUT_SETTINGS:
            told = list(_guarded(look, call))
            yield from told
            readable = readable and not (look is _settings and told[0].verdict == "fail")
        else:
            yield Check(_name(look), "skipped", "not looked at: the settings are not usable")


def _guarded(look: "Look", call: Call) -> Iterator[Check]:
    try:
        yield from look(call)
    except TwinError as error:
        yield Check(_name(look), "fail", str(error))


def _name(look: "Look") -> str:
    return look.__name__.strip("_")


def _settings(call: Call) -> Iterator[Check]:
    settings = call.loaded.settings
    origins = sorted(set(call.loaded.origins.values())) or ["defaults only"]
    yield Check("settings", "ok", f"usable; from {', '.join(origins)}")
    unzoned = sorted(name for name, feed in settings.feeds.items() if feed.time_zone is None)
    if unzoned:
        yield Check("settings", "warn", f"feeds without time_zone, read as UTC: {unzoned}")


def _kpis(call: Call) -> Iterator[Check]:
    # Loaded here for the same reason as the store below.
    from twin_core.kpi.site import judge, known_kpis

    folder = call.settings.kpi.folder
    known = known_kpis(folder)
    judge(known, folder)
    own = [kpi for kpi in known.values() if kpi.origin == "site"]
    taken = sum(bool(kpi.replaces) for kpi in own)
    said = f"; {len(own)} of the site's own, {taken} in place of built-in ones" if own else ""
    yield Check("kpis", "ok", f"{len(known)} are defined{said}")


def _python(call: Call) -> Iterator[Check]:
    found = ".".join(map(str, sys.version_info[:3]))
    verdict: Verdict = "ok" if sys.version_info >= OLDEST_PYTHON else "fail"
    yield Check("python", verdict, f"{found} (3.11 or newer is needed)")


def _packages(call: Call) -> Iterator[Check]:
    try:
        needed = importlib.metadata.requires("wardtwin") or []
    except importlib.metadata.PackageNotFoundError:
        yield Check("packages", "warn", "wardtwin is not installed; run `pip install .`")
        return
    names = [match[0] for line in needed if "extra ==" not in line and (match := _NAME.match(line))]
    missing = [name for name in names if not _is_installed(name)]
    if missing:
        yield Check("packages", "fail", f"missing: {', '.join(missing)}; run `pip install .`")
    else:
        yield Check("packages", "ok", f"all {len(names)} are installed")


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _disk(call: Call) -> Iterator[Check]:
    folder = call.path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    verdict: Verdict = "ok" if free >= LITTLE_SPACE else "warn" if free >= NO_SPACE else "fail"
    yield Check("disk", verdict, f"{free / 1024**3:,.1f} GiB free in {folder}")


def _clock(call: Call) -> Iterator[Check]:
    now = datetime.now(UTC)
    if now < NOT_BEFORE:
        yield Check("clock", "fail", f"it shows {now:%Y-%m-%d}; set it")
        return
    halves = [half for half in _halves(call.path) if half.exists()]
    newest = max(map(_modified_at, halves), default=now)
    if newest > now:
        yield Check("clock", "warn", f"it shows {now:%Y-%m-%d %H:%M}Z; the store was written later")
    else:
        yield Check("clock", "ok", f"it shows {now:%Y-%m-%d %H:%M}Z")


def _modified_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _halves(path: Path) -> tuple[Path, Path]:
    return path, Path(f"{path}.inbox")


def _store(call: Call) -> Iterator[Check]:
    # Loaded here, so that a broken installation is reported above instead of ending the doctor.
    from api.holder import reach
    from twin_core import Twin

    there = [half.exists() for half in _halves(call.path)]
    if not any(there):
        yield Check("store", "ok", f"there is none at {call.path} yet")
        return
    holder = reach(call.path, call.environ)
    if holder is not None:
        pid = holder.hello()["pid"]
        holder.close()
        yield Check("store", "ok", f"held by the server with process id {pid}, which answers")
        return
    try:
        with Twin.open(call.path, settings=call.settings, create=False) as twin:
            said = f"both halves belong together; {twin.position():,} messages applied"
            waiting = twin.quarantined(1)
        yield Check("store", "ok", said)
        if waiting:
            yield Check("quarantine", "warn", "not empty; see `wardtwin quarantine list`")
    except StoreBusy as error:
        yield Check("store", "warn", str(error))


def _encryption(call: Call) -> Iterator[Check]:
    """The key of the store: whether it can be read, fits the store, and is kept apart from it."""
    from api.encryption import encryption_of

    found = encryption_of(call.settings)
    yield Check("encryption", found.verdict, found.said)


def _ports(call: Call) -> Iterator[Check]:
    from api.holder import reach

    holder = reach(call.path, call.environ)
    if holder is not None:
        holder.close()
        yield Check("ports", "ok", "not looked at: this store's server is running")
        return
    http = call.settings.http
    yield _port("http", http.host, http.port, "--http-port")
    for feed, at in call.settings.listeners().items():
        key = "--mllp-port" if feed == MAIN_FEED else f"feeds.{feed}.port"
        yield _port("mllp" if feed == MAIN_FEED else feed, at.host, at.port, key)


def _port(name: str, host: str, port: int, key: str) -> Check:
    free = _is_free(host, port)
    said = "free" if free else f"in use; choose another with {key}"
    return Check(f"{name} port", "ok" if free else "fail", f"{port} on {host} is {said}")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError:
        return False
    return True


def _certificates(call: Call) -> Iterator[Check]:
    http = call.settings.http.tls
    if http is not None:
        yield _certificate("tls http", "http.tls", http.as_listener())
    for feed, mllp in call.settings.listeners().items():
        if mllp.tls is None:
            continue
        own = feed != MAIN_FEED or call.settings.feed(feed).tls is not None
        where = f"feeds.{feed}.tls" if own else "mllp.tls"
        yield _certificate(f"tls {feed}", where, mllp.tls)


def _certificate(name: str, where: str, tls: TlsSettings) -> Check:
    from adapters.hl7v2.tls import Certificates
    from api.feeds import certificate_warning

    try:
        expires_at = Certificates(where, tls).expires_at
    except TwinError as error:
        return Check(name, "fail", str(error))
    now = datetime.now(UTC)
    warning = certificate_warning(now, expires_at)
    verdict: Verdict = "fail" if expires_at <= now else "warn" if warning else "ok"
    return Check(name, verdict, warning or f"its certificate holds until {expires_at:%Y-%m-%d}")


def _doors(call: Call) -> Iterator[Check]:
    """Who may come in: a lock that nobody has a key to is a finding, and so is no lock but TLS."""
    from api.access.store import AccessStore, access_path
    from twin_core.clock import SystemClock

    access = call.settings.access
    if access is None:
        yield Check("access", "ok", "no [access], so that only this machine is served")
        return
    path = access_path(call.path)
    keys = AccessStore(path, SystemClock()).keys() if path.exists() else []
    live = [key for key in keys if key.revoked_at is None]
    said = f"{len(live):,} API keys; provider {access.issuer or 'none'}"
    if not live and not access.issuer:
        yield Check("access", "fail", f"{said}: nobody can come in; see `wardtwin keys create`")
    elif path.exists() and path.stat().st_mode & 0o077:
        yield Check("access", "fail", f"{path} may be read by others; run `chmod 600 {path}`")
    else:
        yield Check("access", "ok", said)


def _ledger(call: Call) -> Iterator[Check]:
    """The ledger of accesses: whether it can go on, and what vouches for it elsewhere."""
    from api.audit.opening import audit_keys
    from twin_core.audit import LedgerReader, ledger_path
    from twin_core.encryption import read_key

    path = ledger_path(call.path)
    if not path.exists():
        return
    try:
        audit_keys(call.settings.audit, call.path)
        reader = LedgerReader(path, read_key(call.settings.encryption))
        checkpoints = len(reader.notes())
        reader.close()
    except TwinError as error:
        yield Check("ledger", "fail", str(error))
        return
    elsewhere = call.settings.audit.checkpoints
    said = f"{checkpoints:,} checkpoints, kept in {', '.join(elsewhere)}"
    if not elsewhere:
        said = "its checkpoints are kept beside it only; see audit.checkpoints"
    yield Check("ledger", "ok", said)


def _profiles(call: Call) -> Iterator[Check]:
    """Message profiles of strict feeds, and the judge itself, which is built on first use."""
    from adapters.hl7v2.validate import message_profile, validate

    strict = {n: f for n, f in call.settings.feeds.items() if f.strictness == "strict"}
    for name, feed in strict.items():
        try:
            profile = feed.profile and message_profile(feed.profile)
        except TwinError as error:
            yield Check(f"profile {name}", "fail", str(error))
            continue
        validate(_ANY_MESSAGE, "strict", feed.profile)
        said = f"{len(profile)} message structures in {feed.profile}" if profile else "the standard"
        yield Check(f"profile {name}", "ok", f"every message is judged by {said}")


def _folders(call: Call) -> Iterator[Check]:
    """Folders that are watched: the server waits for one that is not there, and files with it."""
    from api.watching import watched_folders

    for feed, folder in watched_folders(call.settings).items():
        usable = os.access(folder.path, os.R_OK | os.W_OK | os.X_OK) and folder.path.is_dir()
        said = (
            "is there"
            if usable
            else f"is no folder to read and move files in; see feeds.{feed}.folder.path"
        )
        yield Check(f"folder {feed}", "ok" if usable else "fail", f"{folder.path} {said}")


def _destinations(call: Call) -> Iterator[Check]:
    """The files that connections to destinations are secured with."""
    from api.outbound.message import secured

    for name, settings in call.settings.outbound.items():
        if settings.tls is None:
            continue
        try:
            secured(name, settings)
            yield from _own_certificate(name, settings.tls.certificate)
        except TwinError as error:
            yield Check(f"outbound {name}", "fail", str(error))


def _own_certificate(name: str, certificate: Path | None) -> Iterator[Check]:
    """Until when the certificate holds that a destination is shown."""
    from adapters.hl7v2.tls import ends_at
    from api.feeds import LITTLE_VALIDITY

    if certificate is None:
        return
    end, now = ends_at(f"outbound.{name}.tls", certificate), datetime.now(UTC)
    verdict: Verdict = "fail" if end <= now else "warn" if end - now < LITTLE_VALIDITY else "ok"
    said = "ended" if end <= now else "ends" if verdict == "warn" else "holds until"
    what = ": renew it" if verdict != "ok" else ""
    yield Check(f"outbound {name}", verdict, f"its certificate {said} {end:%Y-%m-%d}{what}")


def _feeds(call: Call) -> Iterator[Check]:
    from api.holder import reach

    # Without a server nobody listens, and silence says nothing of a feed.
    holder = reach(call.path, call.environ)
    if holder is None:
        return
    feeds = holder.ask("feeds")
    holder.close()
    for feed in feeds:
        if feed["state"] in {"ok", "silent"}:
            said = "; ".join(feed["warnings"]) or f"last message at {feed['last_message_at']}"
            yield Check(f"feed {feed['feed']}", "warn" if feed["warnings"] else "ok", said)


def _outbound(call: Call) -> Iterator[Check]:
    from api.desk import desk

    if not call.settings.outbound or not call.path.exists():
        return
    with desk(call) as answering:
        for fed in answering.ask("outbound_list"):
            yield _fed(fed)


def _fed(fed: dict[str, Any]) -> Check:
    """A destination that stands still or has parked messages is a finding."""
    said = f"{fed['to']}: {fed['state']}, {fed['delivered']:,} delivered, {fed['behind']:,} behind"
    if fed["parked"]:
        said += f", {fed['parked']:,} parked; see `wardtwin outbound show {fed['destination']}`"
    if fed["reason"]:
        said += f" ({fed['reason']})"
    ill = fed["parked"] or fed["state"] in _ILL
    return Check(f"outbound {fed['destination']}", "warn" if ill else "ok", said)


def _sources(call: Call) -> Iterator[Check]:
    """FHIR servers that are read: whether their secrets are there, and how each is doing."""
    from api.desk import desk
    from api.sources.opening import usable
    from api.sources.status import unread

    for name, source in call.settings.sources.items():
        try:
            usable(name, source)
        except TwinError as error:
            yield Check(f"source {name}", "fail", str(error))
    if not call.settings.sources:
        return
    if not call.path.exists():
        yield from map(_read, unread(call.settings))
        return
    with desk(call) as answering:
        yield from map(_read, answering.ask("sources_list"))


def _read(source: dict[str, Any]) -> Check:
    """A source that the twin is not in step with is a finding; one that never was is none."""
    said = f"{source['url']}: {source['state']}"
    if source["lag_seconds"] is not None:
        said += f", last in step {source['lag_seconds']:,.0f} s ago"
    if source["breaker"] != "closed":
        said += f", its breaker is {source['breaker']}"
    if source["reason"]:
        said += f" ({source['reason']})"
    ill = source["state"] in _OUT_OF_STEP
    return Check(f"source {source['source']}", "warn" if ill else "ok", said)


Look = Callable[[Call], Iterator[Check]]
CHECKS: tuple[Look, ...] = (
    _settings,
    _python,
    _packages,
    _kpis,
    _disk,
    _clock,
    _encryption,
    _store,
    _ports,
    _certificates,
    _doors,
    _ledger,
    _profiles,
    _folders,
    _destinations,
    _feeds,
    _outbound,
    _sources,
)
WITHOUT_SETTINGS = {_settings, _python, _packages}

COMMAND = Command(
    name="doctor",
    help="check machine, settings and store; exit 1 on findings",
    examples=("wardtwin doctor", "wardtwin doctor --config site.toml --json"),
    run=run,
)
