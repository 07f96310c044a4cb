"""`nozzled power` beside the real service: commands, automatic power-off, and what clients see."""

import asyncio
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import pytest

from daemon.client.errors import RequestRefused, refusal
from daemon.companions.power.config import DeviceConfig, PowerConfig
from daemon.companions.power.emergency import Emergency
from daemon.companions.power.errors import DeviceError
from daemon.companions.power.power import Power
from daemon.companions.power.switch import Switch, SwitchingWithdrawn
from daemon.front.access.scopes import Scope
from daemon.front.events import FrontEvent
from support.client import in_memory
from support.companions import FakeSwitch, beside
from support.http import NOW, api

SLOW_FILE = b"G28\n" + b"".join(b"G1 X%d F3000\n" % (10 + i % 2 * 100) for i in range(90))


class Bench:
    """The service, the companion, its switch, and the notices to clients."""

    def __init__(self, server, power, switch, lamp):
        self.server, self.power, self.switch, self.lamp = server, power, switch, lamp
        self.client = in_memory(server)
        self.notices = []
        server.service.events.subscribe(self.notices.append)

    def events(self):
        return [each.name for each in self.notices if each.kind == "event"]

    async def state(self):
        return (await self.client.companions.get("power"))["state"]

    async def refused(self, do, options=None):
        with pytest.raises(RequestRefused) as caught:
            await self.client.companions.ask("power", do, options)
        return caught.value.status, caught.value.text

    async def print(self, content=SLOW_FILE):
        await self.server.upload(("file", "part.gcode", content), ("print", b"true"))
        await asyncio.sleep(2)


@asynccontextmanager
async def bench(tmp_path, address="sim", *, on=True, cut_after=None, **settings):
    switch, lamp = FakeSwitch(on), FakeSwitch(on=False)
    # the simulated printer is cold at first unless a test heats it
    async with api(tmp_path, address, switched_on=["power"]) as server:

        def make(client, folder):
            config = PowerConfig(poll_s=2.0, **settings)
            switches = [
                Switch(DeviceConfig(name="Printer", type="relay", role="printer"), switch),
                Switch(DeviceConfig(name="lamp", type="relay"), lamp),
            ]
            emergency = Emergency(client, None, cut_after)
            power = Power(client, folder, config, switches, lambda: NOW + asyncio.get_running_loop().time(), emergency)
            emergency.cut, emergency.on_change = power.cut, power.report_changes
            return power

        async with beside(server, make, "power") as power:
            await asyncio.sleep(3)
            yield Bench(server, power, switch, lamp)


async def test_switches_are_listed_and_obey_commands(tmp_path):
    async with bench(tmp_path) as rig:
        state = await rig.state()
        assert [(each["name"], each["on"]) for each in state["devices"]] == [("Printer", True), ("lamp", False)]
        assert (state["printer"], state["on"]) == ("Printer", True)
        assert await rig.client.companions.ask("power", "on", {"device": "LAMP"}) == {"device": "lamp", "on": True}
        assert rig.lamp.is_on
        assert await rig.client.companions.ask("power", "off") == {"device": "Printer", "on": False}
        assert not rig.switch.is_on
        await asyncio.sleep(1)
        assert (await rig.state())["on"] is False
        assert (await rig.refused("off", {"device": "oven"}))[0] == 404
        assert (await rig.refused("explode"))[0] == 400


async def test_octoprint_apps_see_a_psucontrol_switch(tmp_path):
    async with bench(tmp_path) as rig:
        get, post = rig.server.get, rig.server.post
        assert "psucontrol" in (await get("/api/settings")).json["plugins"]
        assert (await get("/api/plugin/psucontrol")).json == {"isPSUOn": True}
        assert (await post("/api/plugin/psucontrol", {"command": "turnPSUOff"})).status == 204
        await asyncio.sleep(1)
        assert (await post("/api/plugin/psucontrol", {"command": "getPSUState"})).json == {"isPSUOn": False}
        assert FrontEvent("plugin_psucontrol_psu_state_changed", {"isPSUOn": False}) in rig.notices
        assert FrontEvent("psucontrol", {"isPSUOn": False}, "plugin") in rig.notices
        assert (await post("/api/plugin/psucontrol", {"command": "togglePSU"})).status == 204
        assert rig.switch.is_on
        assert (await post("/api/plugin/psucontrol", {"command": "boom"})).status == 400


