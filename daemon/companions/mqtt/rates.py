"""Decides how often each topic is published. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

Payload = Mapping[str, Any]

LINK_INTERVAL = 10.0
HOST_INTERVAL = 60.0
JOB_INTERVAL = 30.0  # after which the time left is published, even if the percentage is the same
FINISH_STEP_S = 60.0  # by which the expected end must change to be published
DISK_STEP = 100 * 2**20  # bytes


class Rates:
    """Selects the payloads to publish; remembers the last one of each topic."""

    def __init__(self, step: float, every: float) -> None:
        """Prepare. A change of a temperature by `step` °C is published at once; a smaller change, after `every` s."""
        self._step = step
        self._every = every
        self._last_published: dict[str, tuple[float, Payload]] = {}
        self._is_due: dict[str, Callable[[Payload, Payload, float], bool]] = {
            "state": lambda old, new, _: old != new,
            "temperatures": self._temperatures,
            "job": _job,
            "link": lambda old, new, age: old != new and age >= LINK_INTERVAL,
            "host": _host,
        }

    def choose(self, now: float, payloads: Mapping[str, Payload]) -> dict[str, Payload]:
        """Return the payloads to publish now."""
        due = {}
        for part, new in payloads.items():
            before = self._last_published.get(part)
            if part == "job" and before is not None:
                new = _with_steady_end(before[1], new)  # noqa: PLW2901 - the same, with a steadier end
            if before is None or self._is_due[part](before[1], new, now - before[0]):
                self._last_published[part] = (now, new)
                due[part] = new
        return due

    def _temperatures(self, old: Payload, new: Payload, age: float) -> bool:
        if old.keys() != new.keys():
            return True
        if any(old[name]["target"] != new[name]["target"] for name in new):
            return True
        if any(_has_moved(old[name]["actual"], new[name]["actual"], self._step) for name in new):
            return True
        return old != new and age >= self._every


def _has_moved(old: float | None, new: float | None, step: float) -> bool:
    if old is None or new is None:
        return old is not new
    return abs(new - old) >= step - 1e-9  # 20.1 to 20.6 is half a degree


def _job(old: Payload, new: Payload, age: float) -> bool:
    slow = ("elapsed", "left", "finish", "layer")
    if any(old.get(name) != new.get(name) for name in new if name not in slow):
        return True
    if any((old.get(name) is None) != (new.get(name) is None) for name in slow):
        return True
    return old != new and age >= JOB_INTERVAL


def _with_steady_end(old: Payload, new: Payload) -> Payload:
    """Return the job, with the expected end that was published before unless the new one differs much."""
    before, after = old.get("finish"), new.get("finish")
    if before is None or after is None or before == after:
        return new
    shift_s = abs((datetime.fromisoformat(after) - datetime.fromisoformat(before)).total_seconds())
    return new if shift_s > FINISH_STEP_S else {**new, "finish": before}


def _host(old: Payload, new: Payload, age: float) -> bool:
    quick = ("undervoltage", "throttled", "version")
    if any(old.get(name) != new.get(name) for name in quick):
        return True
    if abs((new.get("disk_free") or 0) - (old.get("disk_free") or 0)) >= DISK_STEP:
        return True
    return old != new and age >= HOST_INTERVAL
