"""The data to import from another host, in our own types."""

from dataclasses import field
from pathlib import Path
from typing import Any

from gcode.frozen import frozen, mutable


@frozen
class SourceUpload:
    """A file to upload.

    Attributes:
        file: where it is now.
        folder: its folder among the uploads; "": none.
        name: its name among the uploads.
        size: in bytes.
        date: the Unix time of its last change, in s.
    """

    file: Path
    folder: str
    name: str
    size: int = 0
    date: float = 0.0

    @property
    def path(self) -> str:
        """Its path among the uploads."""
        return f"{self.folder}/{self.name}" if self.folder else self.name


@frozen
class EarlierPrint:
    """A print that has ended.

    Attributes:
        path: the printed file.
        ended_at: the Unix time, in s.
        seconds: its duration; None: unknown.
        success: it was completed.
        user: the user who started it.
    """

    path: str
    ended_at: float
    seconds: float | None
    success: bool
    user: str | None = None


@frozen
class OldKey:
    """A key and the name of its app or user."""

    name: str
    key: str = field(repr=False)


def count_of(number: int, what: str) -> str:
    """Return a number with its noun: 1 file, 2 files."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


@mutable
class Inventory:
    """Everything that can be imported; missing parts are empty.

    Attributes:
        uploads: printable files, the oldest first.
        folders: folders below the uploads that have no files.
        notes: path of a file → notes about it.
        prints: earlier prints.
        profile: the printer profile, in the form of OctoPrint's API.
        presets: the temperature presets, in the form of OctoPrint's settings.
        webcam: the camera, in the form of our settings.
        name: the name of the printer.
        keys: the keys of apps and users.
        not_imported: what is not imported, in words.
        hints: what the user should check afterwards.
    """

    uploads: list[SourceUpload] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    prints: list[EarlierPrint] = field(default_factory=list)
    profile: dict[str, Any] = field(default_factory=dict)
    presets: list[dict[str, Any]] = field(default_factory=list)
    webcam: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    keys: list[OldKey] = field(default_factory=list)
    not_imported: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
