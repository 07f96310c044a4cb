"""What the HTTP API needs of the farm's server, and nothing more."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from daemon.farm.http.looking import Look, look
from daemon.farm.list.job_list import JobList
from daemon.farm.messages import FarmOrder, OrderAnswer, Presence

T = TypeVar("T")


class ListCalls(Protocol):
    """The thread that has the list."""

    def call(self, function: Callable[[JobList], T], /) -> Awaitable[T]:
        """Call a function with the list, and return what it returns."""
        ...


class KeptFiles(Protocol):
    """Where G-code is kept."""

    def take(self, path: Path, /) -> Awaitable[tuple[str, int]]:
        """Move a file in; return its SHA-256 and its size."""
        ...


class FarmPrinters(Protocol):
    """What is known of the printers, and the way to them.

    Attributes:
        presences: the last word of each, also of those that are away.
        trouble: why the printers cannot be reached; "" where they can.
    """

    @property
    def presences(self) -> Mapping[str, Presence]:
        """The last word of each printer."""
        ...

    @property
    def trouble(self) -> str:
        """Why no printer can be reached."""
        ...

    def heard_ago(self, printer: str, /) -> float | None:
        """Return how many seconds ago a printer was heard."""
        ...

    def is_away(self, printer: str, /) -> bool:
        """Tell whether a printer is silent."""
        ...

    def forget(self, printer: str, /) -> None:
        """Know nothing of a printer, until it is heard."""
        ...

    def order(self, printer: str, order: FarmOrder, /) -> Awaitable[OrderAnswer]:
        """Ask a printer's agent for something; raises FarmUnreachable."""
        ...


@dataclass(frozen=True)
class FarmSeams:
    """All that the API works on.

    Attributes:
        folder: of the server's state: uploads, pictures, the first key.
        wall: seconds since 1970.
        name: what people call this farm.
        look: finds out what is in a file.
        max_upload: bytes of one file.
    """

    jobs: ListCalls
    files: KeptFiles
    printers: FarmPrinters
    folder: Path
    wall: Callable[[], float]
    name: str = "farm"
    look: Look = look
    max_upload: int = 2 * 1024 * 1024 * 1024
