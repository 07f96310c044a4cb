"""Cameras: relays pictures to viewers; all viewers of a camera share one connection to it.

A viewer that has received a picture gets the newest one next, so slow viewers miss pictures, but need no queue.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from daemon.camera.addresses import snapshot_of, stream_of
from daemon.camera.fetch import BLOCK, ask_camera, fetch_picture, without_secrets
from daemon.camera.mjpeg import PictureParts
from daemon.config import CameraConfig
from daemon.errors import CameraError

MAX_VIEWERS = 16  # of all cameras together

ANSWER_TIMEOUT = 5.0  # s for the camera to answer
SILENCE_TIMEOUT = 10.0  # s between two pieces of its stream
SNAPSHOT_TIMEOUT = 5.0  # s for a single picture
MAX_AGE_S = 1.0  # a picture of the stream that is not older serves as a snapshot
MAX_RATE = 4 * 1024 * 1024  # bytes/s read from a camera; a faster camera must drop pictures itself

log = structlog.get_logger()


class Relay:
    """One camera's stream; it runs while there are viewers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.viewers = 0
        self.newest: bytes | None = None
        self.newest_at = 0.0
        self.number = 0  # of the newest picture
        self.failure: CameraError | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def join(self) -> None:
        """Add a viewer; the first one starts the stream."""
        self.viewers += 1
        if self._task is None or self._task.done():
            self.failure, self.newest = None, None
            self._task = asyncio.create_task(self._run())

    def leave(self) -> None:
        """Remove a viewer; the last one ends the stream."""
        self.viewers -= 1
        if not self.viewers and self._task is not None:
            self._task.cancel()
            self._task = None

    async def next_picture(self, after: int, seconds: float) -> tuple[int, bytes] | None:
        """Wait for a picture other than number `after`; return its number and the picture, None after `seconds`.

        Raises:
            CameraError: the stream has ended.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.number == after or self.newest is None:
                    if self.failure is not None:
                        raise self.failure
                    await self._changed.wait()
        return (self.number, self.newest) if self.number != after and self.newest is not None else None

    async def _run(self) -> None:
        try:
            await self._read()
            self.failure = CameraError(f"the camera at {without_secrets(self.url)} has ended its stream")
        except CameraError as error:
            self.failure = error
        except TimeoutError:  # before OSError, of which it is a kind
            self.failure = CameraError(f"the camera at {without_secrets(self.url)} has stopped sending")
        except OSError as error:
            self.failure = CameraError(f"the camera at {without_secrets(self.url)} hung up: {error.strerror or error}")
        finally:
            self._notify()
        log.debug("camera.ended", reason=str(self.failure))

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        async with ask_camera(self.url, ANSWER_TIMEOUT) as answer:
            if not answer.is_stream:
                raise CameraError(f"{without_secrets(self.url)} is not an MJPEG stream")
            parts = PictureParts()
            due = loop.time()
            while True:
                async with asyncio.timeout(SILENCE_TIMEOUT):
                    block = await answer.reader.read(BLOCK)
                if not block:
                    return
                if pictures := parts.feed(block):
                    self.newest, self.newest_at = pictures[-1], loop.time()
                    self.number += 1
                    self._notify()
                due = max(due + len(block) / MAX_RATE, loop.time())
                await asyncio.sleep(max(0.0, due - loop.time()))

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Cameras:
    """All relays, and the snapshots being fetched."""

    def __init__(self) -> None:
        self._relays: dict[str, Relay] = {}
        self._snapshots: dict[str, asyncio.Task[bytes]] = {}

    @property
    def viewers(self) -> int:
        """The number of viewers of all streams."""
        return sum(each.viewers for each in self._relays.values())

    def relay(self, camera: CameraConfig) -> Relay:
        """Return the relay of a camera's stream.

        Raises:
            CameraError: it has no stream.
        """
        url = stream_of(camera)
        if not url:
            raise CameraError(
                f"{camera.name} has no stream that nozzled can open: enter its address, with http://, as stream_url"
            )
        self._relays = {url: each for url, each in self._relays.items() if each.viewers}
        return self._relays.setdefault(url, Relay(url))

    async def snapshot(self, camera: CameraConfig) -> bytes:
        """Return a snapshot; simultaneous calls share one.

        Raises:
            CameraError: the camera delivers none.
        """
        relay = self._relays.get(stream_of(camera))
        now = asyncio.get_running_loop().time()
        if relay is not None and relay.viewers and relay.newest is not None and now - relay.newest_at <= MAX_AGE_S:
            return relay.newest
        if not (url := snapshot_of(camera)):
            raise CameraError(f"{camera.name} has no address for single pictures: enter it as snapshot_url")
        task = self._snapshots.get(url)
        if task is None:
            task = self._snapshots[url] = asyncio.create_task(fetch_picture(url, SNAPSHOT_TIMEOUT))
            task.add_done_callback(self._forget(url))
        return await asyncio.shield(task)

    def _forget(self, url: str) -> Callable[[asyncio.Task[bytes]], None]:
        def forget(task: asyncio.Task[bytes]) -> None:
            del self._snapshots[url]
            if not task.cancelled():
                task.exception()  # asyncio would warn of an exception that nobody retrieves, if all callers have gone

        return forget
