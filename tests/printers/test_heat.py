"""A wait for heat uses the target that the firmware reports, and always ends."""

import pytest

from daemon.bridge.words import JobState as S
from support.fake_firmware import MARLIN, SQUARE, FakeFirmware, cap, rig
from support.fake_printers import Klipper, Malyan, Prusa, Repetier

SOON = {"heat_report_s": 8.0}


class Clamps(FakeFirmware):
    most = 100.0
    heater = "B"
    form = "T:{:.2f} /{:.2f} B:{:.2f} /{:.2f} @:0 B@:0"

    def set_target(self, heater, target):
        super().set_target(heater, min(target, self.most) if heater == self.heater else target)

    def report(self):
        return self.form.format(*self.read("T"), *self.read("B"))


@pytest.mark.parametrize(
    ("line", "heater", "most"),
    [("M190 S110", "B", 100.0), ("M109 S295", "T", 260.0), ("M104 S300\nM109 S300", "T", 275.0)],
)
async def test_a_target_that_the_firmware_lowers_is_waited_for_and_reported(tmp_path, line, heater, most):
    firmware = type("Clamped", (Clamps,), {"most": most, "heater": heater})
    async with rig(tmp_path, firmware, job=SOON) as host:
        await host.print(f"{line}\n{SQUARE}")
        await host.expect_end(S.COMPLETED, within=90)
        assert host.log_entries(f"to {most:g} °C instead of")


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("M109 S202.5", "T:{:.0f} /{:.0f} B:{:.0f} /{:.0f}"),
        ("M109 S199.6", "T:{:.0f} /{:.0f} B:{:.0f} /{:.0f}"),
        ("M190 S60.4", "T:{:.1f} /{:.0f} B:{:.1f} /{:.0f} @:0 B@:0"),
    ],
)
async def test_a_target_reported_in_whole_degrees_is_the_requested_one(tmp_path, line, form):
    firmware = type("Whole", (Clamps,), {"most": 999.0, "form": form})

    async with rig(tmp_path, firmware, job=SOON) as host:
        await host.print(f"{line}\n{SQUARE}")
        await host.expect_end(S.COMPLETED, within=90)


async def test_a_refused_target_does_not_keep_a_print_waiting_for_ever(tmp_path):
    """The target stays 0, so the heater never gets hot: the print ends instead."""
    firmware = type("Refuses", (Clamps,), {"most": 0.0, "heater": "T"})
    async with rig(tmp_path, firmware, job=SOON) as host:
        await host.print(f"M109 S200\n{SQUARE}")
        assert await host.wait_for_end(within=1800) is S.FAILED
        assert "200" in await host.error()


# -- heaters that no report shows --


@pytest.mark.parametrize("line", ["M140 S60\nM190 S60", "M190 S60", "M141 S50\nM191 S50", "M191 S50", "M190 R40"])
async def test_the_wait_for_a_missing_heater_is_left_to_the_firmware(tmp_path, line):
    class Bare(FakeFirmware):
        bed = False

        def on(self, number, command, raw):
            if command.startswith(("M140", "M190", "M141", "M191")):
                return f'echo:Unknown command: "{command}"', "ok"
            return None

    async with rig(tmp_path, Bare, job=SOON) as host:
        await host.print(f"{line}\n{SQUARE}")
        await host.expect_end(S.COMPLETED)
        assert host.firmware.arrival_times(line.split("\n")[-1]), "the file's own command goes to the firmware"


@pytest.mark.parametrize("line", ["M190 S60", "M191 S40"])
async def test_the_wait_for_a_heater_without_reports_is_left_to_the_firmware(tmp_path, line):
    class Quiet(FakeFirmware):
        bed = False
        heat_rate = 2.0

        def on(self, number, command, raw):
            if command.startswith("M191"):
                return 20.0, "ok"
            return None

    async with rig(tmp_path, Quiet, job=SOON) as host:
        await host.print(f"{line}\n{SQUARE}")
        took = await host.until(lambda: host.firmware.arrival_times("G28"), 120)
        assert took > 15
        await host.expect_end(S.COMPLETED)


