"""/webcam/: pictures from the configured cameras, for clients with a key or a signed address."""

import asyncio

from tornado.iostream import StreamClosedError

from daemon.camera.addresses import FIRST, cameras_of
from daemon.config import CameraConfig
from daemon.errors import CameraError
from daemon.front.cameras import MAX_VIEWERS, Cameras, Relay
from daemon.front.http.base import ApiHandler
from daemon.http.errors import Refused

BOUNDARY = "nozzledpicture"
STALL_TIMEOUT = 10.0  # s for a viewer to receive a picture
KEY_CHECK_INTERVAL = 2.0  # s between two checks whether the key is still valid
MIN_INTERVAL = 1 / 30  # s between two pictures to one viewer


class WebcamHandler(ApiHandler):
    """/webcam/?action=stream|snapshot of the first camera; /webcam/<name>/ or &camera=<name> of another."""

    accepts_signed_address = True

    async def get(self, name: str = "") -> None:
        """Send one picture, or a stream until the viewer disconnects or its key is revoked."""
        cameras: Cameras = self.settings.setdefault("cameras", Cameras())
        camera = self._camera(name or self.get_query_argument("camera", FIRST))
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
        cameras = cameras_of(self.service.webcam)
        if name not in cameras and name == FIRST and cameras:
            return next(iter(cameras.values()))
        if name not in cameras:
            raise Refused(404, f"there is no camera {name[:40]!r}" if cameras else "there is no camera")
        return cameras[name]

    async def _stream(self, cameras: Cameras, camera: CameraConfig) -> None:
        relay = cameras.relay(camera)
        if cameras.viewers >= MAX_VIEWERS:
            raise Refused(503, f"cannot show the camera: {MAX_VIEWERS} viewers are watching already")
        relay.join()
        try:
            number, data = await self._first(relay)
            self._announce()
            while True:
                await self._send(data)
                if (next_picture := await self._next(relay, number)) is None:
                    break
                number, data = next_picture
            self.detach().close()  # else the viewer would show the last picture for ever
        except StreamClosedError:
            return  # the viewer has gone
        except TimeoutError:
            self.detach().close()
        finally:
            relay.leave()

    async def _first(self, relay: Relay) -> tuple[int, bytes]:
        """Return the first picture with its number. An error still becomes an answer, since nothing is sent yet."""
        while (first := await relay.next_picture(0, KEY_CHECK_INTERVAL)) is None:
            if self.has_client_gone():
                raise StreamClosedError
        return first

    async def _next(self, relay: Relay, number: int) -> tuple[int, bytes] | None:
        """Return the picture after this number; None: the key, the camera or the viewer has gone."""
        await asyncio.sleep(MIN_INTERVAL)
        while True:
            await self.service.access.refresh()
            if self.identity is None or not self.service.access.is_still_valid(self.identity):
                return None
            try:
                next_picture = await relay.next_picture(number, KEY_CHECK_INTERVAL)
            except CameraError:
                return None
            if next_picture is not None or self.has_client_gone():
                return next_picture

    def _announce(self) -> None:
        self.set_header("Content-Type", f"multipart/x-mixed-replace;boundary={BOUNDARY}")

    async def _send(self, data: bytes) -> None:
        self.write(f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode())
        self.write(data)
        self.write(b"\r\n")
        async with asyncio.timeout(STALL_TIMEOUT):
            await self.flush()
