"""Filament sensors and the stop button, on gpiozero's mock pins."""

import asyncio
import threading
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory
from hypothesis import given
from hypothesis import strategies as st

from daemon.client import Message
from daemon.companions.power.assembly import watch_inputs
from daemon.companions.power.config import DeviceConfig, FilamentConfig, PowerConfig, SensorsConfig
from daemon.companions.power.emergency import Emergency
from daemon.companions.power.errors import DeviceError
from daemon.companions.power.power import Power
from daemon.companions.power.sensing import REARM_S, DebouncedContact, Runout
from daemon.companions.power.sensors import FilamentSensor, StopButton
from daemon.companions.power.stopping import ButtonStop
from daemon.companions.power.switch import Switch
from daemon.config import stop_socket
from daemon.core.stop_socket import StopSocket
from hal.printer import StopEnded
from support.client import in_memory
from support.companions import FakeSwitch, beside
from support.http import NOW, api
from support.waiting import TIMEOUT, until

FILE = b"G28\n" + b"".join(b"G1 X%d F3000\n" % (10 + i % 2 * 100) for i in range(900))
FILAMENT = SensorsConfig(filament=(FilamentConfig(name="left", pin="GPIO17"),))
ADDRESS = {True: "sim?firmware=prusa", False: "sim"}
BUTTON = SensorsConfig(stop_pin="GPIO27")


@pytest.fixture
def pins():
    before, gpiozero.Device.pin_factory = gpiozero.Device.pin_factory, MockFactory()
    yield gpiozero.Device.pin_factory
    gpiozero.Device.pin_factory.reset()
    gpiozero.Device.pin_factory = before


@asynccontextmanager
async def bench(tmp_path, pins, sensors, *, cut_after=None, closed=(17, 27), address="sim"):
    for number in closed:
        pins.pin(number)  # a mock pin exists once it was asked for
    async with api(tmp_path, address, switched_on=["power"]) as server:
        with ExitStack() as stack:
            plug = FakeSwitch()

            def make(client, folder):
                switches = [Switch(DeviceConfig(name="Printer", type="relay", role="printer"), plug)]
                emergency = Emergency(client, None, cut_after)
                power = Power(client, folder, PowerConfig(), switches, lambda: NOW, emergency)
                emergency.cut, emergency.on_change = power.cut, power.report_changes
                watch_inputs(power, sensors, stack)
                for number in closed:
                    pins.pin(number).drive_low()
                return power

            async with beside(server, make, "power") as power:
                await asyncio.sleep(2)
                yield server, power, in_memory(server), plug


async def state(client):
    return (await client.job.get())["state"]


async def begin(server):
    await server.upload(("file", "part.gcode", FILE), ("print", b"true"))
    await asyncio.sleep(2)


async def test_the_print_pauses_once_when_the_filament_ends(tmp_path, pins):
    async with bench(tmp_path, pins, FILAMENT) as (server, _, client, _):
        names = []
        server.service.events.subscribe(lambda notice: names.append(notice.name))
        pin = pins.pin(17)
        await begin(server)
        for _ in range(5):  # it bounces
            pin.drive_high()
            await asyncio.sleep(0.3)
            pin.drive_low()
            await asyncio.sleep(0.3)
        assert await state(client) == "Printing"
        pin.drive_high()
        await asyncio.sleep(60)
        assert await state(client) == "Paused"
        assert (await client.companions.get("power"))["state"]["sensors"]["filament"] == [
            {"name": "left", "present": False}
        ]
        await client.job.resume()
        await asyncio.sleep(30)
        pin.drive_low()
        await asyncio.sleep(2)
        pin.drive_high()
        await asyncio.sleep(20)
        assert await state(client) == "Printing", "it was not there for long enough to be another spool"
        pin.drive_low()
        await asyncio.sleep(REARM_S + 2)
        pin.drive_high()
        await asyncio.sleep(60)
        assert await state(client) == "Paused"
        assert names.count("FilamentRunout") == 2


async def test_a_print_that_begins_without_filament_pauses(tmp_path, pins):
    async with bench(tmp_path, pins, FILAMENT) as (server, _, client, _):
        pins.pin(17).drive_high()
        await asyncio.sleep(3)
        assert await state(client) == "Operational"
        await begin(server)
        await asyncio.sleep(60)
        assert await state(client) == "Paused"