async def test_without_the_companion_there_is_no_switch(tmp_path):
    async with api(tmp_path) as server:
        assert "psucontrol" not in (await server.get("/api/settings")).json["plugins"]
        assert (await server.get("/api/plugin/psucontrol")).status == 404
        assert (await server.post("/api/plugin/psucontrol", {"command": "turnPSUOff"})).status == 404


async def test_the_power_stays_on_in_a_print_unless_forced_off(tmp_path):
    async with bench(tmp_path) as rig:
        await rig.print()
        status, text = await rig.refused("off")
        assert (status, "busy (Printing)" in text) == (409, True)
        assert (await rig.server.post("/api/plugin/psucontrol", {"command": "turnPSUOff"})).status == 409
        await rig.client.job.pause()
        await asyncio.sleep(40)
        assert "Paused" in (await rig.refused("off"))[1]
        assert rig.switch.commands == []
        await rig.client.companions.ask("power", "off", {"device": "lamp"})  # which is not the printer's
        await rig.client.companions.ask("power", "off", {"force": True})
        assert rig.switch.commands == [False]


@pytest.mark.parametrize("delay", ["command_delay", "sense_delay", "late"])
async def test_no_print_begins_while_a_slow_plug_is_going_off(tmp_path, delay):
    """Closing the connection does not take back the command to a plug."""
    async with bench(tmp_path) as rig:
        await rig.server.upload(("file", "part.gcode", SLOW_FILE))
        setattr(rig.switch, delay, 4.5 if delay != "sense_delay" else 3.0)
        await asyncio.sleep(2.1 if delay == "sense_delay" else 0)  # the switch is being sensed
        off = asyncio.create_task(rig.client.companions.ask("power", "off"))
        await asyncio.sleep(0.5)
        for path, body in [
            ("/api/files/local/part.gcode", {"command": "select", "print": True}),
            ("/api/job", {"command": "start"}),
        ]:
            answer = await rig.server.post(path, body)
            assert (answer.status, "is being switched off" in answer.json["error"]) == (409, True)
        assert (await off)["on"] is False
        assert (await rig.client.job.get())["state"] == "Operational"
        setattr(rig.switch, delay, 0.0)
        await rig.client.companions.ask("power", "on")
        await rig.client.job.start()  # nothing holds it back now
        await asyncio.sleep(2)
        assert (await rig.client.job.get())["state"] == "Printing"


async def test_a_print_that_is_beginning_keeps_the_power_on(tmp_path):
    async with bench(tmp_path) as rig:
        rig.server.service.front.jobs.open_starts = 1  # the core has not answered yet
        status, text = await rig.refused("off")
        assert (status, "may be starting" in text) == (409, True)
        assert rig.switch.commands == []


async def test_no_print_resumes_while_the_printer_is_being_switched_off_and_a_toggle_still_pauses(tmp_path):
    async with bench(tmp_path) as rig:
        await rig.print()
        rig.server.service.companions.store_report("power", {"goingOff": True}, {})
        toggle = {"command": "pause", "action": "toggle"}
        assert (await rig.server.post("/api/job", toggle)).status == 204
        await asyncio.sleep(40)
        assert (await rig.client.job.get())["state"] == "Paused"
        rig.server.service.companions.store_report("power", {"goingOff": True}, {})
        for request in (toggle, {"command": "pause", "action": "resume"}):
            answer = await rig.server.post("/api/job", request)
            assert (answer.status, "is being switched off" in answer.json["error"]) == (409, True)
        assert (await rig.client.job.get())["state"] == "Paused"


