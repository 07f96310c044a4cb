"""The companion `timelapse` beside the service in memory: push without a socket, a camera that is a function."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

from daemon.client.push import Message
from daemon.companions.timelapse import recorder
from daemon.companions.timelapse.config import TimelapseConfig
from daemon.companions.timelapse.timelapse import Timelapse
from daemon.errors import CameraError
from daemon.front.access.companion_keys import key_path
from support.client import in_memory
from support.fake_camera import jpeg
from support.http import NOW

SEEN = "http://camera.example/snapshot"


class Camera:
    """Gives a picture when asked; `moods` are what the next ones are like: a text is why there is none, a number how
    many seconds it takes."""

    def __init__(self, monkeypatch):
        self.asked = []
        self.moods = []
        monkeypatch.setattr(recorder, "picture", self.picture)

    async def picture(self, url, seconds, *, headers=None):
        self.asked.append(url)
        mood = self.moods.pop(0) if self.moods else 0.1
        if isinstance(mood, str):
            raise CameraError(mood)
        await asyncio.sleep(min(mood, seconds))
        if mood > seconds:
            raise CameraError("the camera does not answer")
        return jpeg(len(self.asked))


class Beside(Timelapse):
    """The companion, whose push comes from the hub in memory."""

    server = None
    key = ""

    async def messages(self, subscription=None):
        heard = asyncio.Queue()

        async def send(texts):
            for text in texts:
                heard.put_nowait(json.loads(text))

        subscriber = self.server.application.settings["hub"].join(send, lambda: heard.put_nowait(None))
        user = (await self.server.post("/api/login", {"passive": True}, key=self.key)).json
        for said in ({"auth": f"{user['name']}:{user['session']}"}, {"subscribe": subscription}):
            subscriber.receive(json.dumps(said))
        try:
            while (message := await heard.get()) is not None:
                for kind, payload in message.items():
                    yield Message(kind, payload)
            await asyncio.Event().wait()
        finally:
            subscriber.end()


@asynccontextmanager
async def recording(server, **config):
    """Run the companion beside a service."""
    folder = server.service.folder / "companions/timelapse"
    folder.mkdir(parents=True, exist_ok=True)
    key = key_path(server.service.folder, "timelapse").read_text().strip()
    given = {"snapshot_url": SEEN, "free_mib": 0, **config}
    one = Beside(in_memory(server, key), folder, TimelapseConfig(**given), lambda: NOW)
    one.server, one.key = server, key
    task = asyncio.create_task(one.serve())
    await asyncio.sleep(1)
    try:
        yield one
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def pictures(server):
    """Return the names of all pictures on the disk, by folder."""
    frames = server.service.folder / "companions/timelapse/frames"
    return {each.name: sorted(picture.name for picture in each.glob("*.jpg")) for each in frames.iterdir()}
