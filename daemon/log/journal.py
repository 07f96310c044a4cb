"""JournalWriter: log entries with fields for systemd's journal, by its native protocol (one datagram each).

`journalctl -u nozzled` shows events with their values in place of JSON, and `journalctl JOB_ID=12` or `PRINTER=…` finds
the entries of one print or printer.
"""

import os
import socket
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import structlog

from daemon.log import LogWriter

SOCKET = Path("/run/systemd/journal/socket")
IDENTIFIER = "nozzled"
MAX_MESSAGE = 40_000  # characters; journald accepts more, but one datagram may not hold it

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_LEFT_OUT = ("level", "timestamp", "event", "exception")  # shown in other fields, or at the end

context: Callable[[], Mapping[str, object]] = dict
"""Returns fields for every entry, like JOB_ID."""


def use_context(fields: Callable[[], Mapping[str, object]]) -> Callable[[], None]:
    """Add these fields to every entry from now on; return a function that ends this."""
    global context  # noqa: PLW0603 - the process has one log
    context = fields

    def end() -> None:
        global context  # noqa: PLW0603 - as above
        context = dict

    return end


def is_journal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether this stream leads to the journal ($JOURNAL_STREAM, systemd.exec(5))."""
    named = environ.get("JOURNAL_STREAM")
    if not named:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # a stream without a file
        return False
    return named == f"{status.st_dev}:{status.st_ino}" and SOCKET.exists()


def render_entry(_logger: object, _method: str, event: MutableMapping[str, Any]) -> bytes:
    """Render an event for the journal; a structlog processor."""
    fields = {
        "MESSAGE": _message(event)[:MAX_MESSAGE],
        "PRIORITY": str(_PRIORITIES.get(event.get("level", ""), 6)),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "NOZZLED_EVENT": str(event["event"]),
        **{name: str(value) for name, value in context().items() if value is not None},
    }
    return b"".join(_field(name, value) for name, value in fields.items())


def _message(event: Mapping[str, Any]) -> str:
    pairs = [f"{name}={value!r}" for name, value in event.items() if name not in _LEFT_OUT]
    traceback = [f"\n{event['exception']}"] if "exception" in event else []
    return " ".join([str(event["event"]), *pairs, *traceback])


def _field(name: str, value: str) -> bytes:
    """Return one field; a value with line breaks says how long it is."""
    data = value.encode("utf-8", "replace")
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data)


PROCESSORS: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, render_entry]


class JournalWriter(LogWriter):
    """Sends entries to the journal from a thread of its own: a journal that hangs must not stall the wire."""

    def __init__(self, stream: TextIO, path: Path = SOCKET) -> None:
        """Send entries to the socket at `path`; an entry that cannot be sent goes to `stream`."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._path = str(path)
        super().__init__(stream)

    def _put(self, line: str | bytes, dropped: int) -> None:
        if dropped:
            self._send(_field("MESSAGE", f"{dropped} log entries were dropped") + _field("PRIORITY", "4"))
        self._send(line if isinstance(line, bytes) else _field("MESSAGE", line))

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, self._path)
        except OSError:  # journald is being restarted, or the entry is too large for it
            self._stream.write(data.decode("utf-8", "replace"))
            self._stream.flush()

    def close(self) -> None:
        """Send what is queued and end the thread."""
        super().close()
        with suppress(OSError):
            self._socket.close()
