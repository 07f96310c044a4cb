"""Diary: records each step of the agent on the disk before it is taken, so that the agent may die at any moment."""

import os
from pathlib import Path
from typing import Literal

import msgspec

from daemon.companions.farm.printer import JobMark
from daemon.farm.messages import Report
from daemon.private_file import write_private

FILE = "diary.json"
MAX_REPORTS = 16
"""Final reports that are stored, in case the list asks again."""

Stage = Literal["claiming", "starting", "printing", "ended"]


class DiaryEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A copy that the agent claims or prints.

    Attributes:
        stage: `claiming`: nothing has begun. `starting`: the claim is granted, the printer may have begun.
            `printing`: it has begun. `ended`: the report has not been accepted yet.
        where: path of the file at the printer.
        behind: the newest job in the printer's record before this print.
        started: `printing` was reported.
        cancel: a user wishes its end.
    """

    copy: str
    attempt: int
    nonce: str
    stage: Stage
    where: str = ""
    name: str = ""
    behind: JobMark | None = None
    started: bool = False
    cancel: bool = False
    report: Report | None = None

    @property
    def key(self) -> str:
        """The printer's key for the print; another attempt is another print."""
        return f"{self.copy}.{self.attempt}"

    def is_of(self, copy: str, attempt: int) -> bool:
        """Tell whether this is the entry of this attempt at this copy."""
        return (self.copy, self.attempt) == (copy, attempt)


class StoredFile(msgspec.Struct, frozen=True):
    """A file of the farm that is stored at the printer, or will be soon."""

    where: str
    sha1: str
    size: int


class Notes(msgspec.Struct, frozen=True, omit_defaults=True):
    """The contents of the diary.

    Attributes:
        on_hold: a user has put the printer on hold.
        files: by SHA-256, the last used last.
        said: the final reports on copies, the newest last.
    """

    on_hold: bool = False
    entry: DiaryEntry | None = None
    files: dict[str, StoredFile] = {}
    said: tuple[Report, ...] = ()


class Diary:
    """The notes, in memory and on the disk.

    Attributes:
        damaged: where an unreadable file was moved to; None: the file was readable.
    """

    def __init__(self, folder: Path) -> None:
        """Read the notes; raises OSError."""
        self._path = folder / FILE
        self.damaged: Path | None = None
        self.notes = Notes()
        try:
            self.notes = msgspec.json.decode(self._path.read_bytes(), type=Notes)
        except FileNotFoundError:
            pass
        except (msgspec.DecodeError, RecursionError):
            self.damaged = self._path.with_name(f"{FILE}.damaged")
            self._path.replace(self.damaged)

    @property
    def entry(self) -> DiaryEntry | None:
        """The copy that is claimed or printed."""
        return self.notes.entry

    def note(self, **changes: object) -> None:
        """Change the notes; they are on the disk when this returns. Raises OSError."""
        notes = msgspec.structs.replace(self.notes, **changes)
        write_private(self._path, msgspec.json.encode(notes).decode(), replace=True)
        self.notes = notes  # before fsync: if that fails the caller repeats the step, which is harmless
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self, entry: DiaryEntry, report: Report) -> None:
        """Replace the entry by its final report; raises OSError."""
        others = [each for each in self.notes.said if (each.copy, each.attempt) != (entry.copy, entry.attempt)]
        self.note(entry=None, said=(*others, report)[-MAX_REPORTS:])

    def final_report(self, copy: str, attempt: int) -> Report | None:
        """Return the final report on an attempt at a copy; None: there is none."""
        return next((each for each in self.notes.said if (each.copy, each.attempt) == (copy, attempt)), None)