async def test_a_print_resumed_by_a_user_who_forgot_the_filament_pauses_once(tmp_path, pins):
    async with bench(tmp_path, pins, FILAMENT) as (server, _, client, _):
        await begin(server)
        await client.job.pause()
        await asyncio.sleep(30)
        pins.pin(17).drive_high()  # the user takes it out
        await asyncio.sleep(30)
        await client.job.resume()
        await asyncio.sleep(60)
        assert await state(client) == "Paused"
        await client.job.resume()
        await asyncio.sleep(30)
        assert await state(client) == "Printing", "the user has been told, and wants it"


async def test_a_print_that_begins_during_a_check_without_filament_pauses(pins):
    """The answer to the check is from before the print."""
    states, sent = iter(["Operational", "Printing"]), []

    async def get(_path):
        state = next(states)
        await asyncio.sleep(1)
        return {"state": state, "print": {"id": 1}}

    async def post(_path, data):
        sent.append(data["action"])

    client = SimpleNamespace(get=get, post=post)
    sensor = FilamentSensor(FILAMENT.filament[0], client, lambda *_: None, lambda: None)
    sensor.catch_up()
    await asyncio.sleep(0.5)
    sensor.on_event("PrintStarted")
    await asyncio.sleep(5)
    sensor.close()
    assert sent == ["pause"]


@pytest.mark.parametrize("obeys", [True, False])
async def test_m600_is_not_sent_again_if_its_answer_is_lost(pins, obeys):
    sent, told, resumed = [], [], asyncio.Event()

    async def get(_path):
        paused = sent and (obeys or "pause" in sent) and not resumed.is_set()
        return {"state": "Paused" if paused else "Printing", "print": {"id": 1}}

    async def send(command):
        sent.append(command)
        await asyncio.sleep(1e6)

    async def post(_path, data):
        sent.append(data["action"])

    client = SimpleNamespace(get=get, post=post, printer=SimpleNamespace(send=send))
    sensor = FilamentSensor(M600.filament[0], client, lambda name, _: told.append(name), lambda: None)
    sensor.on_event("PrintStarted")
    await asyncio.sleep(30)
    assert sent == (["M600"] if obeys else ["M600", "pause"])
    assert told == ["FilamentRunout"]
    resumed.set()
    sensor.on_event("PrintResumed")
    await asyncio.sleep(30)
    sensor.close()
    assert len(told) == 1, "a user has resumed it without filament"


@pytest.mark.parametrize("missed", ["the start of the process", "the start of the print", "after an idle change"])
async def test_a_print_without_filament_whose_start_was_missed_pauses_once(tmp_path, pins, missed):
    async with bench(tmp_path, pins, FILAMENT) as (server, power, client, _):
        sensor = power.inputs._filament[0]
        if missed == "after an idle change":
            pins.pin(17).drive_high()
            await asyncio.sleep(3)
        hear, power._on_event = power._on_event, lambda *_: None
        await begin(server)
        power._on_event = hear
        pins.pin(17).drive_high()
        if missed == "the start of the process":
            sensor._debounced_contact, sensor._runout = DebouncedContact(1.0, state=False), Runout(has_filament=False)
        else:
            sensor._runout.has_filament = sensor._debounced_contact.state = False
        await asyncio.sleep(3)
        assert await state(client) == "Printing"
        power._on_message(Message("connected", {}))
        await asyncio.sleep(60)
        assert await state(client) == "Paused"
        await client.job.resume()
        await asyncio.sleep(20)
        power._on_message(Message("connected", {}))
        await asyncio.sleep(20)
        assert await state(client) == "Printing", "a user continues without filament"


async def test_a_second_print_with_an_unnoticed_start_pauses_without_new_filament(tmp_path, pins):
    async with bench(tmp_path, pins, FILAMENT) as (server, power, client, _):
        await begin(server)
        pins.pin(17).drive_high()
        await asyncio.sleep(60)
        assert await state(client) == "Paused"
        await client.job.cancel()
        await asyncio.sleep(60)
        hear, power._on_event = power._on_event, lambda *_: None
        await client.job.start()
        await asyncio.sleep(3)
        power._on_event = hear
        assert await state(client) == "Printing"
        power._on_message(Message("connected", {}))
        await asyncio.sleep(60)
        assert await state(client) == "Paused"


M600 = SensorsConfig(filament=(FilamentConfig(pin="GPIO17", action="m600", debounce_s=0.5),))


