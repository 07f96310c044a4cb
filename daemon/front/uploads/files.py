"""The folder of uploaded files: names checked, files written whole or not at all, every access in a thread.

What begins with a dot is not seen; files on their way in or out are in `.incoming`, on the same file system, so
that a rename makes them appear or vanish.
"""

import asyncio
import hashlib
import os
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TypeVar

from daemon.errors import BadFileName, FileError, FileExists, FileInUse, IsAFolder, NoSuchFile, NotAFolder
from daemon.front.uploads.filenames import MAX_DEPTH, check_path, check_printable, is_printable, translated
from daemon.front.uploads.hashes import NO_HASHES, HashBook, Hashes, NoHashes
from daemon.front.uploads.room import Room
from daemon.front.uploads.tree import TreeEntry, file_entry, folder_entry, signature
from daemon.front.uploads.unpacker import Unpack, in_process
from daemon.set_aside import set_aside

_INCOMING = ".incoming"
_BLOCK = 64 * 1024  # bytes written per hop to a thread; a hop costs some 60 µs
_UNPACKED_AT_ONCE = 1  # a process each, which takes a processor
_SYNC_EVERY = 16 * 1024 * 1024  # bytes: an SD card stalls everybody for long when it has more to catch up with

T = TypeVar("T")


class FileStore:
    """The folder of uploads. `open` it first; then all methods may be called at any time.

    All but `open` raise FileError: BadFileName for a path that is refused, NoSuchFile, …

    Attributes:
        busy: tells whether this file is being printed, or this folder holds such a file; called on the loop.
        unpack: makes the text of a packed upload.
        unpacking: so many at once.
        room: what all files together may have.
        beside: returns the bytes of what is kept elsewhere of these files; called in a thread.
        revision: grows when hashes have come to be known.
    """

    def __init__(
        self,
        root: Path,
        wall: Callable[[], float],
        hashes: HashBook | None = None,
        quota_mib: int = 0,
        *,
        busy: Callable[[str], bool] = lambda _path: False,
        beside: Callable[[], int] = lambda: 0,
    ) -> None:
        self.busy = busy
        self.beside = beside
        self.unpack: Unpack = in_process
        self.unpacking = asyncio.Semaphore(_UNPACKED_AT_ONCE)
        self.revision = 0
        self._root = root
        self.room = Room(quota_mib, self.used_space)
        self._wall = wall
        self._hashes = hashes or NoHashes()

    @property
    def root(self) -> Path:
        """The folder itself."""
        return self._root

    async def open(self) -> None:
        """Make the folder if need be, and remove what an earlier run left half done."""
        await self._run("", self._prepare)

    def _prepare(self) -> None:
        incoming = self._root / _INCOMING
        for folder in (self._root, incoming):
            # a link of the user's that leads nowhere may be to a disk that is away
            if not folder.is_dir() and (os.path.lexists(folder) if folder is incoming else folder.exists()):
                set_aside(folder, "it is no folder", "the folder is begun anew")
        incoming.mkdir(parents=True, exist_ok=True)
        for left in incoming.iterdir():
            _remove(left)

    def resolve(self, path: str) -> Path:
        """Return where this path is on disk, there or not; looks for symbolic links on the disk.

        Raises:
            BadFileName: the path is refused, or leads out of the folder over a symbolic link.
        """
        found = self._root.joinpath(*check_path(path))
        if not Path(os.path.realpath(found)).is_relative_to(os.path.realpath(self._root)):
            raise BadFileName(f"a symbolic link leads out of the folder of uploads: {path}")
        return found

    async def list(self, folder: str = "", *, recursive: bool = False) -> list[TreeEntry]:
        """Return what is in a folder, by name; with the whole tree below it if that is asked for."""
        entry = await self.info(folder, recursive=recursive)
        if entry.type != "folder":
            raise NotAFolder(f"{folder} is a file")
        return [*entry.children]

    async def info(self, path: str, *, recursive: bool = False) -> TreeEntry:
        """Return a file, or a folder with what is in it."""
        parts = check_path(path)
        known = await self._hashes.sha1s("/".join(parts))
        return await self._run(path, self._info, parts, known, MAX_DEPTH if recursive else 1)

    def _info(self, parts: tuple[str, ...], known: Hashes, levels: int) -> TreeEntry:
        path = "/".join(parts)
        found = self.resolve(path)
        if found.is_dir():
            return folder_entry(self._root, path, known, levels)
        if not is_printable(found.name) or not found.is_file():
            raise NoSuchFile(f"there is no G-code file {path}")
        return file_entry(found.stat(), path, known)

    async def tree(self, path: str, *, recursive: bool = False) -> tuple[TreeEntry, str]:
        """Return a file, or a folder with what is in it, without hashes, and what tells it from any other state."""
        parts = check_path(path)
        return await self._run(path, self._tree, parts, MAX_DEPTH if recursive else 1)

    def _tree(self, parts: tuple[str, ...], levels: int) -> tuple[TreeEntry, str]:
        entry = self._info(parts, NO_HASHES, levels)
        return entry, signature(entry)

    async def hashes(self, path: str) -> Hashes:
        """Return the known hashes of this file, or of all in this folder."""
        return await self._hashes.sha1s("/".join(check_path(path)))

    async def used_space(self) -> int:
        """Return the bytes of all uploads, and of what is kept of them elsewhere."""
        return (await self.info("", recursive=True)).size + await self._run("", self.beside)

    async def free_space(self) -> tuple[int, int]:
        """Return (free, total) bytes of the disk."""
        disk = await self._run("", os.statvfs, self._root)
        return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize

    @asynccontextmanager
    async def upload(self, path: str, *, overwrite: bool = True, name: str = "") -> AsyncIterator["Upload"]:
        """Take a file in; unless it is committed, nothing is left of it. Missing folders are made.

        While the path is only a stand-in, to be set in `Upload.path`, messages call the file by its `name`.

        Raises:
            FileError: also when the name is taken (FileExists), or its file is being printed (FileInUse).
        """
        upload = Upload(self, "/".join(check_path(path)), overwrite=overwrite, name=name)
        upload.check()
        try:
            await self._run(upload.name, upload.begin)
            yield upload
        finally:
            # shielded: a cancelled request must not leave the file behind
            await asyncio.shield(asyncio.to_thread(upload.discard))

    async def keep(self, upload: "Upload", date: float | None) -> TreeEntry:
        """Put a complete upload in its place; `Upload.commit` calls it."""
        upload.check()
        entry = await self._run(upload.path, upload.finish, self._wall(), date)
        await self._hashes.put_sha1(entry.path, entry.size, entry.mtime_ns, entry.sha1 or "")
        self.revision += 1
        return entry

    async def make_folder(self, path: str) -> TreeEntry:
        """Make a folder, and those above it; it may exist."""
        if not check_path(path):
            raise BadFileName("a folder needs a name")
        await self._run(path, lambda: self.resolve(path).mkdir(parents=True, exist_ok=True))
        return await self.info(path)

    async def delete(self, path: str) -> None:
        """Delete a file, or a folder with all that is in it."""
        path = self._free(path)
        await self._run(path, self._delete, path)
        await self._hashes.forget_sha1s(path)

    def _delete(self, path: str) -> None:
        found = self.resolve(path)
        if found.is_dir() and not found.is_symlink():
            # a folder vanishes at once, however long it takes to empty it
            found = found.rename(self._root / _INCOMING / secrets.token_hex(8))
            _remove(found)
        else:
            found.unlink()

    async def move(self, source: str, destination: str) -> TreeEntry:
        """Move a file or folder to a new path, or into a folder that exists."""
        source = self._free(source)
        target = await self._run(source, self._target, source, destination)
        await self._run(source, self._move, source, target)
        await self._carry_hashes(source, target)
        await self._hashes.forget_sha1s(source)
        return await self.info(target)

    def _move(self, source: str, target: str) -> None:
        self._make_room(target).parent.mkdir(parents=True, exist_ok=True)
        _place(self.resolve(source), self.resolve(target))

    async def copy(self, source: str, destination: str) -> TreeEntry:
        """Copy a file or folder to a new path, or into a folder that exists."""
        source = "/".join(check_path(source))
        target = await self._run(source, self._target, source, destination)
        found, _ = await self.tree(source, recursive=True)
        async with self.room.claim(target) as claim:
            claim.resize(found.size)
            await self._run(source, self._copy, source, target)
            claim.kept = True
        await self._carry_hashes(source, target)
        return await self.info(target)

    def _copy(self, source: str, target: str) -> None:
        found, final = self.resolve(source), self._make_room(target)
        with self._scratch() as scratch:
            if found.is_dir():
                from shutil import copytree  # noqa: PLC0415 - as in `_remove`

                copytree(found, scratch / "copy", symlinks=True, copy_function=_copy_file)
            else:
                _copy_file(found, scratch / "copy")
            final.parent.mkdir(parents=True, exist_ok=True)
            _place(scratch / "copy", final)

    def _target(self, source: str, destination: str) -> str:
        """Return where a copy or move ends: in a folder that exists the name is kept."""
        found = self.resolve(source)
        target = PurePosixPath(*check_path(destination))
        if self.resolve(destination).is_dir():
            target /= found.name
        if target.is_relative_to(source):
            raise BadFileName(f"{source} cannot be put into or onto itself")
        found.lstat()  # raises when there is nothing
        if not found.is_dir():
            check_printable(target.name)
        return "/".join(check_path(str(target)))

    def _make_room(self, target: str) -> Path:
        final = self.resolve(target)
        if _exists(final):
            raise FileExists(f"{target} exists")
        return final

    async def _carry_hashes(self, source: str, target: str) -> None:
        for (path, size, mtime_ns), sha1 in (await self._hashes.sha1s(source)).items():
            await self._hashes.put_sha1(target + path.removeprefix(source), size, mtime_ns, sha1)
        self.revision += 1

    def _free(self, path: str) -> str:
        """Return a path that may be deleted or moved, in its plain form."""
        plain = "/".join(check_path(path))
        if not plain:
            raise BadFileName("the folder of uploads itself stays where it is")
        if self.busy(plain):
            raise FileInUse(f"{plain} is being printed")
        return plain

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A folder on the same file system, gone afterwards."""
        scratch = self._root / _INCOMING / secrets.token_hex(8)
        scratch.mkdir(mode=0o700)
        try:
            yield scratch
        finally:
            _remove(scratch)

    async def _run(self, path: str, work: Callable[..., T], *args: object) -> T:
        """Run in a thread; what the system says against it becomes a FileError."""
        try:
            return await asyncio.to_thread(work, *args)
        except OSError as error:
            raise translated(error, path) from error


class Upload:
    """A file on its way in: `write` its bytes, then `commit`. Made by `FileStore.upload`."""

    def __init__(self, store: FileStore, path: str, *, overwrite: bool, name: str = "") -> None:
        self.path = path
        self.name = name or path
        self._store = store
        self._overwrite = overwrite
        self._waiting: list[bytes] = []  # less than a block of them
        self._size = 0
        self._written = 0
        self._unsynced = 0
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._lock = threading.Lock()  # a cancelled request discards while its last write is under way
        self._over = False
        self._temporary: Path | None = None
        self._file = -1

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes of the file.

        Raises:
            StorageFull: there is no room for them.
        """
        self._waiting.append(chunk)
        self._size += len(chunk)
        if self._size >= _BLOCK:
            await self._flush()

    async def _flush(self) -> None:
        block, self._waiting, self._size = b"".join(self._waiting), [], 0
        try:
            await asyncio.to_thread(self._write, block)
        except OSError as error:
            raise translated(error, self.name) from error

    @property
    def received(self) -> int:
        """Bytes taken so far."""
        return self._written + self._size

    @property
    def sha1(self) -> str:
        """Hash of the bytes taken so far."""
        sha1 = self._sha1.copy()
        sha1.update(b"".join(self._waiting))
        return sha1.hexdigest()

    async def unpack(self, limit: int, plate: int | None = None) -> int:
        """Put what the complete file holds in its place: binary G-code, gzip, 3MF or UTF-16 becomes a text.

        Returns how many bytes that has.

        Args:
            limit: bytes that it may have.
            plate: of a 3MF.

        Raises:
            FileError: it is damaged, holds no G-code, or too much.
        """
        await self._flush()
        packed = self._temporary
        if packed is None:
            raise FileError(f"the upload of {self.name} is over")
        text = packed.with_name(f"{packed.name}.text")
        try:
            async with self._store.unpacking:
                await self._store.unpack(packed, text, limit, plate)
            return await asyncio.to_thread(self._replace, text)
        except FileError as error:
            raise type(error)(f"{self.name}: {error}") from error
        except OSError as error:
            raise translated(error, self.name) from error
        finally:
            await asyncio.shield(asyncio.to_thread(text.unlink, missing_ok=True))

    async def commit(self, date: float | None = None) -> TreeEntry:
        """Put the file in its place when all of it is safe on disk, and return it with its hash.

        Args:
            date: of its last change, in s; counts for a file that is new and lies in the past.
        """
        await self._flush()
        return await self._store.keep(self, date)

    def check(self) -> None:
        """Raise when this path cannot be written: by its name, or because it is being printed."""
        if not self.path:
            raise BadFileName("a file needs a name")
        check_printable(self.path)
        if self._store.busy(self.path):
            raise FileInUse(f"{self.path} is being printed")

    # From here on: in a thread, one at a time.

    def begin(self) -> None:
        """Refuse early what would be refused at the end, and make the temporary file."""
        with self._lock:
            final = self._store.resolve(self.path)
            if final.is_dir():
                raise IsAFolder(f"{self.path} is a folder")
            if _exists(final) and not self._overwrite:
                raise FileExists(f"{self.path} exists")
            if not self._over:
                self._temporary = self._store.root / _INCOMING / secrets.token_hex(8)
                self._file = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def _write(self, block: bytes) -> None:
        with self._lock:
            if self._over:
                return
            self._sha1.update(block)
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            self._written += len(block)
            self._unsynced += len(block)
            if self._unsynced >= _SYNC_EVERY:
                os.fdatasync(self._file)
                self._unsynced = 0

    def _replace(self, text: Path) -> int:
        """Take another file for the one that has come; return its bytes."""
        descriptor = os.open(text, os.O_RDWR | os.O_CLOEXEC)
        with self._lock:
            if self._over or self._temporary is None:
                os.close(descriptor)
                return 0
            os.close(self._file)
            self._file = descriptor
            text.rename(self._temporary)
            self._sha1 = hashlib.sha1(usedforsecurity=False)
            while block := os.read(descriptor, _BLOCK):
                self._sha1.update(block)
            return os.fstat(descriptor).st_size

    def finish(self, now: float, date: float | None) -> TreeEntry:
        """Make the file safe on disk, with this date, and put it in its place."""
        with self._lock:
            if self._over or self._temporary is None:
                raise FileError(f"the upload of {self.path} is over")
            final = self._store.resolve(self.path)
            final.parent.mkdir(parents=True, exist_ok=True)
            # a file that takes another's place never has its date: by date and size others tell it from that one
            date = now if date is None or _exists(final) else min(date, now)
            os.utime(self._file, (date, date))
            os.fsync(self._file)
            _place(self._temporary, final, overwrite=self._overwrite)
            known = os.fstat(self._file)
            return file_entry(known, self.path, {(self.path, known.st_size, known.st_mtime_ns): self._sha1.hexdigest()})

    def discard(self) -> None:
        """Close the temporary file, and delete it unless it has been put in its place; idempotent."""
        with self._lock:
            if not self._over and self._temporary is not None:
                os.close(self._file)
                self._temporary.unlink(missing_ok=True)
            self._over = True


def _place(source: Path, final: Path, *, overwrite: bool = False) -> None:
    """Give a file or folder its final name, in one step, and make that survive a power cut."""
    if overwrite or source.is_dir():
        source.rename(final)
    else:
        final.hardlink_to(source)  # rename would replace what somebody else has just put there
        source.unlink()
    _sync(final.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exists(path: Path) -> bool:
    """Tell whether anything is there, a broken link too; raises when a file stands where a folder should."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _remove(found: Path) -> None:
    """Remove a file or a folder with all in it, as far as that can be done."""
    with suppress(OSError):
        if found.is_symlink() or not found.is_dir():
            found.unlink()
            return
    from shutil import rmtree  # noqa: PLC0415 - it brings compressors along, half a MB that is seldom wanted

    rmtree(found, ignore_errors=True)


def _copy_file(source: str | Path, target: str | Path) -> None:
    """Copy with its date; FileError instead of OSError, which copytree would collect and go on."""
    try:
        from shutil import copy2  # noqa: PLC0415 - as in `_remove`

        copy2(source, target)
        _sync(Path(target))
    except OSError as error:
        raise translated(error, Path(source).name) from error
