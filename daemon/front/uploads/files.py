"""FileStore: the folder of uploaded files. Files are written completely or not at all, and accessed only in threads.

Names that begin with a dot are hidden. Unfinished and deleted files are in `.incoming`: it is on the same file system,
so that a rename makes a file appear or vanish at once.
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
from daemon.front.uploads.filenames import MAX_DEPTH, check_path, check_printable, file_error, is_printable
from daemon.front.uploads.hashes import NO_HASHES, HashBook, Hashes, NoHashes
from daemon.front.uploads.room import Room
from daemon.front.uploads.tree import TreeEntry, file_entry, folder_entry, signature
from daemon.front.uploads.unpacker import Unpack, unpack_in_child
from daemon.move_new import move_new
from daemon.set_aside import set_aside

_INCOMING = ".incoming"
_BLOCK = 64 * 1024  # bytes written per call in a thread; a call costs some 60 µs
_MAX_UNPACKING = 1  # processes at once; each takes a whole processor
_SYNC_EVERY = 16 * 1024 * 1024  # bytes; writing back more at once would stall an SD card for too long

T = TypeVar("T")


class FileStore:
    """The folder of uploads. Call `open` first; then all methods may be called at any time.

    All methods raise FileError: BadFileName for a path that is refused, NoSuchFile, …

    Attributes:
        is_busy: tells whether a file, or a file in a folder, is being printed; called on the loop.
        unpack: unpacks a packed upload.
        unpacking: limits the number of unpacking processes.
        room: the quota.
        extra_space: returns the bytes of data stored elsewhere for these files; called in a thread.
        revision: increases when hashes are added.
    """

    def __init__(
        self,
        root: Path,
        wall: Callable[[], float],
        hashes: HashBook | None = None,
        quota_mib: int = 0,
        *,
        is_busy: Callable[[str], bool] = lambda _path: False,
        extra_space: Callable[[], int] = lambda: 0,
    ) -> None:
        self.is_busy = is_busy
        self.extra_space = extra_space
        self.unpack: Unpack = unpack_in_child
        self.unpacking = asyncio.Semaphore(_MAX_UNPACKING)
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
        """Create the folder if it is missing, and remove unfinished files of an earlier run."""
        await self._run("", self._prepare)

    def _prepare(self) -> None:
        incoming = self._root / _INCOMING
        for folder in (self._root, incoming):
            if folder.is_dir():
                continue
            # a broken link stays if it replaces the folder itself: it may lead to a disk that is not mounted
            exists = os.path.lexists if folder is incoming else os.path.exists
            if exists(folder):
                set_aside(folder, "it is not a folder", "the folder starts empty")
        incoming.mkdir(parents=True, exist_ok=True)
        for leftover in incoming.iterdir():
            _remove(leftover)

    def new_unfinished_path(self) -> Path:
        """Return a new path in the folder of unfinished files, which is made again if a user has deleted it. Blocks."""
        incoming = self._root / _INCOMING
        incoming.mkdir(exist_ok=True)
        return incoming / secrets.token_hex(8)

    def resolve(self, path: str) -> Path:
        """Return the path on the disk, which need not exist. Blocks, to look up symbolic links.

        Raises:
            BadFileName: the path is not allowed, or leads out of the folder through a symbolic link.
        """
        resolved = self._root.joinpath(*check_path(path))
        if not Path(os.path.realpath(resolved)).is_relative_to(os.path.realpath(self._root)):
            raise BadFileName(f"a symbolic link leads out of the folder of uploads: {path}")
        return resolved

    async def list(self, folder: str = "", *, recursive: bool = False) -> list[TreeEntry]:
        """Return the entries of a folder, sorted by name, optionally with the whole tree below them."""
        entry = await self.info(folder, recursive=recursive)
        if entry.type != "folder":
            raise NotAFolder(f"{folder} is a file")
        return [*entry.children]

    async def info(self, path: str, *, recursive: bool = False) -> TreeEntry:
        """Return a file, or a folder with its entries."""
        parts = check_path(path)
        hashes = await self._hashes.sha1s("/".join(parts))
        return await self._run(path, self._info, parts, hashes, MAX_DEPTH if recursive else 1)

    def _info(self, parts: tuple[str, ...], hashes: Hashes, levels: int) -> TreeEntry:
        path = "/".join(parts)
        resolved = self.resolve(path)
        if resolved.is_dir():
            return folder_entry(self._root, path, hashes, levels)
        if not is_printable(resolved.name) or not resolved.is_file():
            raise NoSuchFile(f"there is no G-code file {path}")
        return file_entry(resolved.stat(), path, hashes)

    async def tree(self, path: str, *, recursive: bool = False) -> tuple[TreeEntry, str]:
        """Return a file, or a folder with its entries, without hashes, and its `signature`."""
        parts = check_path(path)
        return await self._run(path, self._tree, parts, MAX_DEPTH if recursive else 1)

    def _tree(self, parts: tuple[str, ...], levels: int) -> tuple[TreeEntry, str]:
        entry = self._info(parts, NO_HASHES, levels)
        return entry, signature(entry)

    async def hashes(self, path: str) -> Hashes:
        """Return the known hashes of this file, or of all files in this folder."""
        return await self._hashes.sha1s("/".join(check_path(path)))

    async def used_space(self) -> int:
        """Return the bytes of all uploads, and of the data stored elsewhere for them."""
        return (await self.info("", recursive=True)).size + await self._run("", self.extra_space)

    async def free_space(self) -> tuple[int, int]:
        """Return (free, total) bytes of the disk."""
        disk = await self._run("", os.statvfs, self._root)
        return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize

    @asynccontextmanager
    async def upload(self, path: str, *, overwrite: bool = True, name: str = "") -> AsyncIterator["Upload"]:
        """Begin an upload; it is removed unless it is committed. Missing folders are created.

        If the path is provisional, and will be set later in `Upload.path`, messages use `name`.

        Raises:
            FileExists: the name is taken, and `overwrite` is False.
            FileInUse: the file is being printed.
            FileError: any other error.
        """
        upload = Upload(self, "/".join(check_path(path)), overwrite=overwrite, name=name)
        upload.check()
        try:
            await self._run(upload.name, upload.begin)
            yield upload
        finally:
            # shielded: a cancelled request must not leave the file behind
            await asyncio.shield(asyncio.to_thread(upload.discard))

    async def store(self, upload: "Upload", date: float | None) -> TreeEntry:
        """Move a complete upload to its path; called by `Upload.commit`."""
        upload.check()
        entry = await self._run(upload.path, upload.finish, self._wall(), date)
        await self._hashes.put_sha1(entry.path, entry.size, entry.mtime_ns, entry.sha1 or "")
        self.revision += 1
        return entry

    async def make_folder(self, path: str) -> TreeEntry:
        """Create a folder and its parents; it may exist already."""
        if not check_path(path):
            raise BadFileName("a folder needs a name")
        await self._run(path, lambda: self.resolve(path).mkdir(parents=True, exist_ok=True))
        return await self.info(path)

    async def delete(self, path: str) -> None:
        """Delete a file, or a folder with all its entries."""
        path = self._require_free(path)
        await self._run(path, self._delete, path)
        await self._hashes.forget_sha1s(path)

    def _delete(self, path: str) -> None:
        resolved = self.resolve(path)
        if resolved.is_dir() and not resolved.is_symlink():
            # so that the folder vanishes at once, however long deleting its files takes
            _remove(resolved.rename(self.new_unfinished_path()))
        else:
            resolved.unlink()

    async def move(self, source: str, destination: str) -> TreeEntry:
        """Move a file or folder to a new path, or into a folder that exists."""
        source = self._require_free(source)
        target = await self._run(source, self._target, source, destination)
        await self._run(source, self._move, source, target)
        await self._carry_hashes(source, target)
        await self._hashes.forget_sha1s(source)
        return await self.info(target)

    def _move(self, source: str, target: str) -> None:
        self._require_new(target).parent.mkdir(parents=True, exist_ok=True)
        _place(self.resolve(source), self.resolve(target))

    async def copy(self, source: str, destination: str) -> TreeEntry:
        """Copy a file or folder to a new path, or into a folder that exists."""
        source = "/".join(check_path(source))
        target = await self._run(source, self._target, source, destination)
        entry, _ = await self.tree(source, recursive=True)
        async with self.room.claim(target) as claim:
            claim.resize(entry.size)
            await self._run(source, self._copy, source, target)
            claim.is_stored = True
        await self._carry_hashes(source, target)
        return await self.info(target)

    def _copy(self, source: str, target: str) -> None:
        original, final = self.resolve(source), self._require_new(target)
        with self._scratch() as scratch:
            if original.is_dir():
                from shutil import copytree  # noqa: PLC0415 - as in `_remove`

                copytree(original, scratch / "copy", symlinks=True, copy_function=_copy_file)
            else:
                _copy_file(original, scratch / "copy")
            final.parent.mkdir(parents=True, exist_ok=True)
            _place(scratch / "copy", final)

    def _target(self, source: str, destination: str) -> str:
        """Return the target of a copy or move; in a folder that exists, the file or folder keeps its name."""
        original = self.resolve(source)
        target = PurePosixPath(*check_path(destination))
        if self.resolve(destination).is_dir():
            target /= original.name
        if target.is_relative_to(source):
            raise BadFileName(f"{source} cannot be moved or copied into itself")
        original.lstat()  # raises if it does not exist
        if not original.is_dir():
            check_printable(target.name)
        return "/".join(check_path(str(target)))

    def _require_new(self, target: str) -> Path:
        """Return the path on the disk of a file or folder that does not exist yet."""
        final = self.resolve(target)
        if _exists(final):
            raise FileExists(f"{target} exists")
        return final

    async def _carry_hashes(self, source: str, target: str) -> None:
        for (path, size, mtime_ns), sha1 in (await self._hashes.sha1s(source)).items():
            await self._hashes.put_sha1(target + path.removeprefix(source), size, mtime_ns, sha1)
        self.revision += 1

    def _require_free(self, path: str) -> str:
        """Return the normalised path, if it may be deleted or moved."""
        plain = "/".join(check_path(path))
        if not plain:
            raise BadFileName("the folder of uploads itself cannot be moved or deleted")
        if self.is_busy(plain):
            raise FileInUse(f"{plain} is being printed")
        return plain

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """Yield a temporary folder on the same file system."""
        scratch = self.new_unfinished_path()
        scratch.mkdir(mode=0o700)
        try:
            yield scratch
        finally:
            _remove(scratch)

    async def _run(self, path: str, work: Callable[..., T], *args: object) -> T:
        """Run a function in a thread; its OSError becomes a FileError."""
        try:
            return await asyncio.to_thread(work, *args)
        except OSError as error:
            raise file_error(error, path) from error


class Upload:
    """An upload: `write` its bytes, then `commit`. Created by `FileStore.upload`.

    Attributes:
        path: where the file will be.
        name: for messages.
        overwrites: replaces a file of this path; False: the upload fails if there is one.
    """

    def __init__(self, store: FileStore, path: str, *, overwrite: bool, name: str = "") -> None:
        self.path = path
        self.name = name or path
        self._store = store
        self.overwrites = overwrite
        self._pending: list[bytes] = []  # chunks of less than a block together
        self._pending_size = 0
        self._written = 0
        self._unsynced = 0
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._lock = threading.Lock()  # a cancelled request calls `discard` while its last write still runs
        self._is_closed = False
        self._temporary: Path | None = None
        self._file = -1

    async def write(self, chunk: bytes) -> None:
        """Write the next bytes of the file.

        Raises:
            StorageFull: the disk is full.
        """
        self._pending.append(chunk)
        self._pending_size += len(chunk)
        if self._pending_size >= _BLOCK:
            await self._flush()

    async def _flush(self) -> None:
        block, self._pending, self._pending_size = b"".join(self._pending), [], 0
        try:
            await asyncio.to_thread(self._write, block)
        except OSError as error:
            raise file_error(error, self.name) from error

    @property
    def received_bytes(self) -> int:
        """Number of bytes received so far."""
        return self._written + self._pending_size

    @property
    def sha1(self) -> str:
        """Hash of the bytes received so far."""
        sha1 = self._sha1.copy()
        sha1.update(b"".join(self._pending))
        return sha1.hexdigest()

    async def unpack(self, limit: int, plate: int | None = None) -> int:
        """Replace the complete file, which may be binary G-code, gzip, 3MF or UTF-16, with the text in it.

        Returns the size of the text in bytes.

        Args:
            limit: the largest size of the text, in bytes.
            plate: the plate of a 3MF to unpack.

        Raises:
            FileError: the file is damaged, or has no G-code or too much of it.
        """
        await self._flush()
        packed = self._temporary
        if packed is None:
            raise FileError(f"the upload of {self.name} has ended")
        text = packed.with_name(f"{packed.name}.text")
        try:
            async with self._store.unpacking:
                await self._store.unpack(packed, text, limit, plate)
            return await asyncio.to_thread(self._replace, text)
        except FileError as error:
            raise type(error)(f"{self.name}: {error}") from error
        except OSError as error:
            raise file_error(error, self.name) from error
        finally:
            await asyncio.shield(asyncio.to_thread(text.unlink, missing_ok=True))

    async def commit(self, date: float | None = None) -> TreeEntry:
        """Move the file to its path once it is safely on the disk, and return it with its hash.

        Args:
            date: Unix time of the last change, in s; ignored if it is in the future, or if a file is replaced.
        """
        await self._flush()
        return await self._store.store(self, date)

    def check(self) -> None:
        """Raise an error if this path must not be written: for its name, or because it is being printed."""
        if not self.path:
            raise BadFileName("a file needs a name")
        check_printable(self.path)
        if self._store.is_busy(self.path):
            raise FileInUse(f"{self.path} is being printed")

    # All methods below are called in threads, one at a time.

    def begin(self) -> None:
        """Create the temporary file; refuse early what `finish` would refuse."""
        with self._lock:
            final = self._store.resolve(self.path)
            if final.is_dir():
                raise IsAFolder(f"{self.path} is a folder")
            if _exists(final) and not self.overwrites:
                raise FileExists(f"{self.path} exists")
            if not self._is_closed:
                temporary = self._store.new_unfinished_path()
                self._file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                self._temporary = temporary  # `discard` removes it

    def _write(self, block: bytes) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._sha1.update(block)
            remaining = memoryview(block)
            while remaining:
                remaining = remaining[os.write(self._file, remaining) :]
            self._written += len(block)
            self._unsynced += len(block)
            if self._unsynced >= _SYNC_EVERY:
                os.fdatasync(self._file)
                self._unsynced = 0

    def _replace(self, text: Path) -> int:
        """Replace the received file with another one; return its size in bytes."""
        descriptor = os.open(text, os.O_RDWR | os.O_CLOEXEC)
        with self._lock:
            if self._is_closed or self._temporary is None:
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
        """Write the file safely to the disk, set its date, and move it to its path."""
        with self._lock:
            if self._is_closed or self._temporary is None:
                raise FileError(f"the upload of {self.path} has ended")
            final = self._store.resolve(self.path)
            final.parent.mkdir(parents=True, exist_ok=True)
            is_taken = _exists(final)
            if is_taken and not self.overwrites:
                raise FileExists(f"{self.path} exists")
            # never the date of a file that it replaces: analyses and prints recognise files by date and size
            date = now if date is None or is_taken else min(date, now)
            os.utime(self._file, (date, date))
            os.fsync(self._file)
            _place(self._temporary, final, overwrite=self.overwrites)
            status = os.fstat(self._file)
            key = (self.path, status.st_size, status.st_mtime_ns)
            return file_entry(status, self.path, {key: self._sha1.hexdigest()})

    def discard(self) -> None:
        """Close the temporary file, and delete it unless it has been moved; idempotent."""
        with self._lock:
            if not self._is_closed and self._temporary is not None:
                os.close(self._file)
                self._temporary.unlink(missing_ok=True)
            self._is_closed = True


def _place(source: Path, final: Path, *, overwrite: bool = False) -> None:
    """Move a file or folder to its final path, atomically; the move survives a power cut."""
    if overwrite or source.is_dir():
        source.rename(final)
    else:
        move_new(source, final)
    _sync(final.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exists(path: Path) -> bool:
    """Tell whether a path exists, even as a broken link; raises NotADirectoryError if a parent is a file."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _remove(path: Path) -> None:
    """Remove a file or folder, as far as possible."""
    with suppress(OSError):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return
    from shutil import rmtree  # noqa: PLC0415 - it imports compressors: half a MB, rarely needed

    rmtree(path, ignore_errors=True)


def _copy_file(source: str | Path, target: str | Path) -> None:
    """Copy a file with its date. Raises FileError: copytree would collect OSErrors and continue."""
    try:
        from shutil import copy2  # noqa: PLC0415 - as in `_remove`

        copy2(source, target)
        _sync(Path(target))
    except OSError as error:
        raise file_error(error, Path(source).name) from error
