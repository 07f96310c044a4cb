"""The payloads of the topics `state`, `job`, `temperatures`, `link` and `host`, from the front's state. Pure."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from daemon.companions.front_state import FrontState

PARTS = ("state", "job", "temperatures", "link", "host")
MAX_TEXT = 200  # characters
MAX_HEATERS = 16
OLD = 15.0  # s without a message of the front, after which the printer's state is unknown


def payloads(seen: FrontState, machine: Mapping[str, Any], wall: float, *, known: bool) -> dict[str, dict[str, Any]]:
    """Return the payloads by part.

    Args:
        seen: the front's state.
        machine: the computer's health, as the front reports it.
        wall: the date, in s.
        known: the front's state is current.
    """
    return {
        "state": _state(seen, known=known),
        "job": _job(seen, wall),
        "temperatures": _temperatures(seen) if known else {},
        "link": _link(seen),
        "host": _host(seen, machine),
    }


def switch_of(seen: FrontState) -> Mapping[str, Any] | None:
    """Return the state of the printer's switch, from the companion `power`; None: there is none."""
    found = seen.get("companions.power")
    if not isinstance(found, dict) or not isinstance(state := found.get("state"), dict) or not state.get("printer"):
        return None
    return {**state, "away": found.get("away")}


def _power(seen: FrontState) -> bool | None:
    switch = switch_of(seen)
    on = switch.get("on") if switch is not None and switch["away"] is False else None
    return on if isinstance(on, bool) else None


def _state(seen: FrontState, *, known: bool) -> dict[str, Any]:
    connected = known and seen.get("printer.state") == "ready"
    state = seen.get("job.state")
    active = known and seen.get("job.active") is True
    error = _text(seen.get("printer.error")) or _text(seen.get("job.error"))
    trouble = _text(seen.get("printer.trouble"))
    fault = seen.get("printer.fault")
    return {
        "text": _text(seen.get("printer.text")) if known else "Unreachable",
        "connected": connected,
        "printing": active and state not in ("paused", "pausing"),
        "paused": active and state in ("paused", "pausing"),
        "active": active,
        "power": _power(seen) if known else None,
        "reason": _text(seen.get("job.pauseReason")) if active else None,
        "warning": _text(seen.get("job.warning")) if active else None,
        "error": error,
        "problem": bool(trouble or fault or seen.get("printer.state") == "fault"),
        "trouble": trouble or (_text(fault.get("text")) if isinstance(fault, dict) else None),
        "message": _text((seen.get("printer.message") or {}).get("text")),
    }


def _job(seen: FrontState, wall: float) -> dict[str, Any]:
    file, progress, last = (seen.get(f"job.{name}") or {} for name in ("file", "progress", "last"))
    active = seen.get("job.active") is True
    left = progress.get("left") if active else None
    share, done = progress.get("timeShare"), progress.get("completion")
    percent = share * 100 if share is not None else done
    return {
        "file": _text(file.get("name")),
        "id": seen.get("job.id"),
        "state": seen.get("job.state"),
        "progress": math.floor(percent) if active and percent is not None else None,
        "elapsed": progress.get("time") if active else None,
        "left": left,
        "finish": _date(wall + left) if left is not None else None,
        "layer": progress.get("layer") if active else None,
        "layers": progress.get("layers") if active else None,
        "outcome": last.get("outcome"),
    }


def _temperatures(seen: FrontState) -> dict[str, Any]:
    heaters = seen.get("printer.heaters") or {}
    return {
        name: {"actual": _tenth(each.get("actual")), "target": _tenth(each.get("target"))}
        for name, each in [*heaters.items()][:MAX_HEATERS]
    }


def _link(seen: FrontState) -> dict[str, Any]:
    sent, resends = seen.get("link.sent") or 0, seen.get("link.resends") or 0
    figures = seen.get("link.figures") or {}
    return {
        "sent": sent,
        "resends": resends,
        "resend_percent": round(100 * resends / sent, 2) if sent else 0.0,
        "timeouts": seen.get("link.timeouts") or 0,
        "answer_p99_ms": figures.get("p99"),
        "stall_ms": figures.get("stall"),
    }


def _host(seen: FrontState, machine: Mapping[str, Any]) -> dict[str, Any]:
    power = seen.get("server.power")
    disk, memory = machine.get("disk") or {}, machine.get("memory") or {}
    return {
        "version": seen.get("server.version"),
        "temperature": _tenth(machine.get("temperature")),
        "load": machine.get("load"),
        "disk_free": disk.get("free"),
        "memory_free": memory.get("free"),
        "undervoltage": "undervoltage" in power if isinstance(power, list) else None,
        "throttled": "throttled" in power if isinstance(power, list) else None,
    }


def _text(value: object) -> str | None:
    return value[:MAX_TEXT] if isinstance(value, str) else None


def _tenth(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(round(seconds), UTC).isoformat()
