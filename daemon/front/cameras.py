"""The cameras' pictures on their way to viewers: one connection to each camera, whoever looks and however many do.

A viewer gets the newest picture when it has taken the one before: who reads slowly misses pictures, and costs no queue.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from daemon.camera.addresses import snapshot_of, stream_of
from daemon.camera.fetch import BLOCK, opened, picture, without_secrets
from daemon.camera.mjpeg import PictureParts
from daemon.config import CameraConfig
from daemon.errors import CameraError

MOST_VIEWERS = 16
"""Of all cameras together."""

BEGINS = 5.0
SILENT = 10.0
"""Seconds until the camera has to answer, and between two pieces of what it sends."""

SNAPSHOT = 5.0  # s for a single picture
FRESH = 1.0  # s; a picture of the stream that is no older is a single picture, too
FASTEST = 4 * 1024 * 1024
"""Bytes a second that are read of a camera; it drops pictures itself where it could send more."""

log = structlog.get_logger()


class Relay:
    """One camera's stream. Runs while somebody looks."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.viewers = 0
        self.newest: bytes | None = None
        self.at = 0.0
        self.number = 0  # of the newest picture
        self.failure: CameraError | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def join(self) -> None:
        """Count a viewer, and begin if there is none yet."""
        self.viewers += 1
        if self._task is None or self._task.done():
            self.failure, self.newest = None, None
            self._task = asyncio.create_task(self._run())

    def leave(self) -> None:
        """Let go; the last one ends the connection."""
        self.viewers -= 1
        if not self.viewers and self._task is not None:
            self._task.cancel()
            self._task = None

    async def next(self, after: int, seconds: float) -> tuple[int, bytes] | None:
        """Return the newest picture that a viewer has not seen, and its number; None: there was none in that time.

        Raises:
            CameraError: there will be no more.
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
        except OSError as error:
            self.failure = CameraError(f"the camera at {without_secrets(self.url)} hung up: {error.strerror or error}")
        except TimeoutError:
            self.failure = CameraError(f"the camera at {without_secrets(self.url)} has stopped sending")
        finally:
            self._tell()
        log.debug("camera.ended", reason=str(self.failure))

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        async with opened(self.url, BEGINS) as answer:
            if not answer.is_stream:
                raise CameraError(f"{without_secrets(self.url)} is not an MJPEG stream")
            parts = PictureParts()
            due = loop.time()
            while True:
                async with asyncio.timeout(SILENT):
                    block = await answer.reader.read(BLOCK)
                if not block:
                    return
                if pictures := parts.feed(block):
                    self.newest, self.at = pictures[-1], loop.time()
                    self.number += 1
                    self._tell()
                due = max(due + len(block) / FASTEST, loop.time())
                await asyncio.sleep(max(0.0, due - loop.time()))

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Cameras:
    """All relays, and the single pictures that are on their way."""

    def __init__(self) -> None:
        self._relays: dict[str, Relay] = {}
        self._asked: dict[str, asyncio.Task[bytes]] = {}

    @property
    def viewers(self) -> int:
        """How many look at streams."""
        return sum(each.viewers for each in self._relays.values())

    def relay(self, camera: CameraConfig) -> Relay:
        """Return what passes on a camera's stream.

        Raises:
            CameraError: it has none.
        """
        url = stream_of(camera)
        if not url:
            raise CameraError(
                f"{camera.name} has no stream that could be passed on: enter its address, with http://, as stream_url"
            )
        self._relays = {url: each for url, each in self._relays.items() if each.viewers}
        return self._relays.setdefault(url, Relay(url))

    async def snapshot(self, camera: CameraConfig) -> bytes:
        """Return a single picture; who asks while one is on its way gets that one.

        Raises:
            CameraError: there is none.
        """
        relay = self._relays.get(stream_of(camera))
        now = asyncio.get_running_loop().time()
        if relay is not None and relay.viewers and relay.newest is not None and now - relay.at <= FRESH:
            return relay.newest
        if not (url := snapshot_of(camera)):
            raise CameraError(f"{camera.name} gives no single picture: enter its address as snapshot_url")
        task = self._asked.get(url)
        if task is None:
            task = self._asked[url] = asyncio.create_task(picture(url, SNAPSHOT))
            task.add_done_callback(self._forget(url))
        return await asyncio.shield(task)

    def _forget(self, url: str) -> Callable[[asyncio.Task[bytes]], None]:
        def forget(task: asyncio.Task[bytes]) -> None:
            del self._asked[url]
            if not task.cancelled():
                task.exception()  # looked at, also where everybody who waited has gone

        return forget
