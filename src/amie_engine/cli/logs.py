"""The program's log on standard error: lines for people, or JSON for programs."""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

from amie_engine._logging import FIELDS

__all__ = ["LOG_FORMATS", "log_to_stderr"]

LOG_FORMATS = ("text", "json")


class _JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the fields that the line has."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _utc(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        values = ((name, getattr(record, name, None)) for name in FIELDS)
        line |= {name: value for name, value in values if value is not None}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to_stderr(level: str, log_format: str) -> None:
    """Have the program's log written to standard error.

    Args:
        level: From which level on.
        log_format: One of `LOG_FORMATS`.
    """
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")
    text.converter = time.gmtime  # as all times in the messages, and whatever the host's zone
    handler.setFormatter(_JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(capture=True)
    # These two speak of every connection and revision; what matters of it is in our own lines.
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _utc(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
