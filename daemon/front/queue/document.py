"""Document: the queue as it is stored: the entries in their order, and the state of the bed."""

import secrets
from dataclasses import field
from typing import Final, Literal, get_args

from daemon.errors import JobConflict, NoSuchEntry
from gcode.frozen import mutable

MAX_ENTRIES = 500
MAX_COPIES = 999
MAX_NOTES_LENGTH = 1000
MAX_MATERIAL_LENGTH = 60

EntryState = Literal["waiting", "beginning", "printing", "refused", "missing", "failed", "done"]
SkippedState = Literal["refused", "missing", "failed"]

WAITING: Final = "waiting"
BEGINNING: Final = "beginning"
PRINTING: Final = "printing"
REFUSED: Final = "refused"
MISSING: Final = "missing"
FAILED: Final = "failed"
DONE: Final = "done"
UNDER_WAY: tuple[EntryState, ...] = (BEGINNING, PRINTING)
SKIPPED: tuple[SkippedState, ...] = get_args(SkippedState)


@mutable
class Entry:
    """A file to print.

    Attributes:
        added: Unix time in s.
        done: printed copies.
        force: print the file even if the checks refuse it.
        state: one of the constants above; in a state of SKIPPED there is a `reason`.
        job: the number of its last job in the core's record.
        begun: the number of its jobs that have ended, even if their prints never began; part of the key of the next
            job, which has to be unique.
        behind: number and start of the job that was the last in the core's record before this entry's print. While the
            record has that job, it has not been replaced.
        user: name of the key that added it.
        key: the idempotency key of the request that added it.
    """

    id: int
    path: str
    name: str
    added: float
    copies: int = 1
    done: int = 0
    notes: str = ""
    material: str | None = None
    force: bool = False
    state: str = WAITING  # not EntryState: a state of a later version must not make the stored queue unreadable
    reason: str | None = None
    job: int | None = None
    begun: int = 0
    behind: tuple[int, float] | None = None
    user: str | None = None
    key: str | None = None


@mutable
class Bed:
    """Whether the bed is clear, and who confirmed it."""

    clear: bool = False
    by: str | None = None  # name of the key, or the eject script
    at: float | None = None  # Unix time in s
    after: int | None = None  # the last job when the bed was confirmed
    count: int | None = None  # `RemoteCore.bed` at that time: it changes when something may be on the bed


@mutable
class Document:
    """The whole queue.

    Attributes:
        token: distinguishes this queue from a lost one; part of the keys of its prints.
        next_id: the id of the next entry to be added.
    """

    token: str = field(default_factory=lambda: secrets.token_hex(8))
    revision: int = 0
    paused: bool = False
    next_id: int = 1
    bed: Bed = field(default_factory=Bed)
    entries: list[Entry] = field(default_factory=list)

    def entry(self, number: int) -> Entry:
        """Return an entry; raises NoSuchEntry."""
        for entry in self.entries:
            if entry.id == number:
                return entry
        raise NoSuchEntry(f"there is no entry {number} in the queue")

    def next_entry(self) -> Entry | None:
        """Return the entry to print next."""
        return next((entry for entry in self.entries if entry.state == WAITING), None)

    def entry_under_way(self) -> Entry | None:
        """Return the entry that is being printed, or is about to be."""
        return next((entry for entry in self.entries if entry.state in UNDER_WAY), None)

    def add(self, entry: Entry, *, front: bool) -> Entry:
        """Add an entry, and give it its number; raises JobConflict if the queue is full."""
        if len(self.entries) >= MAX_ENTRIES:
            raise JobConflict(f"the queue is full, with {MAX_ENTRIES} entries: remove some")
        entry.id, self.next_id = self.next_id, self.next_id + 1
        self.entries.insert(0 if front else len(self.entries), entry)
        return entry

    def move(self, number: int, to: int) -> None:
        """Move an entry to this index."""
        entry = self.entry(number)
        self.entries.remove(entry)
        self.entries.insert(to, entry)

    def remove(self, number: int) -> None:
        """Remove an entry; raises JobConflict if it is being printed."""
        entry = self.entry(number)
        if entry.state in UNDER_WAY:
            raise JobConflict(f"entry {number} is being printed; cancel the print first")
        self.entries.remove(entry)

    def retry(self, number: int) -> None:
        """Let a skipped entry wait again."""
        entry = self.entry(number)
        if entry.state in SKIPPED:
            entry.state, entry.reason = WAITING, None

    def clear(self) -> None:
        """Remove all entries but the one being printed."""
        self.entries = [entry for entry in self.entries if entry.state in UNDER_WAY]

    def follow_move(self, before: str, after: str) -> bool:
        """Adapt entries to a file or folder that was moved; tell whether any changed."""
        changed = False
        for entry in self.entries:
            if is_under(entry.path, before):  # also while a copy is being printed: more copies may follow
                entry.path = after + entry.path[len(before) :]
                entry.name = entry.path.rpartition("/")[2]
                changed = True
        return changed

    def follow_deletion(self, path: str) -> bool:
        """Skip entries whose file was deleted; tell whether any changed."""
        changed = False
        for entry in self.entries:
            if is_under(entry.path, path) and entry.state in (WAITING, REFUSED):
                entry.state, entry.reason, changed = MISSING, "the file was deleted", True
        return changed

    def follow_upload(self, path: str) -> bool:
        """Let missing and refused entries wait again when their file is uploaded; tell whether any changed."""
        changed = False
        for entry in self.entries:
            if entry.path == path and entry.state in (MISSING, REFUSED):
                entry.state, entry.reason, changed = WAITING, None, True
        return changed

    def mark_bed_dirty(self) -> None:
        """Note that the bed is not clear."""
        self.bed = Bed()


def is_under(path: str, folder: str) -> bool:
    """Tell whether a path is `folder` itself, or in it."""
    return path == folder or path.startswith(f"{folder}/")
