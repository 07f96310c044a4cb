"""The payloads of the topics `state`, `job`, `temperatures`, `link` and `host`, from the front's state. Pure."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from daemon.companions.front_state import FrontState

PARTS = ("state", "job", "temperatures", "link", "host")
MAX_TEXT = 200  # characters
MAX_HEATERS = 16
MAX_SILENCE_S = 15.0  # without a message from the front, after which the printer's state is unknown


def payloads(front: FrontState, machine: Mapping[str, Any], wall: float, *, current: bool) -> dict[str, dict[str, Any]]:
    """Return the payloads by part.

    Args:
        front: the front's state.
        machine: the computer's health, as the front reports it.
        wall: the Unix time in s.
        current: whether the front's state is current.
    """
    return {
        "state": _state(front, current=current),
        "job": _job(front, wall),
        "temperatures": _temperatures(front) if current else {},
        "link": _link(front),
        "host": _host(front, machine),
    }


def switch_of(front: FrontState) -> Mapping[str, Any] | None:
    """Return the state of the printer's switch, from the companion `power`; None: there is none."""
    companion = front.get("companions.power")
    state = companion.get("state") if isinstance(companion, dict) else None
    if not isinstance(companion, dict) or not isinstance(state, dict) or not state.get("printer"):
        return None
    return {**state, "away": companion.get("away")}


def _power(front: FrontState) -> bool | None:
    switch = switch_of(front)
    on = switch.get("on") if switch is not None and switch["away"] is False else None
    return on if isinstance(on, bool) else None


def _state(front: FrontState, *, current: bool) -> dict[str, Any]:
    connected = current and front.get("printer.state") == "ready"
    state = front.get("job.state")
    active = current and front.get("job.active") is True
    error = _text(front.get("printer.error")) or _text(front.get("job.error"))
    trouble = _text(front.get("printer.trouble"))
    fault = front.get("printer.fault")
    return {
        "text": _text(front.get("printer.text")) if current else "Unreachable",
        "connected": connected,
        "printing": active and state not in ("paused", "pausing"),
        "paused": active and state in ("paused", "pausing"),
        "active": active,
        "power": _power(front) if current else None,
        "reason": _text(front.get("job.pauseReason")) if active else None,
        "warning": _text(front.get("job.warning")) if active else None,
        "error": error,
        "problem": bool(trouble or fault or front.get("printer.state") == "fault"),
        "trouble": trouble or (_text(fault.get("text")) if isinstance(fault, dict) else None),
        "message": _text((front.get("printer.message") or {}).get("text")),
    }


def _job(front: FrontState, wall: float) -> dict[str, Any]:
    file, progress, last = (front.get(f"job.{name}") or {} for name in ("file", "progress", "last"))
    active = front.get("job.active") is True
    left = progress.get("left") if active else None
    share, done = progress.get("timeShare"), progress.get("completion")
    percent = share * 100 if share is not None else done
    return {
        "file": _text(file.get("name")),
        "id": front.get("job.id"),
        "state": front.get("job.state"),
        "progress": math.floor(percent) if active and percent is not None else None,
        "elapsed": progress.get("time") if active else None,
        "left": left,
        "finish": _date(wall + left) if left is not None else None,
        "layer": progress.get("layer") if active else None,
        "layers": progress.get("layers") if active else None,
        "outcome": last.get("outcome"),
    }


def _temperatures(front: FrontState) -> dict[str, Any]:
    heaters = front.get("printer.heaters") or {}
    return {
        name: {"actual": _tenth(each.get("actual")), "target": _tenth(each.get("target"))}
        for name, each in [*heaters.items()][:MAX_HEATERS]
    }


def _link(front: FrontState) -> dict[str, Any]:
    sent, resends = front.get("link.sent") or 0, front.get("link.resends") or 0
    figures = front.get("link.figures") or {}
    return {
        "sent": sent,
        "resends": resends,
        "resend_percent": round(100 * resends / sent, 2) if sent else 0.0,
        "timeouts": front.get("link.timeouts") or 0,
        "answer_p99_ms": figures.get("p99"),
        "stall_ms": figures.get("stall"),
    }


def _host(front: FrontState, machine: Mapping[str, Any]) -> dict[str, Any]:
    power = front.get("server.power")
    disk, memory = machine.get("disk") or {}, machine.get("memory") or {}
    return {
        "version": front.get("server.version"),
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