@pytest.mark.parametrize("knows_m600", [True, False])
async def test_a_printer_gets_its_command_and_the_print_pauses_if_that_has_no_effect(tmp_path, pins, knows_m600):
    async with bench(tmp_path, pins, M600, address=ADDRESS[knows_m600]) as (server, _, client, _):
        sent, notices = [], []
        server.service.events.subscribe(notices.append)
        submit = server.service.connection.commands.submit
        server.service.connection.commands.submit = lambda *commands: (sent.extend(commands), submit(*commands))
        await begin(server)
        pins.pin(17).drive_high()
        await asyncio.sleep(50)
        assert any("M600" in str(each) for each in sent)
        actions = [each.payload["action"] for each in notices if each.name == "FilamentRunout"]
        place = (await client.job.get())["progress"]["filepos"]
        await asyncio.sleep(30)
        assert (await client.job.get())["progress"]["filepos"] == place, "it prints in the air"
        assert actions == (["m600"] if knows_m600 else ["m600", "pause"])
        assert knows_m600 or await state(client) == "Paused"


async def test_a_pause_is_requested_again_if_the_daemon_does_not_answer(tmp_path, pins):
    async with bench(tmp_path, pins, FILAMENT) as (server, power, client, _):
        await begin(server)
        exchange, real = power.client._exchange, power.client._exchange.send

        async def away(_request):
            await asyncio.sleep(1e6)

        exchange.send = away
        pins.pin(17).drive_high()
        await asyncio.sleep(20)
        assert await state(client) == "Printing"
        exchange.send = real
        await asyncio.sleep(70)
        assert await state(client) == "Paused"


async def test_the_stop_button_and_its_broken_wire_stop_the_printer(tmp_path, pins):
    async with bench(tmp_path, pins, BUTTON, cut_after=5.0) as (server, power, client, plug):
        await begin(server)
        assert await state(client) == "Printing"
        pins.pin(27).drive_high()
        await asyncio.sleep(5)
        assert (await state(client)).startswith(("Offline", "Error"))
        assert power.emergency.current_stop.is_confirmed
        assert (await client.companions.get("power"))["state"]["sensors"]["stop"] == {
            "pushed": True, "confirmed": True, "direct": False,
        }  # fmt: skip
        await asyncio.sleep(10)
        assert plug.commands == [], "it was confirmed: the power stays on"


async def test_a_contact_that_opens_briefly_is_no_stop(tmp_path, pins):
    async with bench(tmp_path, pins, BUTTON) as (_, power, _, _):
        pins.pin(27).drive_high()
        pins.pin(27).drive_low()
        await asyncio.sleep(1)
        assert power.emergency.current_stop is None


@pytest.mark.real_time
async def test_a_push_while_the_loop_stalls_is_a_stop(pins):
    stops = []
    button = StopButton(BUTTON, SimpleNamespace(), lambda: stops.append(1), lambda: None)
    pins.pin(27).drive_low()
    await asyncio.sleep(0.1)
    assert not stops
    pins.pin(27).drive_high()
    threading.Event().wait(0.2)  # the loop writes to a slow SD card
    pins.pin(27).drive_low()
    await asyncio.sleep(0.1)
    button.close()
    assert stops == [1]


async def test_a_print_that_begins_unseen_while_the_button_is_pushed_is_stopped(tmp_path, pins):
    async with bench(tmp_path, pins, BUTTON) as (server, power, client, _):
        power.inputs.on_event = lambda _name: None  # the push connection is interrupted
        pins.pin(27).drive_high()
        await asyncio.sleep(5)
        assert power.emergency.current_stop.is_confirmed
        stopped = power.emergency.current_stop
        power._on_message(Message("connected", {}))
        await asyncio.sleep(100)
        assert power.emergency.current_stop is stopped, "there is nothing to stop"
        await client.connection.connect("VIRTUAL")
        await asyncio.sleep(20)
        await begin(server)
        assert await state(client) == "Printing"
        power._on_message(Message("connected", {}))
        await asyncio.sleep(5)
        assert (await state(client)).startswith(("Offline", "Error"))


async def test_an_unconfirmed_stop_cuts_the_power(tmp_path, pins):
    async with bench(tmp_path, pins, BUTTON, cut_after=5.0) as (_, power, _, plug):
        tries = 0

        async def away(_request):
            nonlocal tries
            tries += 1
            await asyncio.sleep(1e6)

        power.client._exchange.send = away
        pins.pin(27).drive_high()
        await asyncio.sleep(4)
        assert plug.commands == []
        await asyncio.sleep(2)
        assert plug.commands == [False]
        await asyncio.sleep(20)
        assert tries >= 3
        await asyncio.sleep(100)
        after = tries
        await asyncio.sleep(100)
        assert tries - after < 60  # its other requests go on; the stop is not sent again


