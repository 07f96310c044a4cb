"""All companions beside one print: camera, plug, pins, messages, Spoolman; also with each of them failing.

Their peers are stand-ins in memory, which can hang, die and lie at any moment of a print.
The simulated printer shows what it received: each line once, whatever happens to the companions.
"""

import asyncio
import json
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory

from daemon.companions.companion import Companion
from daemon.companions.power.assembly import watch_inputs
from daemon.companions.power.config import DeviceConfig, FilamentConfig, PowerConfig, SensorsConfig
from daemon.companions.power.devices.tasmota import Tasmota
from daemon.companions.power.devices.web import WebReply
from daemon.companions.power.emergency import Emergency
from daemon.companions.power.errors import DeviceError
from daemon.companions.power.power import Power
from daemon.companions.power.switch import Switch
from daemon.front import cameras
from support import plugs
from support.analyses import SIZED, analysing
from support.client import in_memory
from support.companions import beside
from support.fake_spoolman import FakeSpoolman
from support.http import NOW
from support.notify import FakeInternet, notifying
from support.timelapse import Camera, pictures, recording

LAYERS, PAIRS = 3, 6
ALL = ("notify", "power", "timelapse")
SPOOLMAN = "http://spoolman.example"
FILE = b"M302 P1\nM140 S50\nM104 S80\nG28\nM83\n" + b"".join(
    b";LAYER_CHANGE\n;Z:%.1f\n;HEIGHT:0.2\nG1 Z%.1f F600\n" % (0.2 * number, 0.2 * number)
    + b"G1 X90 E9 F1500\nG1 X50 E8\n" * PAIRS
    for number in range(1, LAYERS + 1)
) + b"M104 S0\nM140 S0\nG28 X\n"  # fmt: skip
LINES = [line for line in FILE.decode().splitlines() if not line.startswith(";")]
MOVES = [line for line in LINES if " E" in line]  # a pause makes moves too, but without E


class Plug:
    """A Tasmota plug on the network; `mood`: well, hangs, dies (refuses), lies (does nothing)."""

    def __init__(self):
        self.device = plugs.Tasmota()
        self.device.on = True
        self.mood = "well"
        self.hot_at_the_end = None

    async def get(self, path, *_):
        if self.mood == "hangs":
            await asyncio.sleep(5)
            raise DeviceError("Printer does not answer: it took longer than 5 s")
        if self.mood == "dies":
            raise DeviceError("Printer does not answer: connection refused")
        self.device.stuck = self.mood == "lies"
        status, body = self.device.answer("GET", path, {}, "")
        return WebReply(status, {}, plugs.http(status, body).partition(b"\r\n\r\n")[2])

    def switch(self):
        config = DeviceConfig(name="Printer", type="tasmota", role="printer", address="plug.local")
        tasmota = Tasmota(config, "")
        tasmota._web.get = self.get
        return Switch(config, tasmota)


class CompanionRig:
    """A printer with all companions."""

    def __init__(self, server, camera, plug, internet, spoolman, pin):
        self.tasks = {}
        self.server, self.camera, self.plug, self.pin = server, camera, plug, pin
        self.internet, self.spoolman = internet, spoolman
        self.client = in_memory(server)

    @property
    def state(self):
        return self.server.service.jobs.state

    async def until(self, true, seconds=1800):
        async with asyncio.timeout(seconds):
            while not true():  # noqa: ASYNC110 - the clock is virtual
                await asyncio.sleep(0.2)

    async def begin(self):
        await self.server.upload(("file", "part.gcode", FILE), ("print", b"true"))
        await self.until(lambda: self.state is not None and self.state.value == "printing")

    async def end(self):
        await self.until(lambda: self.state.ended)

    async def record(self):
        """Return the print from the history."""
        [job] = (await self.client.history.list())["jobs"]
        return job

    async def require_whole(self):
        """Require that every line reached the firmware once, in order, without a resend request."""
        job = await self.record()
        assert (job["state"], job["lines"], job["resends"]) == ("completed", len(LINES), 0)
        lines = (self.server.service.folder / "oracle").read_text().splitlines()
        came = [json.loads(line)["command"] for line in lines]
        assert [line for line in came if line in MOVES] == MOVES

    def kill(self, name):
        """End a companion as a kill would, without a word."""
        self.tasks[name].cancel()

    def hotend(self):
        return self.server.service.connection.heaters["tool0"].actual


