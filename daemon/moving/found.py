"""What is found at another host, in our words."""

from dataclasses import field
from pathlib import Path
from typing import Any

from gcode.frozen import frozen, mutable


@frozen
class FoundUpload:
    """A file, and where it is to be: `folder` is below the uploads, "" for none; `date` of its last change, in s."""

    file: Path
    folder: str
    name: str
    size: int = 0
    date: float = 0.0

    @property
    def path(self) -> str:
        """As lists show it."""
        return f"{self.folder}/{self.name}" if self.folder else self.name


@frozen
class Print:
    """A print that has ended.

    Attributes:
        path: of its file.
        ended_at: s since the epoch.
        seconds: that it took; None: not known.
        success: it was completed.
        user: who began it.
    """

    path: str
    ended_at: float
    seconds: float | None
    success: bool
    user: str | None = None


@frozen
class OldKey:
    """A key by the name of whose it is."""

    name: str
    key: str = field(repr=False)


@mutable
class Inventory:
    """All of it; empty is what there was none of.

    Attributes:
        uploads: files to print, the oldest first.
        folders: below the uploads, in which there is none of them.
        notes: what somebody has written down of a file, by its path.
        prints: how earlier prints went.
        profile: of the printer, as OctoPrint's API has it.
        presets: of temperatures, as OctoPrint's settings have them.
        webcam: as our settings have it.
        name: of the printer.
        keys: of apps and people.
        left: what is not taken over, in words.
        hints: what somebody should look at afterwards.
    """

    uploads: list[FoundUpload] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    prints: list[Print] = field(default_factory=list)
    profile: dict[str, Any] = field(default_factory=dict)
    presets: list[dict[str, Any]] = field(default_factory=list)
    webcam: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    keys: list[OldKey] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
