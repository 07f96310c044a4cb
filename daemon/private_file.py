"""Writes files that only their owner may read, atomically."""

import os
from contextlib import suppress
from pathlib import Path

from daemon.move_new import move_new


def write_private(path: Path, text: str, *, replace: bool) -> None:
    """Write a file that only its owner may read; it appears at `path` once it is complete. Raises OSError.

    Args:
        path: of the file; folders above it are made.
        text: its content.
        replace: replace an existing file; if false, an existing file stays as it is.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            _give_to_owner_of(path.parent, file.fileno())
            os.fsync(file.fileno())
        if replace:
            temporary.rename(path)
            return
        with suppress(FileExistsError):  # the existing one may be in use
            move_new(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _give_to_owner_of(folder: Path, descriptor: int) -> None:
    """Give a file that root writes to the user of the service, who owns the folder."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
