"""Ledger: which spool is on which tool, and what of it was reported: each metre once, whatever is lost. Pure.

What prints use is taken over into what is owed to a spool; what is owed is reported. A report is written down before it
is sent, with what the spool had used by then: when no answer comes, the spool's own figure says whether it was counted.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEAST = 1.0  # mm that are worth a report
MOST_JOBS = 20
MOST_ENDS = 200
MOST_SPOOLS = 64
MOST_TRIES = 10
"""Reports of the same metres that the spool's own figure does not show, until it is no longer believed."""

LONGEST = 5_000_000.0  # mm; no print uses more


@dataclass(frozen=True, slots=True)
class UseReport:
    """A report on its way: so many mm, when the spool had used `before`, and how often it was sent."""

    mm: float
    before: float
    tries: int = 1


class Ledger:
    """The books.

    Attributes:
        chosen: tool → spool.
        owed: spool → mm that were used and are not reported; below 0, what was reported too much.
        pending: spool → the report nobody knows the fate of.
    """

    def __init__(self) -> None:
        self.chosen: dict[int, int] = {}
        self.owed: dict[int, float] = {}
        self.pending: dict[int, UseReport] = {}
        self._taken: dict[str, dict[int, float]] = {}  # print → tool → mm taken over
        self._ended: dict[str, None] = {}
        self._closed: dict[str, None] = {}

    def choose(self, tool: int, spool: int | None) -> None:
        """Put a spool on a tool; None: none. What was used until now belongs to the one before: `take` it first."""
        self.chosen.pop(tool, None)
        if spool is not None:
            self.chosen[tool] = spool

    def take(self, job: str, used: Mapping[int, float], *, final: bool = False) -> bool:
        """Take over what a print has used, in mm by tool; tell whether anything has changed.

        Args:
            job: the print.
            used: until now; less than before is what a daemon knows that was killed, and means nothing.
            final: that was all. What comes for a print behind its end, as answers may be late, is left out.
        """
        if job in self._closed and not final:
            return False
        taken = self._taken.pop(job, {})
        changed = False
        for tool, mm in used.items():
            before = taken.get(tool, 0.0)
            if not math.isfinite(mm) or not before < mm <= LONGEST:
                continue
            changed = True
            taken[tool] = mm
            if (spool := self.chosen.get(tool)) is not None:
                self.owed[spool] = self.owed.get(spool, 0.0) + mm - before
        self._taken[job] = taken
        while len(self._taken) > MOST_JOBS:
            del self._taken[next(iter(self._taken))]
        return changed

    def has_ended(self, end: str) -> bool:
        """Tell whether this print was closed."""
        return end in self._ended

    def end(self, end: str, job: str) -> None:
        """Close a print: by its end, which is never taken again, and its name, which a lost record may give again."""
        self._ended[end] = None
        self._taken.pop(job, None)
        self._closed.pop(job, None)
        self._closed[job] = None
        while len(self._closed) > MOST_JOBS:
            del self._closed[next(iter(self._closed))]
        while len(self._ended) > MOST_ENDS:
            del self._ended[next(iter(self._ended))]

    def due(self) -> list[int]:
        """Return the spools that there is something to be reported for."""
        return sorted({spool for spool, mm in self.owed.items() if mm >= LEAST} | self.pending.keys())

    # -- reports -----------------------------------------------------------------------------------------------

    def begin(self, spool: int, before: float) -> float:
        """Note that what is owed is being reported now, or the last report once more; return how many mm."""
        last = self.pending.get(spool)
        mm, tries = (self.owed.get(spool, 0.0), 1) if last is None else (last.mm, last.tries + 1)
        self.pending[spool] = UseReport(mm, before, tries)
        return mm

    def counted(self, spool: int, used: float) -> bool | None:
        """Tell by what a spool has used now whether the report was counted; what is settled so is settled.

        None: not yet, and it was sent often enough: it is taken for counted, as it must never be counted for ever.
        """
        report = self.pending[spool]
        if used - report.before >= report.mm / 2 or used < report.before - _slack(report.mm):
            # less than before: somebody has weighed the spool since, and knows better
            self._settle(spool, report, used)
            return True
        if report.tries >= MOST_TRIES:
            self._settle(spool, report, report.before + report.mm)
            return None
        return False

    def answered(self, spool: int, used: float) -> bool:
        """Take the answer to a report: what the spool has used now. False: it does not fit, and has to be looked at."""
        report = self.pending[spool]
        if abs(used - report.before - report.mm) > _slack(report.mm) and not (
            report.tries > 1 and self._is_twice(report, used)
        ):
            return False
        self._settle(spool, report, used)
        return True

    def refused(self, spool: int) -> None:
        """Note that the report was not taken, for certain."""
        self.pending.pop(spool, None)

    def forgive(self, spool: int) -> None:
        """Owe nothing to a spool that is there no longer."""
        self.pending.pop(spool, None)
        self.owed.pop(spool, None)

    @staticmethod
    def _is_twice(report: UseReport, used: float) -> bool:
        return abs(used - report.before - 2 * report.mm) <= _slack(report.mm)

    def _settle(self, spool: int, report: UseReport, used: float) -> None:
        times = 2 if report.tries > 1 and self._is_twice(report, used) else 1  # the one that was given up came late
        self.owed[spool] = self.owed.get(spool, 0.0) - times * report.mm
        self.pending.pop(spool, None)

    # -- over restarts -----------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """Return all of it, as JSON has it."""
        return {
            "chosen": {str(tool): spool for tool, spool in self.chosen.items()},
            "owed": {str(spool): mm for spool, mm in self.owed.items() if mm},
            "pending": {str(spool): [each.mm, each.before, each.tries] for spool, each in self.pending.items()},
            "taken": {job: {str(tool): mm for tool, mm in each.items()} for job, each in self._taken.items()},
            "ended": [*self._ended],
            "closed": [*self._closed],
        }

    def restore(self, document: Mapping[str, Any]) -> None:
        """Take in what `document` has returned once.

        Raises:
            ValueError, TypeError, AttributeError, KeyError: it is none.
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
    """Return by how much a figure may be off: Spoolman keeps g, and has turned the mm into them and back."""
    return max(LEAST, abs(mm) / 1000)
