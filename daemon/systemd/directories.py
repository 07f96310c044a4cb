"""The directories that systemd creates for the service."""

from collections.abc import Mapping
from pathlib import Path


def of_systemd(environ: Mapping[str, str], name: str) -> Path | None:
    """Return the first directory in $STATE_DIRECTORY or a similar variable; None: there is none.

    systemd separates the directories by unescaped colons, and the name of an instance may contain colons too, if it is
    the ID_PATH of a port (`pci-0000:01:00.0-usb-0:1.2:1.0`). The paths are absolute, so a separator is a colon before a
    slash.
    """
    first = environ.get(name, "").split(":/")[0]
    return Path(first) if first else None