async def test_an_off_command_that_timed_out_is_undone_when_a_print_begins(tmp_path):
    async with bench(tmp_path) as rig:
        rig.switch.late = 12.0  # longer than any caller waits
        assert (await rig.refused("off"))[0] == 503
        await rig.print()
        await asyncio.sleep(20)
        assert rig.switch.commands == [False, True]
        assert rig.switch.is_on


async def test_a_companion_killed_while_switching_off_does_not_block_prints_for_long(tmp_path):
    async with bench(tmp_path) as rig:
        rig.server.service.companions.store_report("power", {"goingOff": True}, {})
        assert rig.server.service.companions.reason_not_to_print() is not None
        await asyncio.sleep(26)
        assert rig.server.service.companions.reason_not_to_print() is None


@pytest.mark.parametrize("wanted_by", ["command", "cancel"])
@pytest.mark.parametrize("delay", ["command_delay", "late"])
async def test_automatic_power_off_is_undone_while_it_waits_for_a_slow_plug(tmp_path, wanted_by, delay):
    async with bench(tmp_path, auto_off=True, idle_min=1.0, announce_s=10.0) as rig:
        await asyncio.sleep(60)
        setattr(rig.switch, delay, 3.0 if delay == "late" else 20.0)
        while (await rig.state())["waits"] != "being switched off":  # noqa: ASYNC110 - it is asked for over HTTP
            await asyncio.sleep(0.2)
        assert (await rig.state())["offAt"] is None
        assert (await rig.server.post("/api/job", {"command": "start"})).status == 409
        if wanted_by == "command":
            await rig.client.printer.jog(x=1)
        elif delay == "late":
            await rig.client.companions.ask("power", "cancel")  # is answered when the switch says that it is on
            assert rig.switch.is_on
        else:
            assert (await rig.refused("cancel"))[0] == 503  # the outcome is not known yet
        await asyncio.sleep(30)
        assert rig.switch.commands == ([False, True] if delay == "late" else [True])
        assert rig.switch.is_on


async def test_a_cancel_that_comes_too_late_is_refused(tmp_path):
    async with bench(tmp_path, auto_off=True, idle_min=1.0, announce_s=10.0) as rig:
        await asyncio.sleep(60)
        rig.switch.sense_delay = 0.4
        while rig.switch.is_on:  # noqa: ASYNC110 - the switch is no event
            await asyncio.sleep(0.05)
        status, text = await rig.refused("cancel")
        assert (status, text) == (409, "too late: Printer has been switched off")


@pytest.mark.parametrize("wanted_by", ["print", "command", "cancel", "nobody"])
async def test_automatic_power_off_is_cancelled_even_after_its_script_was_sent(tmp_path, wanted_by):
    settings = {"auto_off": True, "idle_min": 1.0, "announce_s": 10.0, "before_off": ("M117 bye",)}
    async with bench(tmp_path, **settings) as rig:
        await asyncio.sleep(60)
        while (await rig.state())["waits"] != "being switched off":  # noqa: ASYNC110 - it is asked for over HTTP
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)  # a command that comes while the script is sent counts as one of the script
        if wanted_by == "print":
            await rig.server.upload(("file", "part.gcode", SLOW_FILE), ("print", b"true"))
        elif wanted_by == "command":
            await rig.client.printer.jog(x=1)
        elif wanted_by == "cancel":
            await rig.client.companions.ask("power", "cancel")
        await asyncio.sleep(30)
        assert rig.switch.commands == ([False] if wanted_by == "nobody" else [])


async def test_a_heater_that_is_on_keeps_the_power_on(tmp_path):
    async with bench(tmp_path) as rig:
        await rig.client.printer.heat({"bed": 60})
        await asyncio.sleep(5)
        assert "bed is heating to 60 °C" in (await rig.refused("off"))[1]


