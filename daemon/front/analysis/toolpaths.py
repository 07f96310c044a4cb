"""Toolpaths: the stored toolpaths, in a folder of the state directory, each under the path of its upload."""

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
_CONSEQUENCE = "toolpaths are computed again when they are needed"
_NEW = ".new"  # the toolpath being written; no upload's name begins with a dot

log = structlog.get_logger()


class Toolpaths:
    """The toolpaths of uploads; a file's findings have the id of its toolpath."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = asyncio.Lock()  # `store` and `forget` must not overlap

    @property
    def new_path(self) -> Path:
        """Where the worker writes the next toolpath."""
        return self._root / _NEW

    async def open(self, uploads: Path) -> None:
        """Create the folder, and delete toolpaths of missing uploads."""
        await self._run(self._prepare, uploads)

    def _prepare(self, uploads: Path) -> None:
        if self._root.is_symlink() and not self._root.exists():
            set_aside(self._root, "it is a link that leads nowhere", _CONSEQUENCE)
        elif self._root.exists() and not self._root.is_dir():
            set_aside(self._root, "it is not a folder", _CONSEQUENCE)
        self._root.mkdir(exist_ok=True)
        for folder, folders, names in os.walk(self._root, topdown=False):
            parent = Path(folder)
            for name in names:
                upload = uploads / (parent / name).relative_to(self._root)
                if not upload.is_file() and _is_ours(parent / name):
                    (parent / name).unlink()
            for name in folders:
                with suppress(OSError):  # not empty
                    (parent / name).rmdir()

    async def store(self, path: str, is_current: Callable[[], bool]) -> None:
        """Move the new toolpath to the path of its upload, unless the upload has changed in the meantime."""
        async with self._lock:
            if is_current():
                await self._run(self._store, path)

    def _store(self, upload: str) -> None:
        path = self._root / upload
        path.parent.mkdir(parents=True, exist_ok=True)
        self.new_path.replace(path)

    async def forget(self, under: str) -> None:
        """Delete the toolpath of a file, or of all files in a folder."""
        async with self._lock:
            await self._run(self._forget, under)

    def _forget(self, under: str) -> None:
        path = self._root / under
        if path.is_dir():
            from shutil import rmtree  # noqa: PLC0415 - it imports compressors: half a MB, rarely needed

            rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def read(self, path: str, summary: Summary) -> BinaryIO | None:
        """Open the toolpath of a file; None: it is missing, or does not belong to these findings. Blocks."""
        info = toolpath_info(summary)
        try:
            file = (self._root / path).open("rb", buffering=0)
        except OSError:
            return None
        header = header_of(file.read(HEADER))
        if info is None or header is None or header.id.hex() != info["id"]:
            file.close()
            return None
        file.seek(0)
        return file

    def used_bytes(self) -> int:
        """Return the size of all toolpaths together. Blocks."""
        used = 0
        for folder, _, names in os.walk(self._root):
            for name in names:
                with suppress(OSError):  # moved or deleted in the meantime
                    used += (Path(folder) / name).stat().st_size
        return used

    async def _run(self, work: Callable[..., None], *args: object) -> None:
        """Run in a thread; errors are only logged: a lost toolpath is computed again."""
        try:
            await asyncio.to_thread(work, *args)
        except OSError as error:
            log.warning("toolpath.failed", reason=error.strerror, file=os.fspath(error.filename or ""))


def _is_ours(path: Path) -> bool:
    """Tell whether a file is a toolpath: the folder may be a link, and nothing else in it must be deleted."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def toolpath_info(summary: Summary | None) -> dict[str, Any] | None:
    """Return `id` and `bytes` of the toolpath; None: there is none."""
    return summary.summary.get("toolpath") if summary is not None else None
