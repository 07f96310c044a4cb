"""The directories that systemd creates for the service."""

from collections.abc import Mapping
from pathlib import Path


def of_systemd(environ: Mapping[str, str], name: str) -> Path | None:
    """Return the first directory in $STATE_DIRECTORY or a similar variable; None: there is none.

    systemd separates them by unescaped colons, and an instance named by a port's ID_PATH contains colons itself
    (`pci-0000:01:00.0-usb-0:1.2:1.0`). As the paths are absolute, a separator is a colon before a slash.
    """
    first = environ.get(name, "").split(":/")[0]
    return Path(first) if first else None