def test_a_core_of_another_user_is_reached_through_the_front(tmp_path, monkeypatch):
    def forbidden(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_socket", forbidden)
    assert Emergency(SimpleNamespace(), tmp_path / "stop.sock").is_direct is False


class FakeConnection:
    """The core's connection to a printer, as the stop socket sees it."""

    stop_count = 0

    def subscribe(self, listener):
        self.tell = listener

    def emergency_stop(self, _reason):
        self.stop_count += 1


@pytest.mark.real_time
async def test_a_stop_uses_the_cores_socket_while_the_front_hangs(tmp_path):
    async def hang(_command):
        await asyncio.sleep(3600)

    connection = FakeConnection()
    door = StopSocket(connection)
    await door.listen(tmp_path / "stop.sock")
    emergency = Emergency(SimpleNamespace(printer=SimpleNamespace(send=hang)), tmp_path / "stop.sock")
    emergency.stop()
    emergency.stop()  # a second push is the same stop
    began = asyncio.get_running_loop().time()
    while not connection.stop_count:  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0.005)
    assert asyncio.get_running_loop().time() - began < TIMEOUT, "the way over the front takes an hour"
    assert connection.stop_count == 1
    emergency.end()
    await asyncio.sleep(0.05)
    door.close()


@pytest.mark.real_time
async def test_a_stop_sent_to_the_core_is_not_sent_to_the_front_as_well(tmp_path):
    """A front that hangs would carry it out when a new print has begun."""

    sent = []

    async def send(command):
        sent.append(command)

    door = StopSocket(FakeConnection())
    await door.listen(stop_socket({}, tmp_path))
    for socket, by_front in ((stop_socket({}, tmp_path), []), (tmp_path / "none.sock", ["M112"]), (None, ["M112"])):
        emergency = Emergency(SimpleNamespace(printer=SimpleNamespace(send=send)), socket)
        assert emergency.is_direct is (not by_front)
        emergency.stop()
        await (until(lambda: sent) if by_front else asyncio.sleep(0.4))
        assert sent == by_front
        emergency.end()
        sent.clear()
    await asyncio.sleep(0.05)
    door.close()


@pytest.mark.real_time
async def test_the_confirmation_of_another_stop_does_not_end_ours(tmp_path):
    connection = FakeConnection()
    door = StopSocket(connection)
    await door.listen(tmp_path / "stop.sock")
    emergency = Emergency(SimpleNamespace(), tmp_path / "stop.sock")
    emergency.stop()
    await until(lambda: emergency.current_stop.is_accepted_by_core)
    emergency.on_stop_ended(confirmed=True)  # an event that the front has kept for minutes
    assert not emergency.current_stop.is_confirmed
    connection.tell(StopEnded(confirmed=True))
    await until(lambda: emergency.current_stop.is_confirmed)
    emergency.end()
    door.close()


def test_rounding_does_not_prevent_a_cut():
    times = [number / 7 for number in range(10000)]
    assert all(ButtonStop(time, 5.0).must_cut(time + 5.0) for time in times)


async def test_a_missing_pin_is_reported(tmp_path, pins):
    with pytest.raises(DeviceError, match="cannot use GPIO99 as an input"):
        async with bench(tmp_path, pins, SensorsConfig(stop_pin="GPIO99")):
            pass


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.booleans()), max_size=30))
def test_only_a_stable_contact_counts(steps):
    contact, now, momentary, since = DebouncedContact(1.0, state=True), 0.0, None, 0.0
    for after, state in steps:
        now += after
        if contact.settle(now):
            assert momentary == contact.state
            assert now >= since + 1.0  # `now - since` may round to less
        if state != momentary:
            momentary, since = state, now
        contact.update(state, now)


@given(st.lists(st.tuples(st.floats(0.0, 20.0), st.booleans()), max_size=30))
def test_a_second_runout_needs_filament_in_between(steps):
    runout, now, paused_at, present_since = Runout(has_filament=True), 0.0, None, 0.0
    before = True
    for after, present in steps:
        now += after
        longest = now - present_since if before else 0.0
        if runout.change(present, now, printing=True):
            assert paused_at is None or longest >= REARM_S
            paused_at = now
        if present and not before:
            present_since = now
        before = present
