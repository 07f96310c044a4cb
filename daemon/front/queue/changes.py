"""What is done to the queue as a print of it goes on: each looks again, as people change it meanwhile."""

from dataclasses import asdict
from typing import Any

from daemon.front.queue.document import BEGINNING, FAILED, PRINTING, WAITING, Bed, Document, Entry


def claim(draft: Document, number: int, behind: tuple[int, float] | None) -> bool:
    """Take what is next to its print, if the bed is clear; `behind` is the last job of the record."""
    entry = draft.next()
    if entry is None or entry.id != number or draft.paused or not draft.bed.clear:
        return False
    entry.state, entry.reason, entry.behind = BEGINNING, None, behind
    draft.soil()
    return True


def put_back(draft: Document, number: int, job: int | None, reason: str | None) -> None:
    """Let an entry wait again whose print never began; `job` is what it left in the record."""
    entry = draft.entry(number)
    entry.state, entry.reason = WAITING, reason
    if job is not None:
        entry.job, entry.begun = job, entry.begun + 1
    draft.soil()


def print_is(draft: Document, number: int, job: int) -> None:
    """Note the job of a print that has begun."""
    entry = draft.entry(number)
    entry.state, entry.job = PRINTING, job
    draft.soil()


def printed(draft: Document, number: int, job: int, bed: Bed) -> None:
    """Note that a copy is printed, and how the bed was left."""
    entry = draft.entry(number)
    entry.job, entry.begun, entry.done, entry.state = job, entry.begun + 1, entry.done + 1, WAITING
    if entry.done >= entry.copies:
        draft.entries.remove(entry)
    _end(draft, job, bed)


def failed(draft: Document, number: int, job: int | None, reason: str) -> None:
    """Note that a print did not complete; somebody has to look."""
    entry = draft.entry(number)
    entry.job, entry.begun, entry.state, entry.reason = job, entry.begun + 1, FAILED, reason
    _end(draft, job, Bed())


def _end(draft: Document, job: int | None, bed: Bed) -> None:
    """Note how a print has left the bed; whoever has looked since its end knows better."""
    if not (draft.bed.clear and job is not None and draft.bed.after == job):
        draft.bed = bed


def skipped(draft: Document, number: int, state: str, reason: str) -> bool:
    """Skip an entry that waits, and say why; False: it does not wait."""
    entry = next((each for each in draft.entries if each.id == number and each.state == WAITING), None)
    if entry is not None:
        entry.state, entry.reason = state, reason
    return entry is not None


def entry_as_json(entry: Entry) -> dict[str, Any]:
    """Return what clients are told of an entry."""
    return {name: value for name, value in asdict(entry).items() if name not in ("begun", "behind")}
