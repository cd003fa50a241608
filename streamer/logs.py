"""Structured logs on stderr: one line for people, or one JSON object a line. Neither ever shows a secret."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from streamer.config import LogSettings
from streamer.redact import redact

__all__ = ["FIELDS", "JsonFormatter", "TextFormatter", "set_up_logs"]

FIELDS = ("room", "conn", "peer")
"""What a line may carry beside its message: `log.info("...", extra={"room": room})`."""
MAX_LINE = 16 * 1024
"""Characters. A peer that sends a huge name must not fill the disk by one line."""


class TextFormatter(logging.Formatter):
    """`2025-01-31T12:00:00.000Z INFO streamer.http: message room=demo conn=17`; a traceback has its own lines."""

    def format(self, record: logging.LogRecord) -> str:
        values = "".join(f" {name}={_one_line(value)}" for name, value in _fields(record).items())
        line = f"{_timestamp(record)} {record.levelname} {record.name}: {_one_line(record.getMessage())}{values}"
        trace = _trace(self, record)
        return redact(_cut(f"{line}\n{trace}" if trace else line))


class JsonFormatter(logging.Formatter):
    """One object a line: `time`, `level`, `logger`, `message`, the fields, and `trace` for an exception."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(_cut(record.getMessage())),
            **{name: redact(_cut(str(value))) for name, value in _fields(record).items()},
        }
        trace = _trace(self, record)
        if trace:
            line["trace"] = redact(_cut(trace))
        return json.dumps(line, ensure_ascii=False)


def set_up_logs(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream`, stderr by default."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    # asyncio's debug lines tell about its selector, not about streams.
    logging.getLogger("asyncio").setLevel(logging.INFO)


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    present = {name: getattr(record, name, None) for name in FIELDS}
    return {name: value for name, value in present.items() if value is not None}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""


def _one_line(value: object) -> str:
    """Peers choose some of the words in a log: none of them may forge a second line or move a terminal's cursor."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LINE else f"{text[:MAX_LINE]} ... ({len(text)} characters)"
