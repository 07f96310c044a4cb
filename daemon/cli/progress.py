"""The progress of a print as text: a table, or one line that is overwritten."""

import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from daemon.cli.remote import duration, printable, table

Json = Mapping[str, Any]
"""An object of the API's JSON; `job` is the answer to GET /api/job."""

UNDER_WAY = ("Starting", "Printing", "Pausing", "Paused", "Resuming", "Finishing", "Cancelling")
"""States in which there is a print; for a print from the printer's own SD card the state is `Printing from SD`."""

ENDED = ("completed", "cancelled", "failed", "interrupted")

_WIDTH = 20  # characters of a bar


def is_under_way(job: Json) -> bool:
    """Tell whether a print is under way, even if the connection to its printer is lost for a moment."""
    return str(job["state"]).split(" ", 1)[0] in UNDER_WAY or is_recorded(job)


def is_recorded(job: Json) -> bool:
    """Tell whether the daemon has a print that has not ended."""
    state = (job.get("print") or {}).get("state")
    return state is not None and state not in ENDED


def is_out_of_sight(job: Json) -> bool:
    """Tell whether nothing is known about any print, because the core is away or its printer is not connected."""
    return job["state"] == "Offline" and not job.get("print")


def as_table(job: Json, now: datetime) -> str:
    """Return all that is known about the print, with a row for each fact.

    Args:
        job: the answer to GET /api/job.
        now: the local time.
    """
    progress = job["progress"]
    percent, spent, left = progress["completion"], progress["printTime"], progress["printTimeLeft"]
    file = job["job"]["file"]
    end, error = _end(job), job.get("error", "")
    if end and job["state"] == "Operational":  # the printer is well: the error is why the print ended
        end, error = f"{end}: {error}" if error else end, ""
    return table(
        {
            "state": state_text(job),
            "error": error,
            "paused": _reason(job.get("pauseReason")),
            "refused": _refused(job),
            "warning": _reason(job.get("warning")),
            "file": file["path"] or file["name"] or "none selected",
            "layer": _layer(progress),
            "done": "" if percent is None else f"{percent:.1f} % of the file{_share(progress)}",
            "time": ""
            if spent is None
            else f"{duration(spent)} spent" + (_time_left(left) if is_under_way(job) else ""),
            "last print": end,
            "estimate": duration(job["job"].get("estimatedPrintTime")) if spent is None else "",
            "ends": end_time(now, left) if is_under_way(job) and not _waits(job) else "",
        }
    )


def as_line(job: Json, temperatures: Json, now: datetime) -> str:
    """Return the progress of the print in one line."""
    progress = job["progress"]
    share = progress.get("timeCompletion")
    percent = progress["completion"] if share is None else share
    parts = [_end(job) or state_text(job), printable(job["job"]["file"]["path"] or job["job"]["file"]["name"] or "")]
    if percent is not None and is_under_way(job):
        full = round(percent / 100 * _WIDTH)
        parts.append(f"[{'#' * full}{'-' * (_WIDTH - full)}] {percent:.0f} %")
    if layer := _layer(progress):
        parts.append(f"layer {layer}")
    parts += [f"{name} {reading['actual'] or 0:.0f}{_target(reading)} °C" for name, reading in temperatures.items()]
    if is_under_way(job) and not _waits(job) and progress["printTimeLeft"] is not None:
        parts.append(f"{duration(progress['printTimeLeft'])} left, ends {end_time(now, progress['printTimeLeft'])}")
    parts += [printable(str(text)) for text in (job.get("pauseReason"), job.get("error"), job.get("warning")) if text]
    return "  ".join(part for part in parts if part)


def end_time(now: datetime, left: float | None) -> str:
    """Return the local time `left` seconds from now, with the day if it is not today."""
    if left is None:
        return ""
    try:
        end = now + timedelta(seconds=left)
    except OverflowError:  # a file may claim to take longer than the calendar
        return ""
    days = (end.date() - now.date()).days
    return f"{end:%H:%M}" + ("" if days == 0 else " tomorrow" if days == 1 else f" on {end:%A, %d %B}")


class ProgressLine:
    """A line on standard output. On a terminal it is overwritten; elsewhere each changed line is printed."""

    def __init__(self, columns: Callable[[], int]) -> None:
        self._columns = columns
        self._terminal = sys.stdout.isatty()
        self._last = ""

    def show(self, text: str) -> None:
        """Show this text in place of the previous text."""
        if self._terminal:
            print(f"\r\x1b[K{text[: max(1, self._columns() - 1)]}", end="", flush=True)
        elif text != self._last:
            print(text, flush=True)
        self._last = text

    def end(self) -> None:
        """Leave the line as it is."""
        if self._terminal and self._last:
            print()


def _end(job: Json) -> str:
    """Return how the last print ended; "" if there is none or a print is under way."""
    state = (job.get("print") or {}).get("state")
    return "" if is_under_way(job) or state not in ENDED else str(state)


def state_text(job: Json) -> str:
    """Return the state for users. For a lost printer, OctoPrint's clients get `Resuming`, which would mislead users."""
    return "Reattaching to the print" if _is_lost(job) else str(job["state"])


def _is_lost(job: Json) -> bool:
    return (job.get("print") or {}).get("state") == "reattaching"


def _waits(job: Json) -> bool:
    return job["state"] in ("Pausing", "Paused", "Cancelling") or _is_lost(job)


def _layer(progress: Json) -> str:
    layers = progress.get("layers")
    return f"{progress.get('layer', 0)} of {layers}" if layers else ""


def _share(progress: Json) -> str:
    share = progress.get("timeCompletion")
    return "" if share is None else f", {share:.1f} % of the time"


def _time_left(left: float | None) -> str:
    return "" if left is None else f", about {duration(left)} left"


def _target(reading: Json) -> str:
    return f"/{reading['target']:.0f}" if reading.get("target") else ""


def _refused(job: Json) -> str:
    refusal = job.get("refused")
    return f"{refusal['path']}: {'; '.join(refusal['reasons'])}" if refusal else ""


def _reason(text: Any) -> str:
    return str(text) if text else ""
