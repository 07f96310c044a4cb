"""Diary: what the agent is about to do, on the disk before it does it, so that it can be killed at any moment."""

import os
from pathlib import Path
from typing import Literal

import msgspec

from daemon.companions.farm.printer import JobMark
from daemon.farm.messages import Report
from daemon.private_file import write_private

FILE = "diary.json"
MOST_SAID = 16
"""Last words on copies that are kept: the list may ask once more."""

Stage = Literal["claiming", "starting", "printing", "ended"]


class DiaryEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A copy that the agent has asked for.

    Attributes:
        stage: `claiming`: nothing has begun, the list is asked. `starting`: it is ours, the printer may have begun.
            `printing`: it has. `ended`: the report has not been taken yet.
        where: the file at the printer.
        behind: the newest job of the printer's record before it.
        started: it was reported that it prints.
        cancel: somebody wants it to end.
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
        """What the printer knows the print by; another attempt is another print."""
        return f"{self.copy}.{self.attempt}"

    def is_of(self, copy: str, attempt: int) -> bool:
        """Tell whether it is this attempt at this copy."""
        return (self.copy, self.attempt) == (copy, attempt)


class StoredFile(msgspec.Struct, frozen=True):
    """A file of the farm at the printer, or about to be."""

    where: str
    sha1: str
    size: int


class Notes(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is kept.

    Attributes:
        on_hold: somebody wants it to take nothing more.
        files: by sha256; the last used is last.
        said: the last words on copies, newest last.
    """

    on_hold: bool = False
    entry: DiaryEntry | None = None
    files: dict[str, StoredFile] = {}
    said: tuple[Report, ...] = ()


class Diary:
    """The notes, in memory and on the disk.

    Attributes:
        damaged: what could not be read, set aside; None: nothing.
    """

    def __init__(self, folder: Path) -> None:
        """Read what is there; raises OSError."""
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
        """The copy that is asked for, or printed."""
        return self.notes.entry

    def note(self, **changes: object) -> None:
        """Keep changes of the notes; they are on the disk when this returns. Raises OSError: none is kept."""
        notes = msgspec.structs.replace(self.notes, **changes)
        write_private(self._path, msgspec.json.encode(notes).decode(), replace=True)
        self.notes = notes  # on the disk or not: whoever cannot be sure repeats
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self, entry: DiaryEntry, report: Report) -> None:
        """Forget a copy of which the last word was said; raises OSError."""
        others = [each for each in self.notes.said if (each.copy, each.attempt) != (entry.copy, entry.attempt)]
        self.note(entry=None, said=(*others, report)[-MOST_SAID:])

    def last_word(self, copy: str, attempt: int) -> Report | None:
        """Return what was said of an attempt at a copy in the end."""
        return next((each for each in self.notes.said if (each.copy, each.attempt) == (copy, attempt)), None)
