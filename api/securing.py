"""TLS for the API and the board, with certificates that are read again when they are renewed."""

import ssl

from adapters.hl7v2.tls import Certificates
from twin_core.settings import HttpTlsSettings


def http_context(settings: HttpTlsSettings) -> ssl.SSLContext:
    """The context of a server; every handshake shows the certificate that the files hold then.

    A renewal that is damaged, or not valid yet, leaves the one before in use. Another
    `client_authority` counts from the next start. Raises ConfigurationError for unusable files.
    """
    certificates = Certificates("http.tls", settings.as_listener())
    context = certificates.context()

    def newest(handshake: ssl.SSLObject, _name: str, _first: ssl.SSLContext) -> None:
        # Called for each ClientHello, whether or not it names a server.
        handshake.context = certificates.context()

    context.sni_callback = newest
    context.set_alpn_protocols(["http/1.1"])
    return context
