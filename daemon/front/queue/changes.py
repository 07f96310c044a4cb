"""The changes that prints make to the queue. Each looks the entry up again: users may have changed the queue."""

from dataclasses import asdict
from typing import Any

from daemon.front.queue.document import BEGINNING, FAILED, PRINTING, WAITING, Bed, Document, Entry, SkippedState


def claim(draft: Document, number: int, behind: tuple[int, float] | None) -> bool:
    """Mark the next entry as beginning, if the bed is clear; `behind` is the last job of the core's record."""
    entry = draft.next_entry()
    if entry is None or entry.id != number or draft.paused or not draft.bed.clear:
        return False
    entry.state, entry.reason, entry.behind = BEGINNING, None, behind
    draft.mark_bed_dirty()
    return True


def put_back(draft: Document, number: int, job: int | None, reason: str | None) -> None:
    """Let an entry whose print never began wait again; `job` was recorded for the print."""
    entry = draft.entry(number)
    entry.state, entry.reason = WAITING, reason
    if job is not None:
        entry.job, entry.begun = job, entry.begun + 1
    draft.mark_bed_dirty()


def note_print(draft: Document, number: int, job: int) -> None:
    """Note the job of a print that has begun."""
    entry = draft.entry(number)
    entry.state, entry.job = PRINTING, job
    draft.mark_bed_dirty()


def note_printed(draft: Document, number: int, job: int, bed: Bed) -> None:
    """Count a printed copy, and note the state of the bed."""
    entry = draft.entry(number)
    entry.job, entry.begun, entry.done, entry.state = job, entry.begun + 1, entry.done + 1, WAITING
    if entry.done >= entry.copies:
        draft.entries.remove(entry)
    _set_bed(draft, job, bed)


def note_failed(draft: Document, number: int, job: int | None, reason: str) -> None:
    """Note that a print did not complete; a user has to look into the reason."""
    entry = draft.entry(number)
    entry.job, entry.begun, entry.state, entry.reason = job, entry.begun + 1, FAILED, reason
    _set_bed(draft, job, Bed())


def _set_bed(draft: Document, job: int | None, bed: Bed) -> None:
    """Note the state of the bed after a print, unless a user has confirmed it since."""
    if not (draft.bed.clear and job is not None and draft.bed.after == job):
        draft.bed = bed


def skip(draft: Document, number: int, state: SkippedState, reason: str) -> bool:
    """Skip a waiting entry for a reason; False: it does not wait."""
    entry = next((each for each in draft.entries if each.id == number and each.state == WAITING), None)
    if entry is not None:
        entry.state, entry.reason = state, reason
    return entry is not None


def entry_as_json(entry: Entry) -> dict[str, Any]:
    """Return an entry as clients see it."""
    return {name: value for name, value in asdict(entry).items() if name not in ("begun", "behind")}
