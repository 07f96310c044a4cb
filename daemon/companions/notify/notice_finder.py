"""NoticeFinder: finds the changes of the front's state that deserve a notice. Pure: messages in, notices out.

The ends of prints come from the history, which also has those that ended while this process was not running. Everything
else comes from events, and from the snapshot that the front keeps up to date for pages.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field
from typing import Any

from daemon.companions.notify.notices import NoticeClass, UserNotice, one_line
from gcode.frozen import mutable

MAX_AGE_S = 12 * 3600.0
"""After a start of this process, ends of prints that are older than this are not reported."""

REPEAT_AFTER_S = 60.0
"""A condition that returns within this time is not reported again: a front that has just started lacks it at first."""

RUNOUT_S = 600.0
"""A pause within this time after a reported runout is not reported: the runout has caused it."""

EVENTS = ("FilamentRunout", "PowerCut", "PowerOffByItself", "PowerOffFailed")
"""Events of the companion `power`."""

_AT_WORK = frozenset({"printing", "finishing"})
_PAUSES = frozenset({"pausing", "paused"})
_ENDS = {"completed": "done", "failed": "failed", "interrupted": "interrupted", "cancelled": "cancelled"}
_KINDS: dict[str, NoticeClass] = {"done": "done", "failed": "failed", "interrupted": "failed", "cancelled": "cancelled"}
_NUMBER = re.compile(r"\d+")


@mutable
class NoticeFinder:
    """Finds notices in the front's state and events.

    Attributes:
        standing_conditions: keys of reported conditions that have not ended; the owner saves them for the next process.
        lost_prints: ids of the prints that have lost their connection.
    """

    standing_conditions: set[str] = field(default_factory=set)
    lost_prints: set[int] = field(default_factory=set)
    _ended_conditions: dict[str, float] = field(default_factory=dict)  # key of a condition → when it ended
    _runouts: dict[int, float] = field(default_factory=dict)  # id of a print → Unix time of its runout, until it pauses

    def check_snapshot(self, front: Mapping[str, Any], now: float, date: float) -> list[UserNotice]:
        """Return the notices for a snapshot.

        Args:
            front: the snapshot.
            now: the time of any steady clock, in s.
            date: Unix time in s; part of keys, which are remembered longer than a steady clock runs.
        """
        job = front.get("job.id")
        notices: list[UserNotice] = []
        if isinstance(job, int) and front.get("job.state") is not None:
            notices += self._job_notices(front, job, date)
        notices += self._printer_notices(front, now, date)
        notices += self._bed_notices(front)
        notices += self._power_notices(front)
        return notices

    def check_event(
        self, name: str, payload: Mapping[str, Any], front: Mapping[str, Any], date: float
    ) -> list[UserNotice]:
        """Return the notices for an event of the companion `power`; `date` is in s."""
        about = about_job(front)
        job, reason = front.get("job.id"), payload.get("why") or payload.get("error")
        device = payload.get("switch")
        if name == "FilamentRunout":
            details = {**about, "reason": reason or payload.get("sensor"), "share": _share(front)}
            if isinstance(job, int):
                self._runouts = {job: date}
            return [UserNotice("paused", f"runout {job} {date:.0f}", "runout", details)]
        if name == "PowerCut":
            what = "cut" if payload.get("done") else "not_cut"
            return [UserNotice("fault", f"cut {date:.0f}", what, {**about, "device": device, "reason": reason})]
        if name in ("PowerOffByItself", "PowerOffFailed"):
            what = "power_off" if name == "PowerOffByItself" else "power_stays"
            return [UserNotice("power", f"{what} {date:.0f}", what, {**about, "device": device, "reason": reason})]
        return []

    def check_disk(self, free: float, low: float, printer: str, date: float) -> list[UserNotice]:
        """Return a notice if fewer than `low` bytes are free on the disk; `date` is in s."""
        if free < low:
            about = {"printer": printer, "free": free}
            return self._once("disk", UserNotice("disk", f"disk {date:.0f}", "disk", about))
        if free > 1.5 * low:
            self.standing_conditions.discard("disk")
        return []

    # -- the print ---------------------------------------------------------------------------------------------

    def _job_notices(self, front: Mapping[str, Any], job: int, date: float) -> list[UserNotice]:
        state, about = front["job.state"], about_job(front)
        notices: list[UserNotice] = []
        if state in _PAUSES:
            runout = self._runouts.pop(job, None)
            if runout is not None and date - runout < RUNOUT_S:  # reported already, when the sensor noticed it
                self.standing_conditions.add(f"paused {job}")
            if reason := front.get("job.pauseReason"):
                details = {**about, "reason": reason, "share": _share(front)}
                notices += self._once(
                    f"paused {job}", UserNotice("paused", _key(job, "paused", details), "paused", details)
                )
        elif state in _AT_WORK:
            self.standing_conditions.discard(f"paused {job}")
        if state == "reattaching":
            self.lost_prints.add(job)
        elif job in self.lost_prints:
            self.lost_prints.discard(job)
            if state not in _ENDS and state != "cancelling":
                details = {**about, "share": _share(front)}
                notices.append(UserNotice("back", _key(job, "back", details), "back", details))
        notices += self._warning_notices(front, job, about)
        return notices

    def _warning_notices(self, front: Mapping[str, Any], job: int, about: Mapping[str, Any]) -> list[UserNotice]:
        text = front.get("job.warning")
        prefix = f"warning {job} "
        if not text:
            self.standing_conditions -= {each for each in self.standing_conditions if each.startswith("warning ")}
            return []
        plain = prefix + _NUMBER.sub("#", one_line(text))  # numbers in the text may be counters
        details = {**about, "reason": text}
        return self._once(plain, UserNotice("warning", _key(job, plain, about), "warning", details))

    # -- the printer -------------------------------------------------------------------------------------------

    def _printer_notices(self, front: Mapping[str, Any], now: float, date: float) -> list[UserNotice]:
        printer = {"printer": printer_of(front)}
        notices = []
        if isinstance(fault := front.get("printer.fault"), dict):
            details = {**printer, "reason": fault.get("text"), "halt": fault.get("kind")}
            notices.append(UserNotice("fault", f"fault {fault.get('at')}", "halted", details))
        for name, what, value in (
            ("trouble", "trouble", front.get("printer.trouble")),
            ("stop", "stop", front.get("printer.stop") == "unconfirmed" or None),
        ):
            reason = value if isinstance(value, str) else None
            if value:
                self._ended_conditions.pop(name, None)
                notice = UserNotice("fault", f"{name} {date:.0f}", what, {**printer, "reason": reason})
                notices += self._once(name, notice)
            elif (
                name in self.standing_conditions
                and now - self._ended_conditions.setdefault(name, now) >= REPEAT_AFTER_S
            ):
                self.standing_conditions.discard(name)
        return notices

    def _bed_notices(self, front: Mapping[str, Any]) -> list[UserNotice]:
        entry, why = front.get("queue.next"), front.get("queue.waiting")
        if not isinstance(entry, dict) or not isinstance(why, str) or "bed" not in why:
            return []
        details = {"printer": printer_of(front), "file": entry.get("path")}
        return [UserNotice("bed", f"bed {entry.get('id')} {entry.get('done')}", "bed", details)]

    def _power_notices(self, front: Mapping[str, Any]) -> list[UserNotice]:
        """Return a notice that the power is about to be switched off, once for each announcement."""
        power = front.get("companions.power")
        state = power.get("state") if isinstance(power, dict) else None
        at = state.get("offAt") if isinstance(state, dict) else None
        if not isinstance(state, dict) or not isinstance(at, int | float):
            self.standing_conditions.discard("off soon")
            return []
        details = {"printer": printer_of(front), "device": state.get("printer")}
        return self._once("off soon", UserNotice("power", f"off {at:.0f}", "power_soon", details))

    def _once(self, key: str, notice: UserNotice) -> list[UserNotice]:
        if key in self.standing_conditions:
            return []
        self.standing_conditions.add(key)
        return [notice]


def find_ends(
    jobs: Iterable[Mapping[str, Any]], reported: Collection[str], printer: str, since: float | None
) -> list[UserNotice]:
    """Return the notices for ends of prints that were not reported yet, the oldest first.

    Args:
        jobs: of the history, newest first.
        reported: the keys of notices that were sent.
        printer: its name.
        since: the date before which ends are not reported, in s; None: no limit.
    """
    notices = []
    for job in jobs:
        what = _ENDS.get(str(job.get("state")))
        key = end_key(job)
        if what is None or key in reported or (since is not None and (job.get("ended") or 0.0) < since):
            continue
        about = {
            "printer": printer,
            "file": job.get("name") or job.get("path"),
            "reason": job.get("reason") if what != "done" else None,
            "seconds": job.get("printTime"),
            "filament": job.get("filament") or (),
        }
        notices.append(UserNotice(_KINDS[what], key, what, about))
    return notices[::-1]


def end_key(job: Mapping[str, Any]) -> str:
    """Return the key of a print's end. It has a date, because ids start over with a new database."""
    return f"end {job.get('id')} {round(job.get('started') or 0)}"


def about_job(front: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names of the printer and the file in a snapshot."""
    file = front.get("job.file")
    return {"printer": printer_of(front), "file": file.get("name") if isinstance(file, dict) else None}


def printer_of(front: Mapping[str, Any]) -> str:
    """Return the printer's name; "" if it has none."""
    return str(front.get("server.name") or "")


def _share(front: Mapping[str, Any]) -> float | None:
    progress = front.get("job.progress")
    return progress.get("completion") if isinstance(progress, dict) else None


def _key(job: int, what: str, about: Mapping[str, Any]) -> str:
    share = about.get("share")
    return f"{what} {job}" + (f" {share:.1f}" if isinstance(share, int | float) else "")