MMU = (
    "T1\nM104 S210\nM109 S210\n",
    "T1\nM109 T1 S210\n",
    "M104 T0 S200\nT2\nM109 S210\n",
    "M109 T3 S210\nT3\n",
    "T4\nM109 R190\n",
)


@pytest.mark.parametrize("start", MMU)
async def test_a_shared_hotend_is_waited_for_by_any_tool(tmp_path, start):
    class Mmu(Prusa):
        m115 = (Prusa.m115[0].replace("EXTRUDER_COUNT:1", "EXTRUDER_COUNT:5"), *Prusa.m115[1:])

        def on(self, number, command, raw):
            return ("ok",) if command.startswith("T") else super().on(number, command, raw)

    async with rig(tmp_path, Mmu, profile={"extruders": 5}, job=SOON) as host:
        await host.print(start + SQUARE)
        await host.until(lambda: host.firmware.arrival_times("G28"), 90)
        assert host.firmware.read("T")[0] > 185
        await host.expect_end(S.COMPLETED)


async def test_heat_is_waited_for_with_reports_of_the_tool_in_use_alone(tmp_path):
    """SINGLENOZZLE and old dual-extruder boards report only T:, for the tool in use."""

    class Dual(FakeFirmware):
        m115 = (MARLIN.replace("EXTRUDER_COUNT:1", "EXTRUDER_COUNT:2"), *cap(AUTOREPORT_TEMP=0))

    async with rig(tmp_path, Dual, profile={"extruders": 2}, job=SOON) as host:
        await host.print(f"T1\nM109 S210\n{SQUARE}T0\nM109 S200\n{SQUARE}")
        await host.expect_end(S.COMPLETED, within=120)


async def test_the_wait_for_a_heater_that_becomes_unreadable_ends_in_time(tmp_path):
    class Loose(FakeFirmware):
        heat_rate = 2.0

        def report(self):
            actual, target = self.read("T")
            return f"T:{'nan' if actual > 100 else round(actual, 1)} /{target:.1f} B:22.0 /0.0"

    async with rig(tmp_path, Loose, job=SOON) as host:
        await host.print(f"M109 S200\n{SQUARE}")
        assert await host.wait_for_end(within=80) is S.FAILED
        assert "no temperature of tool0" in await host.error()
        assert not host.firmware.arrival_times("G28")


async def test_standby_cools_the_tool_in_use_if_only_that_is_reported(tmp_path):
    """The tool in use is reported as `T:`; the nozzle of tool 0 is and stays cold."""

    class Dual(FakeFirmware):
        move_seconds = 0.2
        m115 = (MARLIN.replace("EXTRUDER_COUNT:1", "EXTRUDER_COUNT:2"), *cap(AUTOREPORT_TEMP=0))

        def __init__(self):
            super().__init__()
            self.heat["T1"] = [self.ambient, 0.0]
            self.tool = "T"

        def report(self):
            return "T:{:.2f} /{:.2f} B:{:.2f} /{:.2f}".format(*self.read(self.tool), *self.read("B"))

        def on(self, number, command, raw):
            if command in ("T0", "T1"):
                self.tool = command.replace("T0", "T")
                return ("ok",)
            if command.startswith("M104"):
                named = {"T0": "T", "T1": "T1"}.get(command[5:7], self.tool)
                self.set_target(named, float(command.rpartition("S")[2]))
                return ("ok",)
            return None

    pause = {"standby_after_min": 0.1, "standby_c": 150.0}
    async with rig(tmp_path, Dual, profile={"extruders": 2}, pause=pause) as host:
        await host.print("T1\nM109 T1 S210\nG28\n" + "G1 X10\nG1 X20\n" * 50)
        await host.until(lambda: host.firmware.arrival_times("G1"))
        await host.command_job("pause", "pause")
        await host.reach(S.PAUSED)
        await host.sleep(20)
        assert (host.firmware.read("T1")[1], host.firmware.read("T")[1]) == (150, 0)
        await host.command_job("pause", "resume")
        await host.reach(S.PRINTING)
        assert (host.firmware.read("T1"), host.firmware.read("T")[1]) == ((210, 210), 0)


