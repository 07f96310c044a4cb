"""Reads another host's folders, with limits. Links are not followed; files that cannot be read are reported."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from daemon.errors import FileError

MAX_BYTES = 64 * 1024 * 1024  # of a settings file
MAX_REPORTED = 30  # folders that are listed by name
MAX_ENTRIES = 100_000  # files and folders of one tree


class Walk:
    """A walk through all files below a folder; links to other folders are not followed.

    Attributes:
        folders: the visited folders, as paths below the root.
        trouble: what was not visited, and why, in words.
    """

    def __init__(self, root: Path, name: str) -> None:
        """Prepare; `name` is the folder's name in messages."""
        self.folders: list[str] = []
        self.trouble: list[str] = []
        self._root = root
        self._name = name

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield the folder below the root, "" for the root itself, and the name of each file."""
        allowance = MAX_ENTRIES
        for folder, folders, files in os.walk(self._root, onerror=self._report_unreadable):
            below = self._below(folder)
            if below:
                self.folders.append(below)
            folders[:] = sorted(
                each for each in folders if not each.startswith(".") and not self._is_link(folder, each)
            )
            allowance -= len(folders) + len(files)
            if allowance < 0:
                self.trouble.append(f"everything after the first {MAX_ENTRIES} files and folders of {self._name}")
                return
            for name in sorted(each for each in files if not each.startswith(".")):
                yield below, name

    def _below(self, folder: str) -> str:
        below = os.path.relpath(folder, self._root)
        return "" if below == "." else below

    def _is_link(self, folder: str, name: str) -> bool:
        path = os.path.join(folder, name)  # noqa: PTH118 - once for each folder of a tree
        if not os.path.islink(path):  # noqa: PTH114 - as above
            return False
        self._report(f"the folder {self._printable(path)}, which is a link to another folder")
        return True

    def _report(self, trouble: str) -> None:
        if len(self.trouble) < MAX_REPORTED:
            self.trouble.append(trouble)
        elif len(self.trouble) == MAX_REPORTED:
            self.trouble.append(f"further folders of {self._name}, for reasons like these")

    def _report_unreadable(self, error: OSError) -> None:
        if error.filename is not None and not (isinstance(error, FileNotFoundError) and self._is_root(error.filename)):
            self._report(f"the folder {self._printable(error.filename)}: {error.strerror}; try with sudo")

    def _is_root(self, path: str) -> bool:
        return Path(path) == self._root

    def _printable(self, path: str) -> str:
        return self._name if self._is_root(path) else printable_name(self._below(path))


def read_settings_file(path: Path) -> bytes | None:
    """Return the contents of a settings file; None if it does not exist.

    Raises:
        FileError: it cannot be read, is not a regular file, or is far too large.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # reading a pipe would block
                raise FileError(f"{path} is not a regular file")
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}; try with sudo") from error
    if len(data) > MAX_BYTES:
        raise FileError(f"{path} is larger than {MAX_BYTES // 1024 // 1024} MiB")
    return data


def is_text(name: str) -> bool:
    """Tell whether a name is UTF-8; names from old cards and archives may not be."""
    return not any("\ud800" <= char <= "\udfff" for char in name)


def printable_name(name: str) -> str:
    """Return a name in a form that can be shown."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def contains(folder: Path, inner: Path) -> bool:
    """Tell whether `inner` is `folder` or below it, with all links resolved."""
    return Path(os.path.realpath(inner)).is_relative_to(os.path.realpath(folder))
