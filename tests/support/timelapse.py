"""The companion `timelapse` beside the service in memory: push without a socket, a camera that is a function."""

import asyncio
from contextlib import asynccontextmanager

from daemon.companions.timelapse import recorder
from daemon.companions.timelapse.config import TimelapseConfig
from daemon.companions.timelapse.timelapse import Timelapse
from daemon.errors import CameraError
from support.client import in_memory
from support.companions import HubMessages, companion_key, running
from support.fake_camera import jpeg
from support.http import NOW

SNAPSHOT_URL = "http://camera.example/snapshot"


class Camera:
    """Answers each request with a picture.

    Attributes:
        outcomes: of the next requests: the seconds that a picture takes, or why there is none.
    """

    def __init__(self, monkeypatch):
        self.requests = []
        self.outcomes = []
        monkeypatch.setattr(recorder, "fetch_picture", self.picture)

    async def picture(self, url, seconds, *, headers=None):
        self.requests.append(url)
        outcome = self.outcomes.pop(0) if self.outcomes else 0.1
        if isinstance(outcome, str):
            raise CameraError(outcome)
        await asyncio.sleep(min(outcome, seconds))
        if outcome > seconds:
            raise CameraError("the camera does not answer")
        return jpeg(len(self.requests))


class TimelapseBeside(HubMessages, Timelapse):
    """The companion beside a service in memory."""


@asynccontextmanager
async def recording(server, **config):
    """Run the companion beside a service."""
    folder = server.service.folder / "companions/timelapse"
    folder.mkdir(parents=True, exist_ok=True)
    key = companion_key(server, "timelapse")
    settings = TimelapseConfig(**{"snapshot_url": SNAPSHOT_URL, "free_mib": 0, **config})
    companion = TimelapseBeside(in_memory(server, key), folder, settings, lambda: NOW)
    companion.server, companion.key = server, key
    async with running(companion, start=1):
        yield companion


def pictures(server):
    """Return the names of all pictures on the disk, by folder."""
    frames = server.service.folder / "companions/timelapse/frames"
    return {each.name: sorted(picture.name for picture in each.glob("*.jpg")) for each in frames.iterdir()}
