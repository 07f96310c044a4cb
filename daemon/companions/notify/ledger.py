"""Ledger: which spool is on which tool, and how much of its use was reported to Spoolman. Pure.

Each metre is reported once, whatever fails. What a print has used of a spool is first noted as owed, then reported. A
report is saved before it is sent, together with the spool's used length at that time. If no answer comes, the spool's
used length shows whether the report was counted.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MIN_REPORT = 1.0  # mm
MAX_JOBS = 20
MAX_ENDS = 200
MAX_SPOOLS = 64
MAX_TRIES = 10
"""Attempts at a report that the spool's used length does not show; after that it is assumed to be counted."""

MAX_USE = 5_000_000.0  # mm; no print uses more


@dataclass(frozen=True, slots=True)
class UseReport:
    """A report that has no answer yet: length in mm, the spool's used length before it, and how often it was sent."""

    mm: float
    before: float
    tries: int = 1


class Ledger:
    """Use and reports of all spools.

    Attributes:
        chosen: tool → spool.
        owed: spool → mm that were used but not reported; negative if too much was reported.
        pending: spool → the report that has no answer yet.
    """

    def __init__(self) -> None:
        self.chosen: dict[int, int] = {}
        self.owed: dict[int, float] = {}
        self.pending: dict[int, UseReport] = {}
        self._taken: dict[str, dict[int, float]] = {}  # print → tool → mm that were entered
        self._ended: dict[str, None] = {}
        self._closed: dict[str, None] = {}

    def choose(self, tool: int, spool: int | None) -> None:
        """Put a spool on a tool; None: none. What was used so far belongs to the previous spool: `take` it first."""
        self.chosen.pop(tool, None)
        if spool is not None:
            self.chosen[tool] = spool

    def take(self, job: str, used: Mapping[int, float], *, final: bool = False) -> bool:
        """Enter what a print has used; return whether anything has changed.

        Args:
            job: the print.
            used: tool → mm so far; a smaller value than before is ignored: the daemon was killed.
            final: the print has ended; later answers about it are ignored.
        """
        if job in self._closed and not final:
            return False
        taken = self._taken.pop(job, {})
        changed = False
        for tool, mm in used.items():
            before = taken.get(tool, 0.0)
            if not math.isfinite(mm) or not before < mm <= MAX_USE:
                continue
            changed = True
            taken[tool] = mm
            if (spool := self.chosen.get(tool)) is not None:
                self.owed[spool] = self.owed.get(spool, 0.0) + mm - before
        self._taken[job] = taken
        while len(self._taken) > MAX_JOBS:
            del self._taken[next(iter(self._taken))]
        return changed

    def has_ended(self, end: str) -> bool:
        """Tell whether this print was closed."""
        return end in self._ended

    def end(self, end: str, job: str) -> None:
        """Close a print: by the key `end`, which has its date, and `job`, which may recur if the database is lost."""
        self._ended[end] = None
        self._taken.pop(job, None)
        self._closed.pop(job, None)
        self._closed[job] = None
        while len(self._closed) > MAX_JOBS:
            del self._closed[next(iter(self._closed))]
        while len(self._ended) > MAX_ENDS:
            del self._ended[next(iter(self._ended))]

    def due(self) -> list[int]:
        """Return the spools that need a report."""
        return sorted({spool for spool, mm in self.owed.items() if mm >= MIN_REPORT} | self.pending.keys())

    # -- reports -----------------------------------------------------------------------------------------------

    def begin(self, spool: int, before: float) -> float:
        """Begin a report of what is owed, or repeat the pending one; return its length in mm."""
        last = self.pending.get(spool)
        mm, tries = (self.owed.get(spool, 0.0), 1) if last is None else (last.mm, last.tries + 1)
        self.pending[spool] = UseReport(mm, before, tries)
        return mm

    def counted(self, spool: int, used: float) -> bool | None:
        """Return whether the pending report was counted, as a spool's used length shows; if so, it is settled.

        None: that is unclear after MAX_TRIES attempts; the report is settled as counted, so that it ends.
        """
        report = self.pending[spool]
        if used - report.before >= report.mm / 2 or used < report.before - _slack(report.mm):
            # less than before: a user has corrected the spool, for example after weighing it
            self._settle(spool, report, used)
            return True
        if report.tries >= MAX_TRIES:
            self._settle(spool, report, report.before + report.mm)
            return None
        return False

    def answered(self, spool: int, used: float) -> bool:
        """Settle a report by its answer, the spool's used length; False: it does not fit, and the report stays open."""
        report = self.pending[spool]
        if abs(used - report.before - report.mm) > _slack(report.mm) and not (
            report.tries > 1 and self._is_twice(report, used)
        ):
            return False
        self._settle(spool, report, used)
        return True

    def refused(self, spool: int) -> None:
        """Drop the pending report, as it was certainly not counted."""
        self.pending.pop(spool, None)

    def write_off(self, spool: int) -> None:
        """Drop what is owed to a spool that no longer exists."""
        self.pending.pop(spool, None)
        self.owed.pop(spool, None)

    @staticmethod
    def _is_twice(report: UseReport, used: float) -> bool:
        return abs(used - report.before - 2 * report.mm) <= _slack(report.mm)

    def _settle(self, spool: int, report: UseReport, used: float) -> None:
        times = 2 if report.tries > 1 and self._is_twice(report, used) else 1  # a report that seemed lost arrived late
        self.owed[spool] = self.owed.get(spool, 0.0) - times * report.mm
        self.pending.pop(spool, None)

    # -- for the next process -----------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """Return the ledger as JSON."""
        return {
            "chosen": {str(tool): spool for tool, spool in self.chosen.items()},
            "owed": {str(spool): mm for spool, mm in self.owed.items() if mm},
            "pending": {str(spool): [each.mm, each.before, each.tries] for spool, each in self.pending.items()},
            "taken": {job: {str(tool): mm for tool, mm in each.items()} for job, each in self._taken.items()},
            "ended": [*self._ended],
            "closed": [*self._closed],
        }

    def restore(self, document: Mapping[str, Any]) -> None:
        """Restore the result of an earlier `document`.

        Raises:
            ValueError, TypeError, AttributeError, KeyError: the document is damaged.
        """
        self.chosen = {int(tool): int(spool) for tool, spool in document["chosen"].items()}
        self.owed = {int(spool): _finite(mm) for spool, mm in document["owed"].items()}
        self.pending = {
            int(spool): UseReport(_finite(mm), _finite(before), int(tries))
            for spool, (mm, before, tries) in document["pending"].items()
        }
        self._taken = {
            str(job): {int(tool): _finite(mm) for tool, mm in each.items()} for job, each in document["taken"].items()
        }
        self._ended = dict.fromkeys(map(str, document["ended"]))
        self._closed = dict.fromkeys(map(str, document.get("closed", ())))


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a length")
    return number


def _slack(mm: float) -> float:
    """Return the tolerance for a length, in mm: Spoolman stores grams, so it converts mm to g and back."""
    return max(MIN_REPORT, abs(mm) / 1000)
