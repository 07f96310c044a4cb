"""Opens a file of the command line as text, however it is packed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from daemon.errors import FileError
from daemon.packing.kinds import SNIFF, check_content, packed_kind, plain_name

MAX_UNPACKED = 4 * 1024 * 1024 * 1024  # bytes


@contextmanager
def temporary_folder(prefix: str = "nozzled-") -> Iterator[Path]:
    """Yield the path of a folder that is deleted afterwards.

    Raises:
        FileError: no folder can be made, for example because all folders for it are read-only or full.
    """
    try:
        folder = TemporaryDirectory(prefix=prefix)
    except OSError as error:
        reason = f"cannot make a temporary folder: {error.strerror}"
        raise FileError(f"{reason}; make room there, or name another folder by TMPDIR") from error
    with folder as path:
        yield Path(path)


@contextmanager
def open_unpacked(path: Path, plate: int | None = None) -> Iterator[Path]:
    """Yield the path of a file's text: the file itself, or an unpacked copy, which is deleted afterwards.

    Raises:
        FileError: it cannot be read or unpacked, or contains no G-code.
        NotPrintable: it is not text.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(SNIFF)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    if packed_kind(beginning) is None and plate is None:
        check_content(str(path), beginning)
        yield path
        return
    from daemon.packing.unpacking import unpack  # noqa: PLC0415 - few files need it

    with temporary_folder() as folder:
        text = folder / (Path(plain_name(path.name)).name or "unpacked.gcode")
        try:
            unpack(path, text, MAX_UNPACKED, plate)
        except FileError as error:
            raise type(error)(f"{path}: {error}") from error
        yield text
