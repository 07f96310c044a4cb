"""Makes the films, one after the other, while nothing is printed.

A film that a print interrupts is made again after the print.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from daemon.companions.timelapse import render
from daemon.companions.timelapse.config import TimelapseConfig
from daemon.companions.timelapse.films import PART, Films, Recording
from daemon.companions.timelapse.recorder import RunOnDisk, SendEvent
from daemon.companions.timelapse.render import FilmLook, RenderFailed

MEMINFO = Path("/proc/meminfo")
CALM_S = 5.0  # without a print before a film is started: the next print may follow at once

log = structlog.get_logger()


class FilmQueue:
    """The queue of films. They are made while `is_idle` is set."""

    def __init__(
        self,
        films: Films,
        config: TimelapseConfig,
        on_disk: RunOnDisk,
        send_event: SendEvent,
        on_change: Callable[[], None],
    ) -> None:
        self._films = films
        self._config = config
        self._on_disk = on_disk
        self._send_event = send_event
        self._on_change = on_change
        self._wake = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._is_idle = False
        self._is_finishing = False  # a film gets its name, and its pictures are deleted: this cannot be cancelled
        self.look = FilmLook(config.height)
        self.waiting_recordings: list[Recording] = []
        self.recording_being_rendered: Recording | None = None
        self.on_done: Callable[[Recording], None] = lambda _: None

    @property
    def is_idle(self) -> bool:
        """Whether it is certain that nothing is printed."""
        return self._is_idle

    @is_idle.setter
    def is_idle(self, idle: bool) -> None:
        if idle is self._is_idle:
            return
        self._is_idle = idle
        self._wake.set()
        if not idle and self._work is not None and not self._is_finishing:
            self._work.cancel()  # it starts again after the print

    def add(self, recording: Recording) -> None:
        """Queue a film."""
        if recording not in self.waiting_recordings and recording is not self.recording_being_rendered:
            self.waiting_recordings.append(recording)
            self._wake.set()

    async def run(self) -> None:
        """Make the queued films, for ever."""
        while True:
            while not (self._is_idle and self.waiting_recordings):
                self._wake.clear()
                await self._wake.wait()
            self._work = asyncio.create_task(self._make(self.waiting_recordings[0]))
            try:
                await asyncio.wait({self._work})
            finally:
                self._work.cancel()
                with suppress(asyncio.CancelledError):
                    await self._work
                self._work = None

    async def _make(self, recording: Recording) -> None:
        await asyncio.sleep(CALM_S)
        suffix = ".mkv" if await self._copies_pictures() else ".mp4"
        if recording not in self.waiting_recordings:  # a user has deleted it meanwhile
            return
        end = "" if recording.outcome in ("completed", "") else "-fail"
        name = f"{recording.name}{end}{suffix}"
        part = self._films.movies_folder / f".{name}{PART}"
        payload = {
            "gcode": recording.file,
            "movie": str(self._films.movies_folder / name),
            "movie_basename": name,
            "movie_prefix": recording.name,
        }
        self.recording_being_rendered = recording
        self._on_change()
        self._send_event("MovieRendering", payload)
        try:
            await self._render(recording, part, suffix)
            self._is_finishing = True
            await self._on_disk(self._films.finish, recording, part, name)
        except (RenderFailed, OSError) as error:
            await self._give_up(recording, error, payload)
        else:
            self._send_event("MovieDone", payload)
            self.on_done(recording)
            log.info("timelapse.film", name=name, pictures=recording.frames)
        finally:
            self.recording_being_rendered, self._is_finishing = None, False
            with suppress(OSError):
                part.unlink(missing_ok=True)
            self._on_change()
        self.waiting_recordings.remove(recording)

    async def _render(self, recording: Recording, part: Path, suffix: str) -> None:
        if not recording.frames:
            raise RenderFailed("no_frames", 0)
        limits = await render.find_limits(self._config.memory_mib)
        arguments = (
            render.copy_arguments(recording.fps, part)
            if suffix == ".mkv"
            else render.encode_arguments(recording.fps, recording.post_roll, self.look, part)
        )
        await render.run([*limits, self._config.ffmpeg, *arguments], self._films.frames_folder / recording.name)

    async def _give_up(self, recording: Recording, error: Exception, payload: Mapping[str, Any]) -> None:
        """Keep the pictures, so that a user can fix the cause and try again."""
        recording.wanted, recording.failed = False, str(error)
        with suppress(OSError):
            await self._on_disk(self._films.note, recording)
        code = getattr(error, "code", 255)
        reason = "no_frames" if str(error) == "no_frames" else "returncode" if code != 255 else "unknown"  # noqa: PLR2004 - OctoPrint's for "none"
        words = getattr(error, "words", "") or str(error)
        self._send_event("MovieFailed", {**payload, "returncode": code, "out": "", "error": words, "reason": reason})
        log.warning("timelapse.no_film", name=recording.name, reason=str(error), consequence="its pictures are kept")

    async def _copies_pictures(self) -> bool:
        if self._config.format:
            return self._config.format == "mkv"
        try:
            return render.is_small(await asyncio.to_thread(MEMINFO.read_text))
        except (OSError, ValueError, IndexError):
            return False
