"""Structured logs: one JSON object a line on standard error, and only fields from the allow-list below.

What must never happen here: a document number, a name or an image in a log line. A field that is not in `FIELDS` is dropped
(its name is kept, its value is not), so a careless call cannot leak.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

_UNUSED = "rich"
"""Library that structlog loads for a renderer we do not use: it takes a process a tenth of a second of its start."""
if _UNUSED not in sys.modules:
    # Makes its import fail, which structlog expects.
    sys.modules[_UNUSED] = None  # type: ignore[assignment]
    import structlog

    del sys.modules[_UNUSED]
else:
    import structlog

# Field name -> what it holds. Nothing here can carry personal data.
FIELDS = {
    "event": "what happened, a fixed phrase",
    "what": "a line of the timetable, a fixed phrase",
    "level": "debug, info, warning, error",
    "at": "when, UTC",
    "room": "which part speaks",
    "worker": "worker number",
    "pid": "process id",
    "position": "position in the register log",
    "window": "window number in a worker's check log",
    "count": "how many",
    "size_bytes": "size",
    "took_ms": "duration",
    "status": "HTTP status",
    "method": "HTTP method",
    "route": "route template, never a path with values",
    "party": "id of the relying party, desk or issuer",
    "code": "error code of annul.errors or answer code",
    "where": "file, setting or JSON pointer an error is about",
    "step": "step of a recipe",
    "port": "TCP port",
    "url": "address of the doors, or of a witness",
    "signal": "signal that ended a process",
    "exit_code": "exit code of a process",
    "role": "role of a process",
    "error": "class name of an error",
    "stack": "stack of an unexpected error: files, lines and functions, no values",
}


def stack_of(error: BaseException) -> str:
    """Return the stack of an error in one line, outermost first: functions, files, lines, no values."""
    frames = traceback.extract_tb(error.__traceback__)
    return " > ".join(f"{frame.name} {frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames)


def allow(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop every field that is not on the allow-list; name the dropped ones without their values."""
    dropped = sorted(name for name in line if name not in FIELDS)
    kept = {name: value for name, value in line.items() if name in FIELDS}
    if dropped:
        kept["dropped"] = dropped
    return kept


class _StandardError:
    """Write to what standard error is at that moment: a logger outlives a stream that was put in its place and closed.

    A line that cannot be written (disk full, nobody at the other end) is lost: to tell must not end what is told about.
    """

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def configure(level: str = "info") -> None:
    """Send logs of this process to standard error at `level` and above."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            allow,
            structlog.processors.JSONRenderer(sort_keys=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=_StandardError()),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )


def get(room: str) -> Any:
    """Return the logger of a room."""
    return structlog.get_logger(room=room)
