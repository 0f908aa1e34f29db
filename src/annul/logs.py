"""Structured logs: one JSON object a line on standard error, and only fields from the allow-list below.

What must never happen here: a document number, a name or an image in a log line. A field that is not in `FIELDS` is dropped
(its name is kept, its value is not), so a careless call cannot leak.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import traceback
import warnings
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
    "library": "name of a library's logger",
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


class _Libraries(logging.Handler):
    """Say through the allow-list that a library spoke: which, where in its code, of what error. Its words may hold values."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record."""
        error = record.exc_info[1] if record.exc_info else None
        told = {"error": type(error).__name__, "stack": stack_of(error)} if error is not None else {}
        say = _log.error if record.levelno >= logging.ERROR else _log.warning
        say("a library spoke", library=record.name, where=f"{record.filename}:{record.lineno}", **told)


def _warned(
    message: Warning | str,  # noqa: ARG001 - it may hold values
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    _log.warning("a warning", error=category.__name__, where=f"{filename.rpartition('/')[2]}:{lineno}")


def _died(event: str, error: BaseException | None) -> None:
    if error is not None:
        _log.error(event, error=type(error).__name__, stack=stack_of(error))


def _take_over() -> None:
    """Let nothing in this process write to standard error past the allow-list: libraries, warnings, errors nobody caught."""
    root = logging.getLogger()
    if not any(isinstance(handler, _Libraries) for handler in root.handlers):
        root.addHandler(_Libraries(logging.WARNING))
    logging.raiseExceptions = False
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # it warns of what clients do wrong, as often as they like
    warnings.showwarning = _warned
    sys.excepthook = lambda _kind, error, _trace: _died("an error that nobody caught ended the process", error)
    threading.excepthook = lambda left: _died("an error that nobody caught ended a thread", left.exc_value)
    sys.unraisablehook = lambda left: _died("an error that nobody could catch", left.exc_value)


def configure(level: str = "info") -> None:
    """Send logs of this process to standard error at `level` and above, and whatever its libraries have to say."""
    _take_over()
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


_log = get("libraries")