async def test_klipper_extruders_are_known_by_their_names(tmp_path):
    class Two(Klipper):
        def on(self, number, command, raw):
            if command.startswith("M105"):
                hot = self.read("T")
                return ("ok B:{:.1f} /{:.1f} T0:22.0 /0.0 T1:{:.1f} /{:.1f}".format(*self.read("B"), *hot),)
            return super().on(number, command, raw)

    async with rig(tmp_path, Two, profile={"extruders": 2}, job=SOON) as host:
        await host.print(f"M104 T1 S210\nM109 T1 S210\n{SQUARE}")
        await host.expect_end(S.COMPLETED)


# -- waits have an end --


@pytest.mark.parametrize("line", ["M190 R5", "M109 R10"])
async def test_a_wait_for_cooling_below_room_temperature_ends(tmp_path, line):
    async with rig(tmp_path, FakeFirmware, job=SOON) as host:
        await host.print(f"{line}\n{SQUARE}")
        await host.expect_end(S.COMPLETED, within=1800)


async def test_the_host_waits_for_cooling_if_the_firmware_cannot(tmp_path):
    """Repetier does not read R, and waits for nothing."""

    class Hot(Repetier):
        heat_rate = 2.0

    async with rig(tmp_path, Hot, job=SOON) as host:
        await host.print(f"M104 S150\nM109 R100\n{SQUARE}")
        await host.until(lambda: host.firmware.arrival_times("G28"), 300)
        assert host.firmware.read("T") == (pytest.approx(100, abs=2), 100)
        assert not host.firmware.arrival_times("M109")


async def test_a_heater_that_never_reaches_its_target_ends_the_print_in_bounded_time(tmp_path):
    """A fan blows at the block: 150 degrees is all that it reaches, and the firmware's own watch is off."""

    class Weak(FakeFirmware):
        def read(self, heater):
            actual, target = super().read(heater)
            if heater == "T":
                self.heat["T"][0] = actual = min(actual, 150.0)
            return actual, target

    async with rig(tmp_path, Weak, job=SOON) as host:
        await host.print(f"M109 S200\n{SQUARE}")
        assert await host.wait_for_end(within=4 * 3600) is S.FAILED
        assert host.firmware.read("T")[1] == 0


async def test_a_target_changed_at_the_panel_meanwhile_is_followed(tmp_path):
    class Slow(FakeFirmware):
        heat_rate = 2.0

    async with rig(tmp_path, Slow, job=SOON) as host:
        await host.print(f"M109 S230\n{SQUARE}")
        await host.sleep(20)
        host.firmware.set_target("T", 190.0)  # turned down by the knob
        await host.expect_end(S.COMPLETED, within=300)


# -- reports of many kinds --

