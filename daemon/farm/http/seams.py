"""The interfaces of the farm's server that the HTTP API uses."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from daemon.farm.http.analysis import Analyse, analyse
from daemon.farm.list.job_list import JobList
from daemon.farm.messages import FarmOrder, OrderAnswer, Presence

T = TypeVar("T")


class ListCalls(Protocol):
    """Calls the list, in its thread."""

    def call(self, function: Callable[[JobList], T], /) -> Awaitable[T]:
        """Call a function with the list, and return what it returns."""
        ...


class FarmFileStore(Protocol):
    """The store of G-code files."""

    def add(self, path: Path, /) -> Awaitable[tuple[str, int]]:
        """Move a file into the store; return its SHA-256 and its size."""
        ...


class FarmPrinters(Protocol):
    """The printers' states, and orders to their agents."""

    @property
    def presences(self) -> Mapping[str, Presence]:
        """The last presence of each printer, even of those that are away."""
        ...

    @property
    def trouble(self) -> str:
        """Why nothing can be offered (NATS or the list does not answer); empty: offers can be made."""
        ...

    def silence_of(self, printer: str, /) -> float | None:
        """Return the seconds since the printer's last presence arrived; None: it has sent none."""
        ...

    def is_away(self, printer: str, /) -> bool:
        """Tell whether a printer has sent no presence for too long."""
        ...

    def forget(self, printer: str, /) -> None:
        """Drop the state of a printer, until its next presence."""
        ...

    def order(self, printer: str, order: FarmOrder, /) -> Awaitable[OrderAnswer]:
        """Send an order to a printer's agent; raises FarmUnreachable."""
        ...


@dataclass(frozen=True)
class FarmSeams:
    """The parts of the farm's server that the API uses.

    Attributes:
        folder: for uploads, thumbnails and the first key.
        wall: returns the Unix time in s.
        name: of the farm, as users see it.
        analyse: analyses an uploaded file.
        max_upload: the largest file, in bytes.
    """

    jobs: ListCalls
    files: FarmFileStore
    printers: FarmPrinters
    folder: Path
    wall: Callable[[], float]
    name: str = "farm"
    analyse: Analyse = analyse
    max_upload: int = 2 * 1024 * 1024 * 1024
