"""What a site may set, with defaults that are safe on a laptop and strict in a hospital.

Settings are layered: built-in default < TOML file < environment < command-line flags. The
environment variable for `[http] port` is `WARDTWIN_HTTP__PORT`: section and key are joined by two
underscores. `load` returns the settings and, for every value that is not a default, where it
came from.
"""

from twin_core.settings.access import AccessSettings
from twin_core.settings.alerts import AlertSettings
from twin_core.settings.audit import AuditSettings
from twin_core.settings.deid import DeidSettings
from twin_core.settings.encryption import EncryptionSettings
from twin_core.settings.facilities import FacilitySettings
from twin_core.settings.feeds import MAIN_FEED, AppointmentStatus, FeedSettings, FolderSettings
from twin_core.settings.fhir import FhirSettings
from twin_core.settings.kpi import KpiSettings
from twin_core.settings.limits import LimitSettings
from twin_core.settings.listeners import HttpSettings, HttpTlsSettings, MllpSettings, TlsSettings
from twin_core.settings.loading import PREFIX, Loaded, load
from twin_core.settings.outbound import ClientTlsSettings, OutboundSettings
from twin_core.settings.precedence import PrecedenceSettings
from twin_core.settings.retention import RetentionSettings
from twin_core.settings.section import Section, Strictness, is_loopback
from twin_core.settings.simulation import SimulationSettings
from twin_core.settings.site import SecretSettings, Settings
from twin_core.settings.sources import AuthorizationSettings, SourceSettings
from twin_core.settings.store import StoreSettings
from twin_core.settings.subscription import SubscriptionSettings
from twin_core.settings.triggers import FieldPath, TriggerRule

__all__ = [
    "MAIN_FEED",
    "PREFIX",
    "AccessSettings",
    "AlertSettings",
    "AppointmentStatus",
    "AuditSettings",
    "AuthorizationSettings",
    "ClientTlsSettings",
    "DeidSettings",
    "EncryptionSettings",
    "FacilitySettings",
    "FeedSettings",
    "FhirSettings",
    "FieldPath",
    "FolderSettings",
    "HttpSettings",
    "HttpTlsSettings",
    "KpiSettings",
    "LimitSettings",
    "Loaded",
    "MllpSettings",
    "OutboundSettings",
    "PrecedenceSettings",
    "RetentionSettings",
    "SecretSettings",
    "Section",
    "Settings",
    "SimulationSettings",
    "SourceSettings",
    "StoreSettings",
    "Strictness",
    "SubscriptionSettings",
    "TlsSettings",
    "TriggerRule",
    "is_loopback",
    "load",
]
