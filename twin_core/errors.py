"""Every way the twin can fail, as one tree.

    TwinError
      UsageError          the caller asked for something that does not exist          exit 2
      ConfigurationError  a setting is missing, unknown or contradictory               exit 3
      FeedError           a feed cannot be opened, read or bound                       exit 4
      StoreError          the store cannot be opened, written or trusted               exit 5
        StoreBusy         someone else holds the store; trying again may help
        StoreMismatch     inbox and database do not belong together
        StoreVersion      written by a newer wardtwin
        WrongKey          encrypted by another key than the one that is set
        QueryFailed       a query was refused, failed or ran out of time
        AuditFailed       an access cannot be recorded, so it is not given

Messages say what happened, why, and what to do. They never hold a patient's details.
"""


class TwinError(Exception):
    """What happened, why it happened and what to do about it, for a person to read."""

    exit_code = 1
    retry_may_help = False

    def __init__(self, what: str, *, why: str = "", do: str = "") -> None:
        self.what, self.why, self.do = what, why, do
        super().__init__(" ".join(part for part in (what, why, do) if part))


class UsageError(TwinError):
    """The caller named a command, KPI, unit or instant that does not exist."""

    exit_code = 2


class ConfigurationError(TwinError):
    """A setting is missing, unknown, of the wrong kind or contradicts another."""

    exit_code = 3


class FeedError(TwinError):
    """A feed's port, folder or file cannot be opened or read."""

    exit_code = 4


class StoreError(TwinError):
    """The store cannot be opened, written or trusted."""

    exit_code = 5


class StoreBusy(StoreError):
    """Another program holds the store."""

    retry_may_help = True


class StoreMismatch(StoreError):
    """The inbox and the database are not two halves of one store."""


class StoreVersion(StoreError):
    """The store was written by a newer wardtwin."""


class WrongKey(StoreError):
    """The store, a file beside it or a backup was encrypted by another key than is set."""


class QueryFailed(StoreError):
    """A query was refused, failed, or was stopped at its deadline or memory limit."""


class AuditFailed(StoreError):
    """The ledger of accesses cannot be written or read; what cannot be recorded is not shown."""

    retry_may_help = True
