"""Files of the service's own: for its owner's eyes only, and never half written."""

import os
from contextlib import suppress
from pathlib import Path


def write_private(path: Path, text: str, *, replace: bool) -> None:
    """Write a file for its owner's eyes only, which has its name only once it is complete; raises OSError.

    Args:
        path: its name; folders above it are made.
        text: what is in it.
        replace: take the place of a file that is there; without it, that one stays as it is.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            _leave_to_owner_of(path.parent, file.fileno())
            os.fsync(file.fileno())
        if replace:
            temporary.rename(path)
            return
        with suppress(FileExistsError):
            path.hardlink_to(temporary)  # a rename would replace the other's file, which may be in use already
    finally:
        temporary.unlink(missing_ok=True)


def _leave_to_owner_of(folder: Path, descriptor: int) -> None:
    """Let root make a file of a service that runs as another user."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
