"""The queue as it is kept: entries in their order, and what is known of the bed."""

import secrets
from dataclasses import field

from daemon.errors import JobConflict, NoSuchEntry
from gcode.frozen import mutable

MOST_ENTRIES = 500
MOST_COPIES = 999
LONGEST_NOTES = 1000
LONGEST_MATERIAL = 60

WAITING, BEGINNING, PRINTING = "waiting", "beginning", "printing"
REFUSED, MISSING, FAILED, DONE = "refused", "missing", "failed", "done"
UNDER_WAY = (BEGINNING, PRINTING)
SKIPPED = (REFUSED, MISSING, FAILED)


@mutable
class Entry:
    """A file that waits.

    Attributes:
        done: copies that are printed.
        state: one of the words above; those that are SKIPPED have a `reason`.
        job: the last job of it, by its number in the record.
        begun: how many jobs of it are over; the next one has a key of its own by it.
        behind: the last job of the record before its print, by number and start: it tells that record from another.
        user: who has put it in, and `key` by what it is known when that is asked for again.
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
    state: str = WAITING
    reason: str | None = None
    job: int | None = None
    begun: int = 0
    behind: tuple[int, float] | None = None
    user: str | None = None
    key: str | None = None


@mutable
class Bed:
    """Whether the bed is clear: by whose word, when (s since 1970), behind which job, at which `RemoteCore.bed`."""

    clear: bool = False
    by: str | None = None
    at: float | None = None
    after: int | None = None
    count: int | None = None


@mutable
class Document:
    """All of it.

    Attributes:
        token: tells this queue from one that was lost; a part of the keys of its prints.
        next_id: of the entry that is put in next.
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

    def next(self) -> Entry | None:
        """Return what is printed next."""
        return next((entry for entry in self.entries if entry.state == WAITING), None)

    def under_way(self) -> Entry | None:
        """Return what is printed now, or about to be."""
        return next((entry for entry in self.entries if entry.state in UNDER_WAY), None)

    def add(self, entry: Entry, *, front: bool) -> Entry:
        """Put an entry in; it gets its number. Raises JobConflict where there is no room."""
        if len(self.entries) >= MOST_ENTRIES:
            raise JobConflict(f"the queue has {MOST_ENTRIES} entries already; remove some")
        entry.id, self.next_id = self.next_id, self.next_id + 1
        self.entries.insert(0 if front else len(self.entries), entry)
        return entry

    def move(self, number: int, to: int) -> None:
        """Put an entry at another place; 0 is the first."""
        entry = self.entry(number)
        self.entries.remove(entry)
        self.entries.insert(to, entry)

    def remove(self, number: int) -> None:
        """Take an entry out; raises JobConflict where it is printed."""
        entry = self.entry(number)
        if entry.state in UNDER_WAY:
            raise JobConflict(f"entry {number} is being printed; cancel the print first")
        self.entries.remove(entry)

    def retry(self, number: int) -> None:
        """Let an entry that was skipped wait again."""
        entry = self.entry(number)
        if entry.state in SKIPPED:
            entry.state, entry.reason = WAITING, None

    def clear(self) -> None:
        """Remove all entries that are not being printed."""
        self.entries = [entry for entry in self.entries if entry.state in UNDER_WAY]

    def moved(self, before: str, after: str) -> bool:
        """Follow a file or folder to its new path; tell whether an entry was meant."""
        found = False
        for entry in self.entries:
            if is_under(entry.path, before):  # also while one is printed: there may be more copies
                entry.path = after + entry.path[len(before) :]
                entry.name = entry.path.rpartition("/")[2]
                found = True
        return found

    def skip_deleted(self, path: str) -> bool:
        """Skip what was deleted, and say so; tell whether an entry was meant."""
        found = False
        for entry in self.entries:
            if is_under(entry.path, path) and entry.state in (WAITING, REFUSED):
                entry.state, entry.reason, found = MISSING, "the file was deleted", True
        return found

    def came(self, path: str) -> bool:
        """Let what was missing, or refused, wait again as its file is there anew; tell whether an entry was meant."""
        found = False
        for entry in self.entries:
            if entry.path == path and entry.state in (MISSING, REFUSED):
                entry.state, entry.reason, found = WAITING, None, True
        return found

    def soil(self) -> None:
        """Take the bed for one that is not clear."""
        self.bed = Bed()


def is_under(path: str, folder: str) -> bool:
    """Tell whether a path is this one, or one in this folder."""
    return path == folder or path.startswith(f"{folder}/")
