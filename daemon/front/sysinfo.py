"""The values of sysinfo(2), since systemd hides /proc/meminfo from the service (ProcSubset=pid)."""

import ctypes

from gcode.frozen import frozen

_LOAD_SHIFT = 65536.0  # of the loads


class _SysInfo(ctypes.Structure):
    """`struct sysinfo`."""

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


@frozen
class SysInfo:
    """Uptime in s, load of the last minute, memory in bytes."""

    uptime: int
    load: float
    total: int
    free: int


def sysinfo() -> SysInfo | None:
    """Return the kernel's values; None if the call fails."""
    info = _SysInfo()
    if ctypes.CDLL(None).sysinfo(ctypes.byref(info)) != 0:
        return None
    unit = info.mem_unit or 1
    load = round(info.loads[0] / _LOAD_SHIFT, 2)
    return SysInfo(info.uptime, load, info.totalram * unit, (info.freeram + info.bufferram) * unit)