async def test_a_missing_hanging_or_lying_switch_is_reported(tmp_path):
    async with bench(tmp_path) as rig:
        rig.switch.stuck = True
        assert await rig.refused("off") == (503, "Printer was switched off, but reports that it is not")
        rig.switch.error = DeviceError("Printer does not answer")
        await asyncio.sleep(5)
        state = await rig.state()
        assert state["devices"][0] == {
            "name": "Printer", "on": None, "error": "Printer does not answer", "printer": True,
        }  # fmt: skip
        assert await rig.refused("on") == (503, "Printer does not answer")
        assert (await rig.server.get("/api/plugin/psucontrol")).json == {"isPSUOn": False}
        rig.switch.error, rig.switch.stuck = None, False
        await asyncio.sleep(3)
        assert (await rig.state())["on"] is True
        rig.switch.hangs = True
        assert (await rig.refused("off", {"force": True}))[0] == 503


async def test_automatic_power_off_waits_until_the_printer_is_cold(tmp_path):
    async with bench(tmp_path, auto_off=True, idle_min=1.0, announce_s=10.0, before_off=("M117 good night",)) as rig:
        await rig.client.printer.heat({"tool0": 60})
        await asyncio.sleep(100)
        assert rig.switch.commands == []
        await rig.client.printer.heat({"tool0": 0})
        await asyncio.sleep(65)
        hot = (await rig.client.printer.get())["temperature"]["tool0"]["actual"]
        assert (hot < 50) == bool((await rig.state())["offAt"])
        while not rig.switch.commands:
            hot = (await rig.client.printer.get())["temperature"]["tool0"]["actual"]
            await asyncio.sleep(5)
        assert hot < 50
        await asyncio.sleep(2)
        assert not rig.switch.is_on
        assert rig.events().count("PowerOffByItself") == 1
        lines = rig.server.service.core.connection.printer.flight_recorder.tail_since(0.0)
        assert any("good night" in str(line) for line in lines)


async def test_automatic_power_off_is_announced_and_cancelled_by_any_command(tmp_path):
    async with bench(tmp_path, auto_off=True, idle_min=1.0) as rig:
        await asyncio.sleep(75)
        now = NOW + asyncio.get_running_loop().time()
        assert 30 < (await rig.state())["offAt"] - now <= 61
        await rig.client.printer.jog(x=1)
        await asyncio.sleep(3)
        assert (await rig.state())["offAt"] is None
        await asyncio.sleep(70)
        assert (await rig.state())["offAt"] is not None
        await rig.client.companions.ask("power", "cancel")
        await asyncio.sleep(1)
        assert (await rig.state())["offAt"] is None
        await asyncio.sleep(50)
        assert rig.switch.commands == []


async def test_a_heater_that_was_hot_at_the_disconnection_keeps_the_power_on(tmp_path):
    async with bench(tmp_path) as rig:
        await rig.client.printer.heat({"tool0": 200})
        await asyncio.sleep(120)
        await rig.client.connection.disconnect()
        await asyncio.sleep(30)
        status, text = await rig.refused("off")
        assert (status, "tool0" in text) == (409, True)
        await asyncio.sleep(600)
        assert (await rig.client.companions.ask("power", "off"))["on"] is False


async def test_a_disconnected_printer_is_not_idle(tmp_path):
    async with bench(tmp_path, auto_off=True, idle_min=1.0, announce_s=10.0) as rig:
        await rig.client.connection.disconnect()
        await asyncio.sleep(300)
        assert rig.switch.commands == []


async def test_a_connect_switches_the_power_on_first(tmp_path):
    async with bench(tmp_path, "", on=False, on_before_connect=True) as rig:
        await rig.client.connection.connect("VIRTUAL")
        assert rig.switch.is_on
        await asyncio.sleep(10)
        assert (await rig.client.printer.get())["state"]["flags"]["operational"]


async def test_a_job_in_the_queue_switches_the_power_on_once(tmp_path):
    async with bench(tmp_path, "", on=False, on_when_job_queued=True) as rig:
        await rig.server.upload(("file", "part.gcode", b"G28\n"))
        await asyncio.sleep(30)
        assert not rig.switch.is_on
        await rig.client.post("/api/queue", {"command": "add", "path": "part.gcode"})
        await asyncio.sleep(15)
        assert rig.switch.commands == [True]
        await rig.client.companions.ask("power", "off", {"force": True})
        await asyncio.sleep(60)
        assert rig.switch.commands == [True, False]


