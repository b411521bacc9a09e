"""Why a FHIR server could not be read, as the one who must wait, mend or ask sees it.

    FeedError
      SourceError         a FHIR server as a source
        Unreachable       no answer, or one that says to come back; trying again may help
        Resting           the circuit breaker is open; trying again later may help
        Unauthorized      the server or its token endpoint does not accept who asks
        Declined          the server refused this request; its status is kept
          Lost            what was promised (a page, an export, a file) is there no more
        Untrustworthy     an answer that cannot be relied on: cut off, in circles, no FHIR

Nothing of a URL but its host, and nothing of a body but issue codes, is ever said: both may hold
what belongs to patients, or secrets.
"""

from twin_core.errors import FeedError


class SourceError(FeedError):
    """A FHIR server could not be read."""


class Unreachable(SourceError):
    """The server did not answer, or asked to be left alone for now."""

    retry_may_help = True


class Resting(SourceError):
    """The server failed so often that it is left alone for a while."""

    retry_may_help = True

    def __init__(self, what: str, *, why: str = "", do: str = "", rest_s: float = 0.0) -> None:
        super().__init__(what, why=why, do=do)
        self.rest_s = rest_s


class Unauthorized(SourceError):
    """The server does not accept who asks."""


class Declined(SourceError):
    """The server refused a request and will refuse it again."""

    def __init__(self, what: str, *, why: str = "", do: str = "", status: int = 0) -> None:
        super().__init__(what, why=why, do=do)
        self.status = status


class Lost(Declined):
    """A page, an export or a file that was promised is there no more."""


class Untrustworthy(SourceError):
    """An answer that cannot be relied on."""

    retry_may_help = True
