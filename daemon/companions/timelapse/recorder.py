"""Takes the pictures of the current print, one at a time. A picture that is due while one is taken is skipped."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from daemon.camera.fetch import fetch_picture
from daemon.companions.timelapse.films import Films, NoRoom, Recording
from daemon.companions.timelapse.plan import FilmPlan, LayerPictures
from daemon.errors import CameraError
from gcode.frozen import frozen

TIMEOUT = 2.0  # for a picture

log = structlog.get_logger()

SendEvent = Callable[[str, Mapping[str, Any]], None]
RunOnDisk = Callable[..., "asyncio.Future[Any]"]
"""Runs a function of `Films` in their thread."""


@frozen
class FilmCamera:
    """The camera.

    Attributes:
        url: of a single picture; empty: no camera.
        headers: of the request.
        name: for users.
    """

    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    name: str = ""
    flip_h: bool = False
    flip_v: bool = False
    rotate: bool = False


class FrameRecorder:
    """Takes the pictures of the current recording.

    Attributes:
        camera: the camera.
        recording: the current one.
        is_moving: a print is under way, and not paused.
        skip_count: number of pictures that were due while another was being taken.
        miss_count: number of pictures that the camera did not deliver, or that could not be saved.
        trouble: why the last picture was missed; empty: it was not.
    """

    def __init__(self, films: Films, on_disk: RunOnDisk, send_event: SendEvent, on_change: Callable[[], None]) -> None:
        self._films = films
        self._on_disk = on_disk
        self._send_event = send_event
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._take_task: asyncio.Task[None] | None = None
        self._layers = LayerPictures()
        self._taken_at = -1e9
        self.camera = FilmCamera()
        self.plan = FilmPlan()
        self.recording: Recording | None = None
        self.is_moving = False
        self.skip_count = self.miss_count = 0
        self.trouble = ""

    def begin(self, recording: Recording) -> None:
        """Record a print from now on."""
        self.recording = recording
        self._layers = LayerPictures(None if recording.frames else 0)
        self._taken_at = -1e9
        self.skip_count = self.miss_count = 0
        self.trouble = ""
        self._on_change()

    def on_layer(self, layer: int | None) -> None:
        """Take a picture if this layer, that of the last acknowledged line, is a new one."""
        if not self._layers.is_due(layer) or self.recording is None or self.plan.type != "zchange":
            return
        if self._loop.time() - self._taken_at >= self.plan.min_delay:
            self.take()

    async def take_at_intervals(self) -> None:
        """Take pictures by the clock, for ever."""
        while True:
            if self.plan.type == "timed" and self.recording is not None and self.is_moving:
                self.take()
            await asyncio.sleep(self.plan.interval if self.plan.type == "timed" else 1.0)

    def take(self) -> None:
        """Take a picture, unless one is being taken."""
        if self.recording is None or not self.camera.url:
            return
        if self._take_task is not None and not self._take_task.done():
            self.skip_count += 1
            self._on_change()
            return
        self._taken_at = self._loop.time()
        self._take_task = asyncio.create_task(self._take(self.recording))

    async def finish(self, outcome: str) -> Recording | None:
        """Take the last picture of a print that has ended; return its recording."""
        recording = self.recording
        if recording is None:
            return None
        if self._take_task is not None:
            await self._take_task
        if self.plan.type != "off":
            self.take()
        if self._take_task is not None:
            await self._take_task
        self.recording = None
        recording.outcome = outcome
        self._on_change()
        return recording

    async def _take(self, recording: Recording) -> None:
        path = str(self._films.path_of(recording, recording.frames + 1))
        self._send_event("CaptureStart", {"file": path})
        try:
            data = await fetch_picture(self.camera.url, TIMEOUT, headers=dict(self.camera.headers))
            await self._on_disk(self._films.add, recording, data)
        except (CameraError, NoRoom, OSError) as error:
            self._note_failure(path, str(error))
        else:
            self.trouble = ""
            self._send_event("CaptureDone", {"file": path})
        self._on_change()

    def _note_failure(self, path: str, reason: str) -> None:
        self.miss_count += 1
        if reason != self.trouble:
            log.warning(
                "timelapse.no_picture", reason=reason, consequence="the film lacks this picture; the print continues"
            )
        self.trouble = reason
        self._send_event(
            "CaptureFailed",
            {
                "file": path,
                "error": reason,
                "webcamDisplay": self.camera.name,
                "snapshotDisplay": "",
                "webcamProvider": "classicwebcam",
            },
        )
