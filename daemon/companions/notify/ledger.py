"""Ledger: which spool is on which tool, and how much of its use was reported to Spoolman. Pure.

Each metre is to be counted once, whatever fails. The length that a print has used of a spool is first entered as owed,
then reported. A report is saved before it is sent, together with the used length of the spool at that time. If no
answer comes, the used length shows later whether Spoolman has counted the report, once or twice. If that stays unclear,
the report is assumed to be counted.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MIN_REPORT_MM = 1.0  # mm
MAX_JOBS = 20
MAX_ENDS = 200
MAX_SPOOLS = 64
MAX_TRIES = 10
"""A report that the spool's used length still does not show after this many attempts is assumed to be counted."""

MAX_USE_MM = 5_000_000.0  # mm; no print uses more


@dataclass(frozen=True, slots=True)
class UseReport:
    """A report that has no answer yet: length in mm, the spool's used length before it, and how often it was sent."""

    mm: float
    before: float
    tries: int = 1


class Ledger:
    """Use and reports of all spools.

    Attributes:
        spool_of_tool: the spool that is on each tool.
        owed_mm: by spool, the length that was used but not reported; negative if too much was reported.
        pending_reports: by spool, the report that has no answer yet.
    """

    def __init__(self) -> None:
        self.spool_of_tool: dict[int, int] = {}
        self.owed_mm: dict[int, float] = {}
        self.pending_reports: dict[int, UseReport] = {}
        self._entered_mm: dict[str, dict[int, float]] = {}  # print → tool → mm that were entered
        self._ended_prints: dict[str, None] = {}
        self._closed_prints: dict[str, None] = {}

    def choose(self, tool: int, spool: int | None) -> None:
        """Put a spool on a tool; None: no spool. First `take` the use so far: it belongs to the previous spool."""
        self.spool_of_tool.pop(tool, None)
        if spool is not None:
            self.spool_of_tool[tool] = spool

    def take(self, job: str, used: Mapping[int, float], *, final: bool = False) -> bool:
        """Enter what a print has used; return whether anything has changed.

        Args:
            job: the print.
            used: tool → mm so far; a value smaller than an earlier one is ignored (the core was killed in between).
            final: the print has ended; without this, nothing is entered for a print that was closed.
        """
        if job in self._closed_prints and not final:
            return False
        entered = self._entered_mm.pop(job, {})
        changed = False
        for tool, mm in used.items():
            before = entered.get(tool, 0.0)
            if not math.isfinite(mm) or not before < mm <= MAX_USE_MM:
                continue
            changed = True
            entered[tool] = mm
            if (spool := self.spool_of_tool.get(tool)) is not None:
                self.owed_mm[spool] = self.owed_mm.get(spool, 0.0) + mm - before
        self._entered_mm[job] = entered
        while len(self._entered_mm) > MAX_JOBS:
            del self._entered_mm[next(iter(self._entered_mm))]
        return changed

    def has_ended(self, end: str) -> bool:
        """Tell whether the print with this key, which has a date, was closed."""
        return end in self._ended_prints

    def close(self, end: str, job: str) -> None:
        """Close a print. `end` is its key with a date; `job`, its key without a date, may recur in a new database."""
        self._ended_prints[end] = None
        self._entered_mm.pop(job, None)
        self._closed_prints.pop(job, None)
        self._closed_prints[job] = None
        while len(self._closed_prints) > MAX_JOBS:
            del self._closed_prints[next(iter(self._closed_prints))]
        while len(self._ended_prints) > MAX_ENDS:
            del self._ended_prints[next(iter(self._ended_prints))]

    def spools_due(self) -> list[int]:
        """Return the spools that need a report."""
        return sorted(
            {spool for spool, mm in self.owed_mm.items() if mm >= MIN_REPORT_MM} | self.pending_reports.keys()
        )

    # -- reports -----------------------------------------------------------------------------------------------

    def begin_report(self, spool: int, before: float) -> float:
        """Begin a report of what is owed, or repeat the pending one; return its length in mm."""
        last = self.pending_reports.get(spool)
        mm, tries = (self.owed_mm.get(spool, 0.0), 1) if last is None else (last.mm, last.tries + 1)
        self.pending_reports[spool] = UseReport(mm, before, tries)
        return mm

    def check_counted(self, spool: int, used: float) -> bool | None:
        """Return whether the pending report was counted, judging by the spool's used length; if so, settle it.

        None: that is unclear after MAX_TRIES attempts; the report is settled as if it was counted.
        """
        report = self.pending_reports[spool]
        if used - report.before >= report.mm / 2 or used < report.before - _slack(report.mm):
            # less than before: a user has corrected the spool, for example after weighing it
            self._settle(spool, report, used)
            return True
        if report.tries >= MAX_TRIES:
            self._settle(spool, report, report.before + report.mm)
            return None
        return False

    def settle_by_answer(self, spool: int, used: float) -> bool:
        """Settle a report by its answer, the spool's used length; False: the length does not fit, so it stays open."""
        report = self.pending_reports[spool]
        if abs(used - report.before - report.mm) > _slack(report.mm) and not (
            report.tries > 1 and self._is_twice(report, used)
        ):
            return False
        self._settle(spool, report, used)
        return True

    def drop_refused(self, spool: int) -> None:
        """Drop the pending report, which was certainly not counted."""
        self.pending_reports.pop(spool, None)

    def write_off(self, spool: int) -> None:
        """Drop what is owed to a spool that no longer exists."""
        self.pending_reports.pop(spool, None)
        self.owed_mm.pop(spool, None)

    @staticmethod
    def _is_twice(report: UseReport, used: float) -> bool:
        return abs(used - report.before - 2 * report.mm) <= _slack(report.mm)

    def _settle(self, spool: int, report: UseReport, used: float) -> None:
        times = 2 if report.tries > 1 and self._is_twice(report, used) else 1  # a report that seemed lost arrived late
        self.owed_mm[spool] = self.owed_mm.get(spool, 0.0) - times * report.mm
        self.pending_reports.pop(spool, None)

    # -- for the next process -----------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """Return the ledger as JSON."""
        return {
            "chosen": {str(tool): spool for tool, spool in self.spool_of_tool.items()},
            "owed": {str(spool): mm for spool, mm in self.owed_mm.items() if mm},
            "pending": {str(spool): [each.mm, each.before, each.tries] for spool, each in self.pending_reports.items()},
            "taken": {job: {str(tool): mm for tool, mm in each.items()} for job, each in self._entered_mm.items()},
            "ended": [*self._ended_prints],
            "closed": [*self._closed_prints],
        }

    def restore(self, document: Mapping[str, Any]) -> None:
        """Restore the result of an earlier `document`.

        Raises:
            ValueError, TypeError, AttributeError, KeyError: the document is damaged.
        """
        self.spool_of_tool = {int(tool): int(spool) for tool, spool in document["chosen"].items()}
        self.owed_mm = {int(spool): _read_length(mm) for spool, mm in document["owed"].items()}
        self.pending_reports = {
            int(spool): UseReport(_read_length(mm), _read_length(before), int(tries))
            for spool, (mm, before, tries) in document["pending"].items()
        }
        self._entered_mm = {
            str(job): {int(tool): _read_length(mm) for tool, mm in each.items()}
            for job, each in document["taken"].items()
        }
        self._ended_prints = dict.fromkeys(map(str, document["ended"]))
        self._closed_prints = dict.fromkeys(map(str, document.get("closed", ())))


def _read_length(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a length")
    return number


def _slack(mm: float) -> float:
    """Return the tolerance for a length, in mm: Spoolman stores grams, so it converts mm to g and back."""
    return max(MIN_REPORT_MM, abs(mm) / 1000)