async def test_only_a_new_entry_of_the_queue_switches_the_power_on(tmp_path):
    async with bench(tmp_path, "", on_when_job_queued=True) as rig:

        async def queue(command, **more):
            answer = (await rig.server.post("/api/queue", {"command": command, **more})).json
            await asyncio.sleep(30)
            return answer

        await rig.server.upload(("file", "part.gcode", b"G28\n"))
        await asyncio.sleep(30)
        first = await queue("add", path="part.gcode")
        await queue("add", path="part.gcode")
        await rig.client.companions.ask("power", "off", {"force": True})
        await queue("remove", id=first["id"])
        await queue("pause")
        await queue("resume")
        assert rig.switch.commands == [False]
        await queue("pause")
        await queue("add", path="part.gcode")
        assert rig.switch.commands == [False]
        await queue("resume")
        assert rig.switch.commands == [False, True]
        await queue("pause")
        await queue("add", path="part.gcode")
        await rig.client.companions.ask("power", "off", {"force": True})
        await queue("resume")
        assert rig.switch.commands == [False, True, False], "the entry is from before the power went off"


async def test_an_unconfirmed_stop_cuts_the_power_if_configured(tmp_path):
    for cut in (False, True):
        async with bench(tmp_path / str(cut), cut_unconfirmed_stop=cut) as rig:
            rig.server.service.events.publish("EmergencyStop", {"confirmed": True})
            await asyncio.sleep(1)
            assert rig.switch.commands == []
            rig.server.service.events.publish("EmergencyStop", {"confirmed": False})
            await asyncio.sleep(1)
            assert rig.switch.commands == ([False] if cut else [])
            assert ("PowerCut" in rig.events()) is cut


async def test_a_heater_fault_cuts_the_power_if_configured(tmp_path):
    halt = {"error": "the firmware halted: Error:Thermal Runaway, system stopped! Heater_ID: 0", "reason": "connection"}
    for cut in (False, True):
        async with bench(tmp_path / str(cut), cut_heater_fault=cut) as rig:
            rig.server.service.events.publish("Error", {"error": "/dev/ttyUSB0 is gone", "reason": "connection"})
            await asyncio.sleep(1)
            assert rig.switch.commands == []
            rig.server.service.events.publish("Error", halt)
            await asyncio.sleep(1)
            assert rig.switch.commands == ([False] if cut else [])


@pytest.mark.parametrize("was_ready", [True, False])
async def test_a_heater_fault_whose_event_was_missed_cuts_the_power_unless_it_is_older_than_the_companion(
    tmp_path, was_ready
):
    """A fault from before the start of the companion cuts nothing."""
    async with bench(tmp_path, cut_heater_fault=True) as rig:
        halted = "the firmware halted: Error:Thermal Runaway, system stopped! Heater_ID: 0"

        async def get(path):
            if path.startswith("/api/printer"):
                raise refusal("GET /api/printer", 409, "not operational")
            return {"state": "Offline after error", "error": halted}

        await asyncio.sleep(10)
        rig.power._was_ready = rig.power._was_ready and was_ready
        rig.power.watch._client = SimpleNamespace(get=get)
        await asyncio.sleep(100)
        assert rig.events().count("PowerCut") == was_ready
        assert rig.switch.is_on is not was_ready


async def test_read_only_keys_cannot_switch(tmp_path):
    async with bench(tmp_path) as rig:
        looker = rig.server.service.front.access.keyring.add("tv", Scope.READ)
        for command, status in (("getPSUState", 200), ("turnPSUOff", 403), ("togglePSU", 403)):
            answer = await rig.server.post("/api/plugin/psucontrol", {"command": command}, key=looker)
            assert answer.status == status, command
        refused = await rig.server.post("/api/companions/power/ask", {"do": "off", "with": {"force": True}}, key=looker)
        assert refused.status == 403
        assert rig.switch.commands == []