FORMS = {
    "a blank": " T:{0:.2f} /{1:.2f} B:{2:.2f} /{3:.2f} @:0 B@:0",
    "equals": "==T:{0:.2f} /{1:.2f} ==B:{2:.2f} /{3:.2f} @:0 B@:0",
    "not a number beside it": "T:nan /{1:.2f} B:{2:.2f} /{3:.2f} @:0",
    "infinite beside it": "T:-inf /{1:.2f} B:{2:.2f} /{3:.2f} @:0",
    "no target blank": "T:{0:.2f}/{1:.2f} B:{2:.2f}/{3:.2f}",
    "raw values": "T:{0:.2f} /{1:.2f} (327.6800) B:{2:.2f} /{3:.2f} (1234.0) @:0 B@:0",
    "bed first": "B:{2:.1f} /{3:.1f} T0:{0:.1f} /{1:.1f}",
    "tools and sensors": "T:{0:.2f} /{1:.2f} B:{2:.2f} /{3:.2f} T0:{0:.2f} /{1:.2f} T1:22.0 /0.0 @:0 P:33.1 A:30.2",
    "chamber and probe": "T:{0:.2f} /{1:.2f} B:{2:.2f} /{3:.2f} C:31.50 /0.00 P:29.1 /0.00 @:0 B@:0 C@:0",
    "redundant": "T:{0:.2f} /{1:.2f} R:{0:.2f} /0.00 B:{2:.2f} /{3:.2f} @:0 B@:0",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("apart", [False, True])
async def test_the_bed_temperature_is_read_from_every_form_of_report(tmp_path, form, apart):
    class Odd(FakeFirmware):
        def on(self, number, command, raw):
            if command == "M105":
                report = FORMS[form].format(*self.read("T"), *self.read("B"))
                return (report, "ok") if apart else (f"ok {report.strip()}",)
            return None

    async with rig(tmp_path, Odd, job=SOON) as host:
        await host.sleep(3)
        bed = (await host.api.get("/api/printer")).json["temperature"]["bed"]
        assert bed["actual"] == 22.0
        await host.print(f"M140 S50\nM190 S50\n{SQUARE}")
        await host.until(lambda: host.firmware.arrival_times("G28"))
        assert host.firmware.read("B")[0] > 48
        await host.expect_end(S.COMPLETED)


async def test_a_malyan_is_recognised_and_waited_for(tmp_path):
    for has_number in (True, False):
        async with rig(
            tmp_path / str(has_number), type("One", (Malyan,), {"has_number": has_number}), job=SOON
        ) as host:
            await host.sleep(3)
            hot = (await host.api.get("/api/printer")).json["temperature"]["tool0"]
            assert hot["actual"] == 22.0
            await host.print(f"M104 S200\nM109 S200\n{SQUARE}")
            await host.expect_end(S.COMPLETED)
            assert host.firmware.job_commands[-7:-2] == SQUARE.splitlines()


@pytest.mark.parametrize("form", ["T:{t} /{tt} B:{b} /{bt}", "B:{b} /{bt}", "T:{t} /{tt}"])
async def test_a_resume_waits_for_a_heater_whose_reports_have_stopped(tmp_path, form):
    """The cable was pulled in the pause, so there are no earlier reports: nothing moves before everything is hot."""

    class Forgets(FakeFirmware):
        move_seconds = 0.2
        resets = False
        heat_rate = 5.0
        form = "T:{t} /{tt} B:{b} /{bt}"

        def report(self):
            (hotend, hot), (bed, warm) = self.read("T"), self.read("B")
            return self.form.format(t=round(hotend, 1), tt=hot, b=round(bed, 1), bt=warm)

    pause = {"standby_after_min": 0.1, "standby_c": 50.0}
    async with rig(tmp_path, Forgets, job=SOON, pause=pause) as host:
        await host.print("M140 S60\nM109 S210\nM190 S60\nG28\n" + "G1 X10\nG1 X20\n" * 20)
        await host.until(lambda: host.firmware.arrival_times("G1"), 120)
        await host.command_job("pause", "pause")
        await host.reach(S.PAUSED)
        await host.sleep(60)
        host.firmware.unplug()
        host.firmware.form = form
        host.firmware.set_target("B", 0.0)
        await host.sleep(1)
        host.firmware.plug()
        await host.until(lambda: host.ready, 60)
        await host.sleep(10)
        began = host.now
        await host.command_job("pause", "resume")
        await host.until(lambda: host.firmware.arrival_times("G1", after=began), 120)
        assert host.firmware.read("T")[0] > 205
        assert host.firmware.read("B")[0] > 55
        await host.expect_end(S.COMPLETED, within=120)
