"""What an agent needs of its printer; `front.py` is the real one, tests and benchmarks have one in memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from daemon.errors import ServiceError
from daemon.farm.messages import Heat, Tool
from gcode.frozen import frozen


class PrinterUnreachable(ServiceError):
    """The printer's service did not answer; what was asked may have been done."""


class PrinterDeclined(ServiceError):
    """The printer's service refused, and did nothing."""


class StartRefused(PrinterDeclined):
    """The print has not begun."""


class JobMark(msgspec.Struct, frozen=True):
    """The newest job of the printer's record at some time: as long as it is there, it is the same record."""

    id: int
    started: float


@frozen
class SeenPrinter:
    """How the printer is.

    Attributes:
        known: its service has reported lately.
        idle: operational, and nothing is printed or about to be.
        reason: why it is not idle.
        state: the text of OctoPrint's API.
        bed_clear: a user has confirmed it, and nothing was printed since.
        printing: a print is under way, ours or another.
        key: of that print.
        size: of the print volume: x, y, z in mm.
        hottest: highest temperature of a nozzle, °C; 0: unknown.
        camera: whether there is one.
        tools: what is mounted, as far as the printer's service knows.
    """

    known: bool = False
    idle: bool = False
    reason: str = "nothing is known of it yet"
    state: str = ""
    bed_clear: bool = False
    printing: bool = False
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
    """What became of a print.

    `unbegun` was recorded, and nothing was ever sent for it; `doubtful`: the record that would have it is lost.
    """

    state: OutcomeState
    reason: str = ""
    seconds: float = 0.0
    filament_mm: float = 0.0


@frozen
class FarmFile:
    """A file as it lies on the agent's disk; the farm knows it by `sha256`, the printer's service by `sha1`."""

    sha256: str
    sha1: str
    size: int
    name: str


class PrinterApi(Protocol):
    """The printer beside the agent. Everything may raise PrinterUnreachable."""

    on_change: Callable[[], None]
    """Called when something of it is otherwise."""

    async def run(self) -> None:
        """Follow the printer until cancelled."""

    def look(self) -> SeenPrinter:
        """Return how it is, as far as is known."""

    def where(self, file: FarmFile) -> str:
        """Return the place that a file is given; one that the printer's service unpacks gets another one."""

    async def has(self, where: str, sha1: str, size: int) -> bool:
        """Tell whether this very file lies there."""

    async def put(self, path: Path, file: FarmFile) -> str:
        """Upload a file and return where it lies; raises PrinterDeclined."""

    async def objections(self, where: str) -> str:
        """Return what speaks against printing a file there; nothing: it can be printed."""

    async def mark(self) -> JobMark | None:
        """Return the newest job of the record; None: there is none."""

    async def start(self, where: str, key: str, within: float) -> None:
        """Print a file on the clear bed, once for each key; behind `within` s it does not begin any more.

        Raises:
            StartRefused: it has not begun.
        """

    async def outcome(self, key: str, behind: JobMark | None) -> PrintOutcome | None:
        """Return what became of the print with this key; None: it has never been asked for.

        Args:
            key: of the print.
            behind: the newest job before it; the record is the same only if that is in it.
        """

    async def cancel(self, key: str) -> None:
        """End the print with this key, if it is the one that goes on; raises PrinterDeclined."""

    async def cool(self) -> None:
        """Turn off what heats; raises PrinterDeclined."""

    async def pause(self) -> None:
        """Pause what is printed; raises PrinterDeclined."""

    async def resume(self) -> None:
        """Go on with it; raises PrinterDeclined."""

    async def clear_bed(self) -> None:
        """Say that the bed is clear; raises PrinterDeclined."""

    async def picture(self) -> bytes:
        """Return a JPEG of it; raises PrinterDeclined."""

    async def remove(self, where: str) -> None:
        """Delete a file that lies there, if one does; raises PrinterDeclined where it is printed."""