@asynccontextmanager
async def cutting(switch):
    """Cut a switch in an emergency, and go on trying until the end of the block; yields what is reported."""
    reports = []
    task = asyncio.create_task(switch.cut(reports.append))
    await asyncio.sleep(0)
    try:
        yield reports
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_switch_that_was_cut_in_an_emergency_is_not_switched_on_again():
    """An off is under way, a command objects to it, and in the same second a heater fails."""
    device = FakeSwitch()
    device.command_delay = 5.0
    switch = Switch(DeviceConfig(name="plug", role="printer"), device)
    reasons = iter([None, None, "the printer is in use again"])

    async def objection():
        return next(reasons)

    turning = asyncio.ensure_future(switch.turn(on=False, objection=objection))
    await asyncio.sleep(1.5)
    async with cutting(switch) as reports:
        with pytest.raises(SwitchingWithdrawn):
            await turning
        await asyncio.sleep(10)
        assert reports == [None]
        assert device.commands == [False]
        assert not device.is_on
        device.command_delay = 0.0
        await switch.turn(on=True)
        await asyncio.sleep(100)
        assert device.commands == [False, True], "it was requested"
        assert device.is_on


async def test_a_cut_before_an_off_is_sent_counts_too():
    """The heater fails while the printer is asked whether it may be switched off; a command comes a moment later."""
    device = FakeSwitch()
    device.command_delay = 5.0
    switch = Switch(DeviceConfig(name="plug", role="printer"), device)
    reasons = iter([None, "the printer is in use again"])

    async def objection():
        await asyncio.sleep(1)
        return next(reasons)

    turning = asyncio.ensure_future(switch.turn(on=False, objection=objection))
    await asyncio.sleep(0.5)
    async with cutting(switch):
        with pytest.raises(SwitchingWithdrawn):
            await turning
        assert True not in device.commands
        await switch.turn(on=False)
        await switch.stay_on()
        assert True not in device.commands, "an off is no wish to switch it on"
        await switch.turn(on=True)
        assert device.is_on


async def test_an_on_requested_before_a_cut_does_not_undo_it():
    device = FakeSwitch()
    device.command_delay = 5.0
    switch = Switch(DeviceConfig(name="plug", role="printer"), device)
    turning_off = asyncio.ensure_future(switch.turn(on=False))
    await asyncio.sleep(1)
    turning_on = asyncio.ensure_future(switch.turn(on=True))
    await asyncio.sleep(1)
    async with cutting(switch):
        await turning_off
        with pytest.raises(
            DeviceError, match="plug has just been switched off in an emergency; switch it on once more"
        ):
            await turning_on
        assert True not in device.commands
        await asyncio.sleep(10)
        await switch.turn(on=True)
        assert device.is_on


@pytest.mark.parametrize("delay", ["command_delay", "late"])
@pytest.mark.parametrize("under_way", ["request", "request that waits", "undone off"])
async def test_an_on_that_is_under_way_does_not_survive_an_emergency_cut(under_way, delay):
    device = FakeSwitch(under_way == "undone off")
    switch = Switch(DeviceConfig(name="plug", role="printer"), device)
    if under_way == "undone off":
        switch.state, switch.may_still_go_off = True, True
        setattr(device, delay, 5.0)
        turning = asyncio.create_task(switch.stay_on())
    else:
        device.sense_delay = 2.0 if under_way == "request that waits" else 0.0
        reading = asyncio.create_task(switch.read())
        await asyncio.sleep(0.1)
        setattr(device, delay, 5.0)
        turning = asyncio.create_task(switch.turn(on=True))
    await asyncio.sleep(1)
    device.sense_delay = 0.0
    if delay == "command_delay":
        device.command_delay = 0.0
    else:
        device.late = 0.1
    async with cutting(switch) as reports:
        done = (await asyncio.wait((turning,), timeout=30))[0]
        assert done
        assert isinstance(turning.exception(), DeviceError) is (under_way != "undone off")
        await asyncio.sleep(30)
        assert not device.is_on, device.commands
        assert device.commands[-1] is False
        assert reports == [None]
    if under_way != "undone off":
        await reading


