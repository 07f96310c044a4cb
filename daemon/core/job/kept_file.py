"""KeptFile: a hard link to the file of the running job, so that the next host finds the very same file.

The upload may be replaced or deleted during the print; the link still leads to the file that is being printed.
"""

import os
from contextlib import suppress
from pathlib import Path

from daemon.bridge.words import FileMark
from daemon.core.job.streamer import FileStream

NAME = "printing"


def has_kept_file(folder: Path) -> bool:
    """Tell whether the previous host left an unfinished print; False if the file system has no hard links."""
    with suppress(OSError):
        return (folder / NAME).exists()
    return False


class KeptFile:
    """Keeps at most one file. The methods block."""

    def __init__(self, uploads: Path, folder: Path) -> None:
        """Prepare.

        Args:
            uploads: the folder to which paths are relative.
            folder: the folder for the link, on the same file system.
        """
        self.root: Path | None = uploads  # the folder in which the files of prints have to be
        self._uploads = uploads
        self._link = folder / NAME

    def keep(self, path: str, stream: FileStream) -> FileMark:
        """Keep the file that is open in `stream`; return what identifies it."""
        self.drop()
        with suppress(OSError):  # no hard links (FAT): `find` falls back to the upload itself
            os.link(self._uploads / path, self._link)
        return FileMark(path, stream.size, stream.mtime_ns, stream.inode)

    def find(self, mark: FileMark) -> Path:
        """Return the path of the kept file, or of the upload if there is no link."""
        with suppress(OSError):
            if self._link.stat().st_ino == mark.inode:
                return self._link
        return self._uploads / mark.path

    def drop(self) -> None:
        """Remove the link."""
        with suppress(OSError):
            self._link.unlink()
