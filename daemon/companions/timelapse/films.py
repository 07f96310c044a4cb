"""The files of recordings and films. Everything here blocks, so it runs in a thread.

Each print has a folder with `000001.jpg` and so on, and `print.json`, which identifies the print. A recording outlives
this process, and continues in its folder if its print continues.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog

from daemon.companions.timelapse.config import TimelapseConfig
from gcode.frozen import mutable

DESCRIPTION_FILE = "print.json"
EXTENSIONS = (".mp4", ".mkv", ".m4v", ".mpg", ".mpeg")
THUMBNAIL = ".thumb.jpg"
PART = ".part"
MIB = 1024 * 1024
DAY = 24 * 3600.0
MAX_LISTED = 100  # recordings
MAX_STEM, MAX_STEM_BYTES = 80, 200  # characters, and bytes, of the print's name in the name of its folder

_UNSAFE = re.compile(r"[^\w.+ -]+")

log = structlog.get_logger()


class NoRoom(Exception):
    """A picture is not kept; the text says which limit is reached."""


@mutable
class Recording:
    """The pictures of one print.

    Attributes:
        name: of the folder.
        job: id of the print.
        key: its idempotency key.
        file: its path among the uploads.
        began: Unix time in s.
        outcome: how the print ended; empty: it is under way.
        wanted: a film will be made of it.
        failed: why making the film failed.
        frames: number of pictures.
        bytes: size of the pictures.
    """

    name: str
    job: int
    file: str
    key: str | None = None
    began: float = 0.0
    fps: int = 25
    post_roll: int = 0
    outcome: str = ""
    wanted: bool = False
    failed: str = ""
    frames: int = field(default=0, metadata={"kept": False})
    bytes: int = field(default=0, metadata={"kept": False})


class Films:
    """The folders `frames` and `movies`."""

    def __init__(self, folder: Path, config: TimelapseConfig) -> None:
        self.frames_folder = folder / "frames"
        self.movies_folder = folder / "movies"
        self._config = config
        self._total_bytes = 0  # bytes of all pictures

    def open(self) -> list[Recording]:
        """Make the folders; return the existing recordings, the oldest first."""
        for each in (self.frames_folder, self.movies_folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in self.movies_folder.glob(f".*{PART}"):
            each.unlink(missing_ok=True)
        recordings = [each for each in map(self._read, self.frames_folder.iterdir()) if each is not None]
        self._total_bytes = sum(each.bytes for each in recordings)
        return sorted(recordings, key=lambda each: each.began)

    def begin(self, recording: Recording) -> None:
        """Make the folder of a new recording."""
        (self.frames_folder / recording.name).mkdir(mode=0o700)
        self.note(recording)

    def note(self, recording: Recording) -> None:
        """Save the description of a recording."""
        saved = {each.name for each in fields(Recording) if each.metadata.get("kept", True)}
        description = {name: value for name, value in asdict(recording).items() if name in saved}
        path = self.frames_folder / recording.name / DESCRIPTION_FILE
        path.with_suffix(PART).write_text(json.dumps(description))
        path.with_suffix(PART).replace(path)

    def add(self, recording: Recording, picture: bytes) -> Path:
        """Save a picture.

        Raises:
            NoRoom: a limit is reached.
        """
        self._check_room(recording, len(picture))
        path = self.path_of(recording, recording.frames + 1)
        path.with_suffix(PART).write_bytes(picture)
        path.with_suffix(PART).replace(path)
        recording.frames += 1
        recording.bytes += len(picture)
        self._total_bytes += len(picture)
        return path

    def path_of(self, recording: Recording, number: int) -> Path:
        """Return the file of a picture."""
        return self.frames_folder / recording.name / f"{number:06d}.jpg"

    def _check_room(self, recording: Recording, size: int) -> None:
        config = self._config
        if recording.bytes + size > config.frames_mib * MIB:
            raise NoRoom(f"the pictures of this print take {config.frames_mib} MiB already (timelapse.frames_mib)")
        if self._total_bytes + size > config.all_frames_mib * MIB:
            raise NoRoom(f"all pictures take {config.all_frames_mib} MiB already (timelapse.all_frames_mib)")
        if shutil.disk_usage(self.frames_folder).free < config.free_mib * MIB + size:
            raise NoRoom(f"less than {config.free_mib} MiB are free on the disk (timelapse.free_mib)")

    def _read(self, folder: Path) -> Recording | None:
        """Return the recording in a folder; None: it is damaged."""
        try:
            recording = msgspec.json.decode((folder / DESCRIPTION_FILE).read_bytes(), type=Recording)
            recording.name = folder.name
            self._heal(recording)
        except (OSError, ValueError, RecursionError) as error:
            log.warning("timelapse.unreadable", folder=str(folder), reason=str(error))
            return None
        return recording

    def _heal(self, recording: Recording) -> None:
        """Delete pictures that a power cut has left incomplete, and number the others without gaps."""
        folder = self.frames_folder / recording.name
        recording.frames = recording.bytes = 0
        for each in folder.glob(f"*{PART}"):
            each.unlink(missing_ok=True)
        for each in sorted(folder.glob("[0-9]*.jpg")):
            if not _is_whole(each):
                each.unlink(missing_ok=True)
                continue
            recording.frames += 1
            recording.bytes += each.stat().st_size
            if each != (expected := self.path_of(recording, recording.frames)):
                each.replace(expected)

    def drop(self, recording: Recording) -> None:
        """Delete the pictures of a print."""
        shutil.rmtree(self.frames_folder / recording.name, ignore_errors=True)
        self._total_bytes -= recording.bytes

    def finish(self, recording: Recording, part: Path, name: str) -> None:
        """Give a film its name, with the last picture as its thumbnail; delete the other pictures."""
        part.replace(self.movies_folder / name)
        with suppress(OSError):
            self.path_of(recording, recording.frames).replace(self.movies_folder / f"{name}{THUMBNAIL}")
        self.drop(recording)

    def delete(self, name: str) -> bool:
        """Delete a film; return False if there is none of this name."""
        path = self.movies_folder / name
        if path.name != name or not _is_film(path):
            return False
        path.unlink(missing_ok=True)
        (self.movies_folder / f"{name}{THUMBNAIL}").unlink(missing_ok=True)
        return True

    def expire(self, recordings: list[Recording], now: float) -> list[Recording]:
        """Delete expired recordings and films; return the deleted recordings."""
        gone = [each for each in recordings if each.outcome and self._age(each, now) > self._config.keep_days * DAY]
        for each in gone:
            self.drop(each)
        films = sorted(self._films(), key=lambda each: each.stat().st_mtime, reverse=True)
        total = 0
        for number, film in enumerate(films):
            total += film.stat().st_size
            if number and (number >= self._config.films or total > self._config.films_mib * MIB):
                self.delete(film.name)
        return gone

    def _age(self, recording: Recording, now: float) -> float:
        try:
            return now - (self.frames_folder / recording.name).stat().st_mtime
        except OSError:
            return 0.0

    def list_films(self) -> list[dict[str, Any]]:
        """Return the films in OctoPrint's form, but without their addresses."""
        films = []
        for path in self._films():
            with suppress(OSError):
                about = path.stat()
                thumbnail = f"{path.name}{THUMBNAIL}"
                films.append({
                    "name": path.name,
                    "size": size_of(about.st_size),
                    "bytes": about.st_size,
                    "date": date_of(about.st_mtime),
                    "timestamp": about.st_mtime,
                    "thumbnail": thumbnail if (self.movies_folder / thumbnail).exists() else None,
                })  # fmt: skip
        return sorted(films, key=lambda each: str(each["name"]))

    def _films(self) -> Iterator[Path]:
        return (each for each in self.movies_folder.iterdir() if _is_film(each))


def folder_name(file: str, wall: float) -> str:
    """Return the name of a recording, as OctoPrint forms it: the file's name and the date."""
    stem = _UNSAFE.sub("_", Path(file).stem).strip(". ")[:MAX_STEM]
    stem = stem.encode()[:MAX_STEM_BYTES].decode(errors="ignore") or "print"
    return f"{stem}_{datetime.fromtimestamp(wall).astimezone():%Y%m%d%H%M%S}"


def size_of(count: float) -> str:
    """Return a size as OctoPrint writes it."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1024:  # noqa: PLR2004 - of each unit
            return f"{count:3.1f}{unit}"
        count /= 1024
    return f"{count:3.1f}TB"


def date_of(when: float) -> str:
    """Return a date as OctoPrint writes it."""
    return f"{datetime.fromtimestamp(when, UTC).astimezone():%Y-%m-%d %H:%M}"


def _is_film(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()


def _is_whole(path: Path) -> bool:
    """Tell whether a picture is complete."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < 4:  # noqa: PLR2004 - beginning and end
            return False
        file.seek(-2, os.SEEK_END)
        return file.read() == b"\xff\xd9"
