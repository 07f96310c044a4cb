"""What sysinfo(2) tells: /proc/meminfo is hidden from a service (ProcSubset=pid)."""

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
    """Return what the kernel tells; None: nothing."""
    known = _SysInfo()
    if ctypes.CDLL(None).sysinfo(ctypes.byref(known)) != 0:
        return None
    unit = known.mem_unit or 1
    load = round(known.loads[0] / _LOAD_SHIFT, 2)
    return SysInfo(known.uptime, load, known.totalram * unit, (known.freeram + known.bufferram) * unit)
