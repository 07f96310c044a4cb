"""KeptFile: the file of the running job under a name of its own, so that the next host finds the very same one.

A hard link: whatever becomes of the upload, replaced or deleted, this is what was being printed.
"""

import os
from contextlib import suppress
from pathlib import Path

from daemon.core.job.selection import FileMark
from daemon.core.job.streamer import FileStream

NAME = "printing"


class KeptFile:
    """At most one file is kept. To be called where a disk may be waited for."""

    def __init__(self, uploads: Path, folder: Path) -> None:
        """Prepare.

        Args:
            uploads: the folder that paths are relative to.
            folder: for the link, on the same file system.
        """
        self.beneath: Path | None = uploads  # where the files of prints have to be
        self._uploads = uploads
        self._link = folder / NAME

    def keep(self, path: str, stream: FileStream) -> FileMark:
        """Keep the file that is open in `stream`; return by what it is known again."""
        self.drop()
        with suppress(OSError):  # no hard links here (FAT): then the upload itself has to do
            os.link(self._uploads / path, self._link)
        return FileMark(path, stream.size, stream.mtime_ns, stream.inode)

    def find(self, mark: FileMark) -> Path:
        """Return where the file is."""
        with suppress(OSError):
            if self._link.stat().st_ino == mark.inode:
                return self._link
        return self._uploads / mark.path

    def drop(self) -> None:
        """Keep it no longer."""
        with suppress(OSError):
            self._link.unlink()
