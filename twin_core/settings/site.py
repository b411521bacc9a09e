"""Every section of a site's settings together, and what must hold between them."""

import os
from itertools import combinations

from pydantic import SecretStr, model_validator

from twin_core.settings.access import AccessSettings
from twin_core.settings.alerts import AlertSettings
from twin_core.settings.audit import AuditSettings
from twin_core.settings.deid import DeidSettings
from twin_core.settings.encryption import EncryptionSettings
from twin_core.settings.facilities import FacilitySettings
from twin_core.settings.feeds import MAIN_FEED, FeedSettings
from twin_core.settings.fhir import FhirSettings
from twin_core.settings.kpi import KpiSettings
from twin_core.settings.limits import LimitSettings
from twin_core.settings.listeners import HttpSettings, MllpSettings
from twin_core.settings.outbound import OutboundSettings
from twin_core.settings.precedence import PrecedenceSettings
from twin_core.settings.retention import RetentionSettings
from twin_core.settings.section import Section, is_loopback
from twin_core.settings.simulation import SimulationSettings
from twin_core.settings.sources import SourceName, SourceSettings
from twin_core.settings.store import StoreSettings


class SecretSettings(Section):
    """Secrets; shown as stars wherever settings are shown."""

    api_token: SecretStr | None = None
    """Reserved for access control."""


_UNCONFIGURED = FeedSettings()


_EVERY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104  (compared with, never bound)


_LOCAL = "127.0.0.1"


class Settings(Section):
    """Everything a site may set."""

    store: StoreSettings = StoreSettings()
    mllp: MllpSettings = MllpSettings()
    http: HttpSettings = HttpSettings()
    limits: LimitSettings = LimitSettings()
    fhir: FhirSettings = FhirSettings()
    precedence: PrecedenceSettings = PrecedenceSettings()
    kpi: KpiSettings = KpiSettings()
    audit: AuditSettings = AuditSettings()
    retention: RetentionSettings = RetentionSettings()
    simulation: SimulationSettings = SimulationSettings()
    access: AccessSettings | None = None
    secrets: SecretSettings = SecretSettings()
    deid: DeidSettings = DeidSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    feeds: dict[str, FeedSettings] = {}
    facilities: dict[str, FacilitySettings] = {}
    outbound: dict[str, OutboundSettings] = {}
    sources: dict[SourceName, SourceSettings] = {}
    alerts: dict[str, AlertSettings] = {}

    def feed(self, name: str) -> FeedSettings:
        """The settings of a feed; one that is not configured has the defaults."""
        return self.feeds.get(name, _UNCONFIGURED)

    def listeners(self) -> dict[str, MllpSettings]:
        """How each feed that has a listener listens, by its name; the main feed first."""
        names = [MAIN_FEED, *sorted(self.feeds.keys() - {MAIN_FEED})]
        return {
            name: self._listener(self.feed(name))
            for name in names
            if name == MAIN_FEED or self.feed(name).port is not None
        }

    def _listener(self, feed: FeedSettings) -> MllpSettings:
        own = {name: getattr(feed, name) for name in MllpSettings.model_fields}
        return self.mllp.model_copy(update={k: v for k, v in own.items() if v is not None})

    @model_validator(mode="after")
    def _one_listener_per_port(self) -> "Settings":
        bound = [
            (f"{'mllp' if name == MAIN_FEED else f'feeds.{name}'}.port", f"feed {name}", mllp)
            for name, mllp in self.listeners().items()
        ]
        for (_, one, at), (key, other, there) in combinations(bound, 2):
            if _collide(at, there):
                raise ValueError(f"{key}: {one} and {other} both listen on port {at.port}")
        for key, feed, at in bound:
            if _collide(self.http, at):
                raise ValueError(f"http.port, {key}: the board and {feed} share port {at.port}")
        return self

    @model_validator(mode="after")
    def _peers_where_others_reach(self) -> "Settings":
        for name, mllp in self.listeners().items():
            if not self.feed(name).peers and not is_loopback(mllp.host):
                raise ValueError(
                    f"feeds.{name}.peers: feed {name} listens on {mllp.host}, and without a list "
                    "of peers only this machine may connect; set it, or listen on 127.0.0.1"
                )
        return self

    @model_validator(mode="after")
    def _doors_with_locks(self) -> "Settings":
        host, access = self.http.host, self.access
        if is_loopback(host):
            return self
        if access is None:
            raise ValueError(
                f"http.host is {host}, which other machines can reach; set it to 127.0.0.1, or "
                "say in [access] who may come in"
            )
        if self.http.tls is None and not access.proxies:
            raise ValueError(
                f"http.host is {host}, and passwords and patients would travel unprotected; set "
                "[http.tls], or name the proxy that ends TLS in access.proxies"
            )
        return self

    @model_validator(mode="after")
    def _one_feed_per_folder(self) -> "Settings":
        owners: dict[str, str] = {}
        for name, feed in self.feeds.items():
            if feed.folder is None:
                continue
            owner = owners.setdefault(os.path.normpath(feed.folder.path), name)
            if owner != name:
                raise ValueError(
                    f"feeds.{name}.folder.path: the feeds {owner} and {name} watch the same folder"
                )
        return self

    @model_validator(mode="after")
    def _feeds_that_exist(self) -> "Settings":
        known = {MAIN_FEED, *self.feeds}
        for name, outbound in self.outbound.items():
            for key in ("feeds", "excluded_feeds"):
                for feed in getattr(outbound, key):
                    if feed not in known:
                        raise ValueError(
                            f"outbound.{name}.{key}: there is no [feeds.{feed}]; "
                            f"configured are {', '.join(sorted(known))}"
                        )
        return self


def _collide(one: MllpSettings | HttpSettings, other: MllpSettings | HttpSettings) -> bool:
    """Whether two cannot listen at the same time; port 0 is always a free one."""
    hosts = {_LOCAL if host == "localhost" else host for host in (one.host, other.host)}
    same_host = len(hosts) == 1 or bool(_EVERY_ADDRESS & hosts)
    return one.port == other.port != 0 and same_host
