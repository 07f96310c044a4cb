"""The agent's interface to its printer; `front.py` implements it, tests and benchmarks have one in memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from daemon.errors import ServiceError
from daemon.farm.messages import Heat, Tool
from gcode.frozen import frozen


class PrinterUnreachable(ServiceError):
    """The printer's service did not answer, but may have carried out the request."""


class PrinterDeclined(ServiceError):
    """The printer's service refused, and did nothing."""


class StartRefused(PrinterDeclined):
    """The printer's service refused to begin the print."""


class JobMark(msgspec.Struct, frozen=True):
    """The newest job in the printer's record at some moment. A record that still has it has all later jobs too."""

    id: int
    started: float


@frozen
class PrinterSnapshot:
    """The state of the printer.

    Attributes:
        is_known: its service has reported lately.
        is_idle: operational, and nothing is printing or about to print.
        reason: why it is not idle.
        state: the state's text in OctoPrint's API.
        bed_clear: a user has confirmed that the bed is clear, and nothing was printed since.
        is_printing: a print is under way, ours or another.
        key: of that print.
        size: X, Y and Z of the build volume, in mm.
        hottest: the highest temperature that a hotend may have, in °C; 0: unknown.
        camera: whether the printer has one.
        tools: filament and nozzle of each tool, as far as the printer's service knows.
    """

    is_known: bool = False
    is_idle: bool = False
    reason: str = "the printer has not reported its state yet"
    state: str = ""
    bed_clear: bool = False
    is_printing: bool = False
    key: str = ""
    file: str = ""
    progress: float | None = None
    remaining_s: float | None = None
    heaters: tuple[tuple[str, Heat], ...] = ()
    size: tuple[float, float, float] | None = None
    hottest: float = 0.0
    name: str = ""
    version: str = ""
    camera: bool = False
    tools: tuple[Tool, ...] = ()


OutcomeState = Literal["printing", "done", "failed", "cancelled", "unbegun", "doubtful"]


@frozen
class PrintOutcome:
    """The outcome of a print.

    `unbegun`: it was recorded, but no line of it was ever sent. `doubtful`: the record that would contain it is lost.
    """

    state: OutcomeState
    reason: str = ""
    seconds: float = 0.0
    filament_mm: float = 0.0


@frozen
class FarmFile:
    """A file on the agent's disk; the farm identifies it by `sha256`, the printer's service by `sha1`."""

    sha256: str
    sha1: str
    size: int
    name: str


class PrinterApi(Protocol):
    """The agent's printer. Every async method may raise PrinterUnreachable."""

    on_change: Callable[[], None]
    """Called when the state of the printer has changed."""

    async def run(self) -> None:
        """Follow the printer until cancelled."""

    def look(self) -> PrinterSnapshot:
        """Return the state of the printer, as far as it is known."""

    def path_for(self, file: FarmFile) -> str:
        """Return the path to upload a file to; if the printer's service unpacks the file, `upload` returns another."""

    async def has_file(self, printer_path: str, sha1: str, size: int) -> bool:
        """Tell whether the printer has exactly this file at this path."""

    async def upload(self, path: Path, file: FarmFile) -> str:
        """Upload a file, and return its path at the printer; raises PrinterDeclined."""

    async def find_objections(self, printer_path: str) -> str:
        """Return why the file at this path should not be printed; empty: nothing is known against it."""

    async def get_newest_job(self) -> JobMark | None:
        """Return the newest job in the printer's record; None: the record is empty."""

    async def start(self, printer_path: str, key: str, within: float) -> None:
        """Print a file on the clear bed, once for each key, and not later than `within` seconds from now.

        Raises:
            StartRefused: the print has not begun.
        """

    async def get_outcome(self, key: str, job_before: JobMark | None) -> PrintOutcome | None:
        """Return the outcome of the print with this key; None: no such print was ever requested.

        Args:
            key: of the print.
            job_before: the newest job before it; a record without that job has lost later ones too.
        """

    async def cancel(self, key: str) -> None:
        """Cancel the print with this key; raises PrinterDeclined, for instance if another print is under way."""

    async def turn_heaters_off(self) -> None:
        """Turn off the heaters that are on; raises PrinterDeclined."""

    async def pause(self) -> None:
        """Pause the print; raises PrinterDeclined."""

    async def resume(self) -> None:
        """Resume the print; raises PrinterDeclined."""

    async def confirm_bed_clear(self) -> None:
        """Confirm that the bed is clear; raises PrinterDeclined."""

    async def take_picture(self) -> bytes:
        """Return a picture from the camera (JPEG); raises PrinterDeclined."""

    async def remove(self, printer_path: str) -> None:
        """Delete the file at this path, if there is one; raises PrinterDeclined while it is being printed."""
