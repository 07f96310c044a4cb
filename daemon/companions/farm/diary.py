"""Diary: records each step of the agent on the disk before the step, so that the agent may die at any moment."""

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
        printer_path: of the file at the printer; stored as `where`.
        job_before: the newest job in the printer's record before this print; stored as `behind`.
        is_reported: `printing` was reported; stored as `started`.
        cancel: a user wants to cancel it.
        report: the final report; None until the stage `ended`.
    """

    copy: str
    attempt: int
    nonce: str
    stage: Stage
    printer_path: str = msgspec.field(default="", name="where")
    name: str = ""
    job_before: JobMark | None = msgspec.field(default=None, name="behind")
    is_reported: bool = msgspec.field(default=False, name="started")
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

    printer_path: str = msgspec.field(name="where")
    sha1: str
    size: int


class Notes(msgspec.Struct, frozen=True, omit_defaults=True):
    """The contents of the diary.

    Attributes:
        on_hold: a user has put the printer on hold.
        files: by SHA-256, the last used last.
        final_reports: on copies, the newest last; stored as `said`.
    """

    on_hold: bool = False
    entry: DiaryEntry | None = None
    files: dict[str, StoredFile] = {}
    final_reports: tuple[Report, ...] = msgspec.field(default=(), name="said")


class Diary:
    """The notes, in memory and on the disk.

    Attributes:
        damaged_file: the new path of a file that could not be read; None: the file was readable.
    """

    def __init__(self, folder: Path) -> None:
        """Read the notes; raises OSError."""
        self._path = folder / FILE
        self.damaged_file: Path | None = None
        self.notes = Notes()
        try:
            self.notes = msgspec.json.decode(self._path.read_bytes(), type=Notes)
        except FileNotFoundError:
            pass
        except (msgspec.DecodeError, RecursionError):
            self.damaged_file = self._path.with_name(f"{FILE}.damaged")
            self._path.replace(self.damaged_file)

    @property
    def entry(self) -> DiaryEntry | None:
        """The copy that is being claimed, started, printed or reported."""
        return self.notes.entry

    def note(self, **changes: object) -> None:
        """Change the notes; they are on the disk when this returns. Raises OSError."""
        notes = msgspec.structs.replace(self.notes, **changes)
        write_private(self._path, msgspec.json.encode(notes).decode(), replace=True)
        self.notes = notes  # before fsync: if fsync fails, the caller repeats the step, which is harmless
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self, entry: DiaryEntry, report: Report) -> None:
        """Replace the entry by its final report; raises OSError."""
        others = [each for each in self.notes.final_reports if (each.copy, each.attempt) != (entry.copy, entry.attempt)]
        self.note(entry=None, final_reports=(*others, report)[-MAX_REPORTS:])

    def final_report(self, copy: str, attempt: int) -> Report | None:
        """Return the final report on an attempt at a copy; None: there is none."""
        return next((each for each in self.notes.final_reports if (each.copy, each.attempt) == (copy, attempt)), None)
