"""TCP keepalive: a sender that vanished without a word frees its place within minutes."""

import asyncio
import contextlib
import socket

_TIMES = (
    ("TCP_KEEPIDLE", 60),
    # What macOS calls the same.
    ("TCP_KEEPALIVE", 60),
    ("TCP_KEEPINTVL", 15),
    ("TCP_KEEPCNT", 4),
)
"""After a silent minute, ask every 15 seconds; four questions without an answer are the end."""


def keep_alive(transport: asyncio.Transport) -> None:
    """Ask a silent sender now and then whether it is still there, as far as the system can."""
    connected = transport.get_extra_info("socket")
    # A sender may have gone before it is asked; losing the connection is then on its way.
    with contextlib.suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _TIMES:
            if (option := getattr(socket, name, None)) is not None:
                connected.setsockopt(socket.IPPROTO_TCP, option, value)
