"""The directories that systemd makes for the service."""

from collections.abc import Mapping
from pathlib import Path


def of_systemd(environ: Mapping[str, str], name: str) -> Path | None:
    """Return the first of the directories in $STATE_DIRECTORY or its like; None: there is none.

    systemd writes a colon between them and escapes none: an instance named by a port's ID_PATH has some of its own
    (`pci-0000:01:00.0-usb-0:1.2:1.0`). Directories are absolute, so only one with a slash behind it comes between two.
    """
    first = environ.get(name, "").split(":/")[0]
    return Path(first) if first else None
