"""The id of this boot of the machine."""

from collections.abc import Mapping
from pathlib import Path

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


def boot_id(environ: Mapping[str, str]) -> str:
    """Return the id of this boot.

    Raises:
        OSError: the kernel does not give it.
    """
    # the unit sets the variable, because the service cannot see the file (ProcSubset=pid)
    return environ.get("NOZZLED_BOOT_ID") or BOOT_ID_FILE.read_text().strip()
