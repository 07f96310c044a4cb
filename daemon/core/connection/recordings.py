"""Recordings: whole conversations with the printer, if configured, and the last lines of each that failed."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from daemon import __version__
from daemon.config import LinkConfig
from daemon.config.home import expand_home
from hal.link_settings import LinkSettings
from hal.printer import Conversation
from hal.session_file import Record
from hal.transport import Transport

if TYPE_CHECKING:
    from hal.recorder import Recorder, RecordingFolder

FAULTS = "faults"
"""Folder in the state directory; it has the last lines before each fault."""

CLOSE_TIMEOUT = 2.0
"""Seconds that finishing a recording may take: a hanging disk must not keep the service from ending."""

log = structlog.get_logger()


class Recordings:
    """Makes recorders for connections, and dumps of their last lines."""

    def __init__(self, config: LinkConfig, wall: Callable[[], float], state: Path) -> None:
        """Prepare; nothing is written.

        Args:
            config: whether and where whole conversations are recorded.
            wall: returns the Unix time in s.
            state: the state directory.
        """
        self._target: RecordingFolder | None = None
        if config.record:
            from hal import recorder  # noqa: PLC0415 - what is not switched on is not loaded

            folder = expand_home(config.record)
            self._target = recorder.RecordingFolder(folder, config.record_max_mib << 20, config.record_keep)
        self._wall = wall
        self._faults = state / FAULTS
        self._recorder: Recorder | None = None
        self._dumps: set[asyncio.Future[Path]] = set()

    def wrap(self, transport: Transport, settings: LinkSettings) -> Transport:
        """Return the transport, with a recorder around it if recording is configured."""
        if self._target is None:
            return transport
        from hal.recorder import Recorder, RecordingTransport, describe  # noqa: PLC0415 - as above

        about = describe(transport.address, transport.baudrate, self._wall(), __version__, asdict(settings))
        self._recorder = Recorder(self._target, about, _trouble)
        return RecordingTransport(transport, self._recorder, asyncio.get_running_loop().time)

    def keep_tail(self, printer: Conversation, settings: LinkSettings) -> None:
        """Write the last lines of the printer's conversation to a file, in a thread."""
        records = printer.flight_recorder.records()
        began = self._wall() - records[-1].time if records else self._wall()
        about = (printer.address, printer.baudrate, began, __version__, asdict(settings))
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(None, partial(_dump, self._faults, about, records))
        self._dumps.add(writing)
        writing.add_done_callback(self._on_dumped)

    def _on_dumped(self, writing: asyncio.Future[Path]) -> None:
        self._dumps.discard(writing)
        if writing.cancelled():
            return
        if error := writing.exception():
            log.warning("printer.fault_not_recorded", reason=str(error))
        else:
            log.info("printer.fault_recorded", file=str(writing.result()))

    async def finish(self) -> None:
        """Wait until everything is written: at most CLOSE_TIMEOUT seconds each for the dumps and the recording."""
        if self._dumps:
            await asyncio.wait(self._dumps, timeout=CLOSE_TIMEOUT)
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.join, CLOSE_TIMEOUT)


def _dump(folder: Path, about: tuple[str, int | None, float, str, dict[str, Any]], records: list[Record]) -> Path:
    from hal.recorder import describe, dump  # noqa: PLC0415 - a fault is rare

    return dump(folder, describe(*about), records)


def _trouble(error: OSError) -> None:
    consequence = "the print continues, but its recording has gaps"
    log.warning("printer.not_recorded", reason=str(error), consequence=consequence)
