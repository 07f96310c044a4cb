"""Which boot of this machine this is."""

from collections.abc import Mapping
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id(environ: Mapping[str, str]) -> str:
    """Return what tells one boot of this machine from another.

    Raises:
        OSError: nobody knows.
    """
    # the unit says it, as it does not see the file (ProcSubset=pid)
    return environ.get("NOZZLED_BOOT_ID") or BOOT_ID.read_text().strip()