def companion_of(task):
    """Return the name of the companion whose task this is; None: it is no companion's."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    one = frame.f_locals.get("self") if frame is not None and task.get_coro().__name__ == "serve" else None
    return one.name if isinstance(one, Companion) else None


@pytest.fixture
def pins():
    before, gpiozero.Device.pin_factory = gpiozero.Device.pin_factory, MockFactory()
    yield gpiozero.Device.pin_factory
    gpiozero.Device.pin_factory.reset()
    gpiozero.Device.pin_factory = before


@pytest.fixture
def start(tmp_path, monkeypatch, pins):
    """Returns a function that starts a printer with all companions."""

    async def look(url, seconds, **_):
        return await camera.picture(url, seconds)

    camera = Camera(monkeypatch)
    monkeypatch.setattr(cameras, "fetch_picture", look)

    @asynccontextmanager
    async def build():
        plug, spoolman = Plug(), FakeSpoolman(3)
        internet = FakeInternet(spoolman)
        pins.pin(17)
        async with AsyncExitStack() as stack:
            webcam = {"snapshot_url": "http://127.0.0.1:8080/?action=snapshot"}
            server = await stack.enter_async_context(
                analysing(tmp_path, f"sim?oracle={tmp_path}/oracle", profile=SIZED, switched_on=ALL, webcam=webcam)
            )
            await stack.enter_async_context(recording(server, render="never", min_delay_s=0))
            await stack.enter_async_context(notifying(server, internet, spoolman=SPOOLMAN))
            held = stack.enter_context(ExitStack())

            def power(client, folder):
                config = PowerConfig(auto_off=True, idle_min=1.0, announce_s=10.0)
                emergency = Emergency(client, None, None)
                one = Power(client, folder, config, [plug.switch()], lambda: NOW, emergency)
                emergency.cut, emergency.on_change = one.cut, one.report_changes
                sensors = SensorsConfig(filament=(FilamentConfig(name="left", pin="GPIO17"),))
                watch_inputs(one, sensors, held)
                pins.pin(17).drive_low()
                return one

            await stack.enter_async_context(beside(server, power, "power"))
            rig = CompanionRig(server, camera, plug, internet, spoolman, pins.pin(17))
            rig.tasks = {name: task for task in asyncio.all_tasks() if (name := companion_of(task)) is not None}
            await asyncio.sleep(2)
            await rig.client.companions.ask("notify", "spool", {"tool": 0, "spool": 3})
            yield rig

    return build


async def test_a_print_arrives_once_beside_all_companions(start):
    async with start() as rig:
        await rig.begin()
        await rig.until(lambda: sum(map(len, pictures(rig.server).values())) == 2)
        rig.pin.drive_high()  # the filament ends
        await rig.until(lambda: rig.state.value == "paused", 60)
        rig.pin.drive_low()
        await asyncio.sleep(30)
        await rig.client.job.resume()
        await rig.end()
        assert rig.hotend() > 50
        hot = []
        while rig.plug.device.on:
            hot.append(rig.hotend())
            await asyncio.sleep(1)
        assert hot[-1] < 50 < hot[0], "it went off when it was cold, and not before"
        await asyncio.sleep(90)
        await rig.require_whole()
        assert [len(each) for each in pictures(rig.server).values()] == [LAYERS]
        assert rig.internet.kinds() == ["paused", "done", "power", "power"]
        done = rig.internet.deliveries[1]
        assert done["title"] == "part.gcode is done"
        assert done["picture"]["type"] == "image/jpeg"
        assert rig.spoolman.length(3) == pytest.approx(LAYERS * PAIRS * 17, abs=1)


BAD = {
    "hangs": {"camera": 1e6, "plug": "hangs", "sink": "hangs", "spoolman": "hangs"},
    "dies": {"camera": "connection refused", "plug": "dies", "sink": "away", "spoolman": "away"},
    "lies": {"camera": "what it sends is no JPEG", "plug": "lies", "sink": 500, "spoolman": "nonsense"},
}


@pytest.mark.nightly
@pytest.mark.parametrize("how", BAD)
async def test_a_print_arrives_once_although_all_companions_fail(start, how):
    bad = BAD[how]
    async with start() as rig:
        rig.camera.outcomes = [bad["camera"]] * 1000
        rig.plug.mood = bad["plug"]
        rig.internet.outcomes = [bad["sink"]] * 1000
        rig.spoolman.read_outcomes = [bad["spoolman"]] * 1000
        rig.spoolman.outcomes = [bad["spoolman"]] * 1000
        await rig.begin()
        for _ in range(20):  # a loose contact is no end of the filament
            rig.pin.drive_high()
            await asyncio.sleep(0.3)
            rig.pin.drive_low()
            await asyncio.sleep(0.3)
        await rig.end()
        await asyncio.sleep(300)
        await rig.require_whole()
        assert rig.plug.device.on, "no notification says that it was switched off"
        assert rig.internet.deliveries == []
        companions = (await rig.client.get("/api/companions"))["companions"]
        assert not any(each["away"] for each in companions.values())
        assert companions["timelapse"]["state"]["trouble"]
        assert "given up after" in companions["notify"]["state"]["results"][-1]["text"]
        assert companions["notify"]["state"]["spoolman"]["away"]
        rig.spoolman.read_outcomes, rig.spoolman.outcomes = [], []
        await asyncio.sleep(700)
        assert rig.spoolman.length(3) == pytest.approx(LAYERS * PAIRS * 17, abs=1)


@pytest.mark.nightly
@pytest.mark.parametrize("victim", ALL)
async def test_a_print_survives_a_companion_killed_in_the_middle(start, victim):
    async with start() as rig:
        await rig.begin()
        await rig.until(lambda: sum(map(len, pictures(rig.server).values())) == 1)
        rig.kill(victim)
        await rig.end()
        await asyncio.sleep(50)
        await rig.require_whole()
        assert {
            name: each["away"] for name, each in (await rig.client.get("/api/companions"))["companions"].items()
        } == {name: name == victim for name in ALL}
