"""The machine that nozzled runs on, for people to see. All of it blocks; what the kernel does not tell is None."""

import ctypes
import os
from pathlib import Path
from typing import Any

SYS = Path("/sys")
_LOAD_SHIFT = 65536.0  # of the loads that sysinfo(2) tells

_THROTTLED = {0: "undervoltage", 1: "capped", 2: "throttled", 3: "hot"}
"""Bits of what the firmware of a Raspberry Pi says; the same ones 16 higher are for what was so since it booted."""


class _SysInfo(ctypes.Structure):
    """`struct sysinfo`; /proc/meminfo is hidden from a service (ProcSubset=pid)."""

    _fields_ = (
        ("uptime", ctypes.c_long),
        ("loads", ctypes.c_ulong * 3),
        ("totalram", ctypes.c_ulong),
        ("freeram", ctypes.c_ulong),
        ("sharedram", ctypes.c_ulong),
        ("bufferram", ctypes.c_ulong),
        ("totalswap", ctypes.c_ulong),
        ("freeswap", ctypes.c_ulong),
        ("procs", ctypes.c_ushort),
        ("pad", ctypes.c_ushort),
        ("totalhigh", ctypes.c_ulong),
        ("freehigh", ctypes.c_ulong),
        ("mem_unit", ctypes.c_uint),
        ("rest", ctypes.c_char * 64),
    )


def describe(folder: Path, sys: Path = SYS) -> dict[str, Any]:
    """Return what the machine is and how it does.

    Args:
        folder: on the disk whose room is told.
        sys: where the kernel tells about hardware.
    """
    known = _SysInfo()
    told = ctypes.CDLL(None).sysinfo(ctypes.byref(known)) == 0
    unit = known.mem_unit or 1
    disk = os.statvfs(folder)
    return {
        "model": _text(sys / "firmware/devicetree/base/model"),
        "uptime": known.uptime if told else None,
        "load": round(known.loads[0] / _LOAD_SHIFT, 2) if told else None,
        "processors": os.cpu_count(),
        "memory": {
            "total": known.totalram * unit if told else None,
            "free": _available() or ((known.freeram + known.bufferram) * unit if told else None),
        },
        "disk": {"total": disk.f_blocks * disk.f_frsize, "free": disk.f_bavail * disk.f_frsize},
        "temperature": _temperature(sys),
        **power(sys),
    }


def power(sys: Path = SYS) -> dict[str, Any]:
    """Return what a Raspberry Pi says of its power: what is so now, and what was so since it booted."""
    try:
        bits = int(_text(sys / "devices/platform/soc/soc:firmware/get_throttled") or "", 16)
    except ValueError:
        return {"now": None, "since": None}
    return {
        "now": [name for bit, name in _THROTTLED.items() if bits >> bit & 1],
        "since": [name for bit, name in _THROTTLED.items() if bits >> (bit + 16) & 1],
    }


def _available(file: Path = Path("/proc/meminfo")) -> int | None:
    """Return what programs could still have; the kernel's own estimate, where it is to be seen."""
    for line in (_text(file) or "").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
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
