"""The log: lines on a terminal, fields for the journal, JSON elsewhere, written by a thread of its own.

The event loop only renders a line and queues it, so that a stalled terminal or journal does not stall the wire.
"""

import logging
import math
import os
import queue
import sys
import threading
from contextlib import suppress
from typing import Any, TextIO

import structlog

from daemon.log.secrets import without_keys

MAX_QUEUED = 10_000  # lines; further ones are dropped and counted
CLOSE_TIMEOUT = 2.0  # for the stream to take a line, then for the lines that are queued

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LogWriter:
    """Takes rendered lines from any thread and writes them in its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: queue.Queue[str | bytes | None] = queue.Queue(MAX_QUEUED)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def msg(self, line: str | bytes) -> None:
        """Queue one line; never blocks."""
        try:
            self._lines.put_nowait(without_keys(line))
        except queue.Full:
            self._dropped += 1

    debug = info = warning = warn = error = exception = critical = fatal = log = msg

    def __call__(self, *_: Any) -> "LogWriter":
        """Act as structlog's logger factory: this is the only logger."""
        return self

    def close(self) -> None:
        """Write what is queued and end the thread; give up on a stream that stalls, and lose what is queued."""
        with suppress(queue.Full):
            self._lines.put(None, timeout=CLOSE_TIMEOUT)
            self._thread.join(timeout=CLOSE_TIMEOUT)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            try:
                self._put(line, dropped)
            except (OSError, ValueError):
                self._dropped += 1  # it cannot be reported anywhere

    def _put(self, line: str | bytes, dropped: int) -> None:
        lost = f"({dropped} log lines were dropped)\n" if dropped else ""
        self._stream.write(f"{lost}{line if isinstance(line, str) else line.decode()}\n")
        self._stream.flush()


class Limiter:
    """Limits the rate of log events, and counts the suppressed ones, so that a printer cannot fill the disk."""

    def __init__(self, limit: int = 20, period: float = 10.0) -> None:
        """Admit at most `limit` in `period` seconds."""
        self._limit = limit
        self._period = period
        self._began = -math.inf
        self._admitted = 0
        self.suppressed = 0  # since the last `take_suppressed`

    def admits(self, now: float) -> bool:
        """Return whether an event at this time, in s, is within the limit."""
        if not 0 <= now - self._began < self._period:  # the clock may be set back
            self._began, self._admitted = now, 0
        if self._admitted >= self._limit:
            self.suppressed += 1
            return False
        self._admitted += 1
        return True

    def take_suppressed(self) -> int:
        """Return the number of suppressed events, and reset it."""
        suppressed, self.suppressed = self.suppressed, 0
        return suppressed


class _LibraryWarnings(logging.Handler):
    """Forwards warnings of libraries, which use `logging`, at a limited rate."""

    def __init__(self) -> None:
        super().__init__()
        self._limit = Limiter()

    def emit(self, record: logging.LogRecord) -> None:
        if not self._limit.admits(record.created):
            return
        more = {"suppressed": lost} if (lost := self._limit.take_suppressed()) else {}
        text = record.getMessage()
        structlog.get_logger().log(
            record.levelno, "library", logger=record.name, text=text, exc_info=record.exc_info, **more
        )


def configure(level: str, form: str, stream: TextIO = sys.stderr, part: str = "") -> LogWriter:
    """Set up the log; `form` is auto, console or json, `part` the name of this process. Close the writer at the end."""
    console = form == "console" or (form == "auto" and stream.isatty())
    writer, processors = _outlet(form, stream, console=console)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            *([_Part(part)] if part else []),
            structlog.processors.TimeStamper(fmt="iso", utc=not console),
            *processors,
        ],
        logger_factory=writer,
        cache_logger_on_first_use=False,
    )
    set_level(level)
    logging.basicConfig(level=logging.WARNING, handlers=[_LibraryWarnings()], force=True)
    return writer


class _Part:
    """Adds the name of the process to each entry."""

    def __init__(self, part: str) -> None:
        self._part = part

    def __call__(self, logger: object, name: str, entry: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """Add the name."""
        del logger, name
        entry["part"] = self._part
        return entry


def set_level(level: str) -> None:
    """Show only entries of at least this severity from now on."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]))


def _outlet(form: str, stream: TextIO, *, console: bool) -> tuple[LogWriter, list[structlog.typing.Processor]]:
    """Return what writes entries, and what renders them."""
    if console:
        return LogWriter(stream), _console(colors=stream.isatty())
    if form == "auto" and "JOURNAL_STREAM" in os.environ:
        from daemon.log import journal  # noqa: PLC0415 - only below systemd

        if journal.is_journal(stream):
            return journal.JournalWriter(stream), journal.PROCESSORS
    return LogWriter(stream), _json()


def _console(*, colors: bool) -> list[structlog.typing.Processor]:
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]


def _json() -> list[structlog.typing.Processor]:
    # without local variables: a key may be among them
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer()]