async def test_an_off_after_an_emergency_cut_is_not_undone():
    device = FakeSwitch()
    switch = Switch(DeviceConfig(name="plug", role="printer"), device)
    async with cutting(switch):
        await asyncio.sleep(10)
        device.late = 12.0
        reasons = iter([None, "it is in use"])

        async def objection():
            return next(reasons)

        with pytest.raises(SwitchingWithdrawn):
            await switch.turn(on=False, objection=objection)
        await switch.stay_on()
    assert True not in device.commands


async def test_an_emergency_cut_is_tried_until_the_switch_is_off_and_the_user_is_told():
    device = FakeSwitch()
    switch = Switch(DeviceConfig(name="plug", role="printer"), device)
    device.error = DeviceError("plug does not answer")
    async with cutting(switch) as reports:
        await asyncio.sleep(5)
        assert reports == []
        await asyncio.sleep(10)
        assert reports == ["plug does not answer"]
        device.error, device.stuck = None, True
        with pytest.raises(DeviceError, match="in an emergency"):
            await switch.turn(on=True)
        await asyncio.sleep(10)
        device.stuck = False
        await asyncio.sleep(10)
        assert reports == ["plug does not answer", None]
        assert not device.is_on


async def test_a_switch_that_lies_was_not_cut():
    device = FakeSwitch()
    device.stuck = True
    switch = Switch(DeviceConfig(name="plug", role="printer"), device)
    async with cutting(switch) as reports:
        await asyncio.sleep(200)
        assert reports == ["plug was switched off, but reports that it is not"]
        offs = len(device.commands)
        await asyncio.sleep(200)
        assert len(device.commands) == offs, "it ends"


async def test_a_switch_without_a_state_is_repeatedly_sent_off_in_an_emergency():
    device = FakeSwitch()

    async def sense():
        return None

    device.sense = sense
    switch = Switch(DeviceConfig(name="plug", role="printer"), device)
    async with cutting(switch) as reports:
        await asyncio.sleep(5)
        assert reports == [None]
        device.is_on = True  # an earlier command has arrived
        await asyncio.sleep(6)
        assert not device.is_on


async def test_the_queue_does_not_switch_on_what_was_cut_in_an_emergency(tmp_path):
    async with bench(tmp_path, "", on_when_job_queued=True) as rig:
        await rig.server.upload(("file", "part.gcode", b"G28\n"))
        await asyncio.sleep(30)
        rig.power.cut("test")
        await asyncio.sleep(30)
        await rig.client.post("/api/queue", {"command": "add", "path": "part.gcode"})
        await asyncio.sleep(100)
        assert not rig.switch.is_on
        await rig.client.companions.ask("power", "on")
        assert rig.switch.is_on


async def test_no_print_begins_during_an_emergency_cut(tmp_path):
    async with bench(tmp_path) as rig:
        rig.switch.error = DeviceError("Printer does not answer")
        await rig.server.upload(("file", "part.gcode", SLOW_FILE), ("select", b"true"))
        rig.power.cut("test")
        await asyncio.sleep(2)
        assert (await rig.state())["goingOff"]
        answer = await rig.server.post("/api/job", {"command": "start"})
        assert (answer.status, "is being switched off" in answer.json["error"]) == (409, True)
        await asyncio.sleep(30)
        assert not (await rig.state())["goingOff"]
        assert rig.events().count("PowerCut") == 1


async def test_the_end_of_an_earlier_cut_lets_no_print_begin_during_the_next(tmp_path):
    async with bench(tmp_path) as rig:
        rig.power.cut("the first")
        await asyncio.sleep(5)
        assert not (await rig.state())["goingOff"]
        rig.switch.error = DeviceError("Printer does not answer")
        await rig.server.upload(("file", "part.gcode", SLOW_FILE), ("select", b"true"))
        rig.power.cut("the second")
        await asyncio.sleep(8)
        assert (await rig.state())["goingOff"]
        assert (await rig.server.post("/api/job", {"command": "start"})).status == 409
