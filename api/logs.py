"""The server's log: one JSON object per line on standard error, never with a patient in it.

What an exception says may quote a message, so only its kind and the place in the code are kept.
"""

import json
import logging
from datetime import UTC, datetime
from typing import TextIO


class PlainFacts(logging.Formatter):
    """A log record as one JSON line: when, how bad, where from, what."""

    def format(self, record: logging.LogRecord) -> str:
        """The record without the words of any exception."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name,
            "said": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            trace = record.exc_info[2]
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            if trace is not None:
                line["place"] = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        return json.dumps(line)


def log_to(stream: TextIO, level: int = logging.INFO) -> None:
    """Send every log of this process to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlainFacts())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # These tell of every start and request, which the server says better or not at all.
    for chatty in ("uvicorn", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
