"""/webcam/: pictures of the cameras, for whoever has a key or a signed address; from the configured addresses alone."""

import asyncio
from urllib.parse import unquote

from tornado.iostream import StreamClosedError

from daemon.camera.addresses import FIRST, all_of
from daemon.config import CameraConfig
from daemon.errors import CameraError
from daemon.front.cameras import MOST_VIEWERS, Cameras, Relay
from daemon.front.http.base import ApiHandler
from daemon.http.errors import Refused

BOUNDARY = "nozzledpicture"
STALLED = 10.0  # s; who has not taken a picture by then has gone away
LOOK = 2.0  # s between two looks at whether the key still counts
FASTEST = 1 / 30  # s between two pictures for one viewer


class WebcamHandler(ApiHandler):
    """/webcam/?action=stream|snapshot, of the first camera; /webcam/NAME/ or &camera=NAME of another one."""

    signable = True

    async def get(self, name: str = "") -> None:
        """Send a picture, or one after the other until the viewer or its key has gone."""
        cameras: Cameras = self.settings.setdefault("cameras", Cameras())
        camera = self._camera(unquote(name) or self.get_query_argument("camera", FIRST))
        action = self.get_query_argument("action", "stream")
        if action == "snapshot":
            data = await cameras.snapshot(camera)
            self.set_header("Content-Type", "image/jpeg")
            self.set_header("Content-Length", str(len(data)))
            self.write(data)
        elif action != "stream":
            raise Refused(400, f"action must be stream or snapshot, not {action[:40]!r}")
        elif self.request.method == "HEAD":
            self._announce()
        else:
            await self._stream(cameras, camera)

    def _camera(self, name: str) -> CameraConfig:
        known = all_of(self.service.webcam)
        if name not in known and name == FIRST and known:
            return next(iter(known.values()))
        if name not in known:
            raise Refused(404, f"there is no camera {name[:40]!r}" if known else "there is no camera")
        return known[name]

    async def _stream(self, cameras: Cameras, camera: CameraConfig) -> None:
        relay = cameras.relay(camera)
        if cameras.viewers >= MOST_VIEWERS:
            raise Refused(503, f"{MOST_VIEWERS} viewers are watching the cameras already")
        relay.join()
        try:
            seen, data = await self._first(relay)
            self._announce()
            while True:
                await self._send(data)
                if (found := await self._next(relay, seen)) is None:
                    break
                seen, data = found
            self.detach().close()  # a viewer that goes on waiting would see the last picture for ever
        except StreamClosedError:
            return  # the viewer has gone
        except TimeoutError:
            self.detach().close()
        finally:
            relay.leave()

    async def _first(self, relay: Relay) -> tuple[int, bytes]:
        """Return the first picture; an error while nothing is sent yet is an answer."""
        while (found := await relay.next(0, LOOK)) is None:
            if self.has_client_gone():
                raise StreamClosedError
        return found

    async def _next(self, relay: Relay, seen: int) -> tuple[int, bytes] | None:
        """Return the next picture; None: there is to be none for this viewer."""
        await asyncio.sleep(FASTEST)
        while True:
            await self.service.access.refresh()
            if self.identity is None or not self.service.access.still_valid(self.identity):
                return None
            try:
                found = await relay.next(seen, LOOK)
            except CameraError:
                return None
            if found is not None or self.has_client_gone():
                return found

    def _announce(self) -> None:
        self.set_header("Content-Type", f"multipart/x-mixed-replace;boundary={BOUNDARY}")

    async def _send(self, data: bytes) -> None:
        self.write(f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode())
        self.write(data)
        self.write(b"\r\n")
        async with asyncio.timeout(STALLED):
            await self.flush()
