"""Where toolpaths are kept: a folder of the state directory, each under the path of its file among the uploads."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import structlog

from daemon.front.analysis.findings import Summary
from daemon.set_aside import set_aside
from gcode.analysis.toolpath_format import HEADER, MAGIC, header_of

FOLDER = "toolpaths"  # in the state directory
_CONSEQUENCE = "toolpaths are made again when they are asked for"
_NEW = ".new"  # is being written; no upload begins with a dot

log = structlog.get_logger()


class Toolpaths:
    """The toolpaths of uploads. What is found in a file says by which id its toolpath is known."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = asyncio.Lock()  # what is put and what is dropped come one after the other

    @property
    def new(self) -> Path:
        """Where the next one is to be written."""
        return self._root / _NEW

    async def open(self, uploads: Path) -> None:
        """Make the folder, and drop what belongs to no upload any more."""
        await self._run(self._prepare, uploads)

    def _prepare(self, uploads: Path) -> None:
        if self._root.is_symlink() and not self._root.exists():
            set_aside(self._root, "it is a link that leads nowhere", _CONSEQUENCE)
        elif self._root.exists() and not self._root.is_dir():
            set_aside(self._root, "it is no folder", _CONSEQUENCE)
        self._root.mkdir(exist_ok=True)
        for folder, folders, names in os.walk(self._root, topdown=False):
            place = Path(folder)
            for name in names:
                upload = uploads / (place / name).relative_to(self._root)
                if not upload.is_file() and _is_ours(place / name):
                    (place / name).unlink()
            for name in folders:
                with suppress(OSError):  # it is not empty
                    (place / name).rmdir()

    async def keep(self, path: str, wanted: Callable[[], bool]) -> None:
        """Put the new one in its place, if it is still wanted."""
        async with self._lock:
            if wanted():
                await self._run(self._keep, path)

    def _keep(self, path: str) -> None:
        place = self._root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        self.new.replace(place)

    async def forget(self, under: str) -> None:
        """Drop the toolpath of a file, or of all in a folder."""
        async with self._lock:
            await self._run(self._forget, under)

    def _forget(self, under: str) -> None:
        place = self._root / under
        if place.is_dir():
            from shutil import rmtree  # noqa: PLC0415 - it brings compressors along, half a MB that is seldom wanted

            rmtree(place)
        else:
            place.unlink(missing_ok=True)

    def read(self, path: str, found: Summary) -> BinaryIO | None:
        """Return the toolpath of a file, opened; None: it is not the one that was found, or there is none. Blocks."""
        told = told_of(found)
        try:
            file = (self._root / path).open("rb", buffering=0)
        except OSError:
            return None
        header = header_of(file.read(HEADER))
        if told is None or header is None or header.id.hex() != told["id"]:
            file.close()
            return None
        file.seek(0)
        return file

    def used(self) -> int:
        """Return the bytes of all of them. Blocks."""
        return sum((Path(folder) / name).stat().st_size for folder, _, names in os.walk(self._root) for name in names)

    async def _run(self, work: Callable[..., None], *args: object) -> None:
        """Run in a thread; a toolpath that cannot be kept is made again when it is asked for."""
        try:
            await asyncio.to_thread(work, *args)
        except OSError as error:
            log.warning("toolpath.failed", reason=error.strerror, file=os.fspath(error.filename or ""))


def _is_ours(path: Path) -> bool:
    """Tell whether it is a toolpath: whoever has put a link in the folder's place loses nothing else."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def told_of(found: Summary | None) -> dict[str, Any] | None:
    """Return what an analysis tells of the toolpath, `id` and `bytes`; None: there is none."""
    return found.summary.get("toolpath") if found is not None else None
