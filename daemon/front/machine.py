"""The state of the machine that nozzled runs on. All functions block; values that the kernel does not have are None."""

import os
from pathlib import Path
from typing import Any

SYS = Path("/sys")

_THROTTLED = {0: "undervoltage", 1: "capped", 2: "throttled", 3: "hot"}
"""Bits of the Raspberry Pi's `get_throttled`; the same bits, 16 higher, say whether it has happened since boot."""


def describe(folder: Path, sys: Path = SYS) -> dict[str, Any]:
    """Return the machine's properties and state.

    Args:
        folder: on the disk whose free space is wanted.
        sys: the kernel's sysfs.
    """
    from daemon.front.sysinfo import sysinfo  # noqa: PLC0415 - loads ctypes, which open pages do not need

    system = sysinfo()
    disk = os.statvfs(folder)
    return {
        "model": _text(sys / "firmware/devicetree/base/model"),
        "uptime": system.uptime if system is not None else None,
        "load": system.load if system is not None else None,
        "processors": os.cpu_count(),
        "memory": {
            "total": system.total if system is not None else None,
            "free": _available() or (system.free if system is not None else None),
        },
        "disk": {"total": disk.f_blocks * disk.f_frsize, "free": disk.f_bavail * disk.f_frsize},
        "temperature": _temperature(sys),
        **power(sys),
    }


def power(sys: Path = SYS) -> dict[str, Any]:
    """Return what a Raspberry Pi reports of low voltage and heat, now and since boot."""
    try:
        bits = int(_text(sys / "devices/platform/soc/soc:firmware/get_throttled") or "", 16)
    except ValueError:
        return {"now": None, "since": None}
    return {
        "now": [name for bit, name in _THROTTLED.items() if bits >> bit & 1],
        "since": [name for bit, name in _THROTTLED.items() if bits >> (bit + 16) & 1],
    }


def _available(file: Path = Path("/proc/meminfo")) -> int | None:
    """Return the kernel's estimate of available memory in bytes; None if it is hidden."""
    for line in (_text(file) or "").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def _temperature(sys: Path) -> float | None:
    try:
        return int(_text(sys / "class/thermal/thermal_zone0/temp") or "") / 1000
    except ValueError:
        return None


def _text(file: Path) -> str | None:
    try:
        return file.read_text(errors="replace").strip(" \n\0")
    except OSError:
        return None
