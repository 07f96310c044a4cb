"""Further printers as people have reported them: shutdowns at the start, waits for a knob, panels, two hotends."""

import pytest

from daemon.bridge.words import JobState as S
from support.fake_firmware import KILLED, MARLIN, FakeFirmware, cap, rig
from support.fake_printers import Klipper, Prusa, Repetier, Smoothie

SQUARE = "G28\nG1 X10 Y10 F3000\nG1 X20\nG1 Y20\nG1 X10\n"
MOVES = [f"G1 X{n}" for n in range(100)]


def lines(commands):
    return "".join(f"{command}\n" for command in commands)


def moves_of(firmware):
    return [command for command in firmware.done if command.startswith("G1 X")]


def is_cold(firmware):
    return firmware.read("T")[1] == firmware.read("B")[1] == 0


# -- who is not ready yet --


async def test_a_klipper_that_starts_is_connected_to_when_it_has_started(tmp_path):
    class Starts(Klipper):
        ready_at = 0.0

        def on(self, number, command, raw):
            if self.now < self.ready_at:
                return (
                    "// Printer is not ready",
                    "// The klippy host software is attempting to connect.",
                    "!! Printer is not ready",
                    "ok",
                )
            return super().on(number, command, raw)

    firmware_class = Starts
    async with rig(tmp_path, firmware_class, printer={"connect": False}) as it:
        it.firmware.ready_at = it.now + 20
        await it.sleep(25)
        await it.until(lambda: it.ready, 60)
        await it.print(SQUARE)
        await it.ended(S.COMPLETED)


async def test_a_klipper_that_is_shut_down_from_the_beginning_is_there_when_it_is_restarted(tmp_path):
    class Shut(Klipper):
        shut = "Shutdown due to webhooks request"

    async with rig(tmp_path, Shut, printer={"connect": False}) as it:
        await it.sleep(60)
        it.firmware.shut = None
        await it.until(lambda: it.ready, 60)
        await it.print(SQUARE)
        await it.ended(S.COMPLETED)


# -- halts in words of their own --


@pytest.mark.parametrize(
    ("board", "told", "words"),
    [
        (FakeFirmware, ("Error:0", ": Extruder switched off. MAXTEMP triggered !", KILLED), "MAXTEMP"),
        (FakeFirmware, ("Error:Heater decoupled", KILLED), "Heater decoupled"),
        (Prusa, ("TM: error triggered!", "Error:THERMAL ANOMALY", KILLED), "THERMAL ANOMALY"),
        (Smoothie, ("ALARM: Hard limit +X", "!!"), "Hard limit"),
        (Smoothie, ("ERROR: Temperature took too long to be reached on T, HALT asserted", "!!"), "took too long"),
    ],
)
async def test_a_halt_in_the_middle_of_a_print_ends_it_with_its_reason(tmp_path, board, told, words):
    class Halts(board):
        def on(self, number, command, raw):
            if command == "G1 X40" and isinstance(self, Smoothie):
                self.stop(*told[:-1])
                return (told[-1],)
            if command == "G1 X40":
                self.halt(*told)
                return ()
            return super().on(number, command, raw)

    async with rig(tmp_path, Halts) as it:
        await it.print("M104 S200\n" + lines(MOVES))
        await it.ended(S.FAILED, within=120)
        assert words in await it.error()


async def test_a_repetier_in_its_fatal_state_fails_the_print_and_is_there_after_m999(tmp_path):
    text = (
        "fatal:Heater/sensor error - Printer stopped and heaters disabled due to this error. "
        "Fix error and restart with M999."
    )

    class Fatal(Repetier):
        fatal = False

        def on(self, number, command, raw):
            if command.startswith("M999"):
                self.fatal = False
                return ("info:Continue from fatal state",)
            if command == "G1 X40" and not self.fatal and len(self.done) < 90:
                self.fatal = True
                self.set_target("T", 0.0)
                return "Error:Temp. raises to slow. Possible short in heating element", text
            if self.fatal:
                return (text,)
            return super().on(number, command, raw)

    async with rig(tmp_path, Fatal) as it:
        await it.print("M104 S200\n" + lines(MOVES))
        await it.ended(S.FAILED, within=60)
        assert is_cold(it.firmware)
        it.firmware.fatal = False
        await it.until(lambda: it.ready, 90)
        await it.print(SQUARE)
        await it.ended(S.COMPLETED)


# -- waits for a knob --


class Knob(FakeFirmware):
    """Waits for its knob, for as long as it takes; hears nothing meanwhile but says that it is busy."""

    m115 = (MARLIN, *cap(EMERGENCY_PARSER=0))
    pressed = False

    def on(self, number, command, raw):
        if command.startswith("M600"):
            return self._wait()
        return (0.05, "ok") if command.startswith("G1") else None

    def _wait(self):
        while not self.pressed:
            yield "echo:busy: paused for user"
            yield 2.0
        yield "ok"


async def test_a_cancel_while_the_printer_waits_for_its_knob_is_over_in_bounded_time(tmp_path):
    async with rig(tmp_path, Knob) as it:
        await it.print("M140 S60\nM104 S200\n" + lines(MOVES[:20]) + "M600\n" + lines(MOVES[20:]))
        await it.until(lambda: it.firmware.arrived("M600"))
        await it.sleep(30)
        began = it.now
        await it.job("cancel")
        await it.end(within=900)
        assert min(it.firmware.arrived("M104 S0", began)) - began < 0.2
        await it.sleep(10)
        assert is_cold(it.firmware) or it.firmware.arrived("M112", began)


async def test_a_cancel_while_the_knob_is_pressed_late_is_a_cancel(tmp_path):
    async with rig(tmp_path, Knob) as it:
        await it.print("M140 S60\nM104 S200\n" + lines(MOVES[:20]) + "M600\n" + lines(MOVES[20:]))
        await it.until(lambda: it.firmware.arrived("M600"))
        await it.job("cancel")
        await it.sleep(20)
        it.firmware.pressed = True
        await it.ended(S.CANCELLED, within=60)
        assert is_cold(it.firmware)
        assert not it.firmware.arrived("M112")


async def test_a_change_of_filament_that_ends_at_the_printer_goes_on_by_itself(tmp_path):
    class Panel(Knob):
        m115 = (MARLIN, *cap(EMERGENCY_PARSER=0, HOST_ACTION_COMMANDS=1))

        def _wait(self):
            yield "//action:paused filament_change"
            for _ in range(10):
                yield "echo:busy: paused for user"
                yield 2.0
            yield "//action:resumed"
            yield "ok"

    async with rig(tmp_path, Panel) as it:
        await it.print(lines([*MOVES[:20], "M600", *MOVES[20:]]))
        await it.ended(S.COMPLETED, within=90)
        assert moves_of(it.firmware) == MOVES


# -- panels --


class Panel(FakeFirmware):
    """A panel whose buttons are the host's: it only asks."""

    m115 = (MARLIN, *cap(EMERGENCY_PARSER=0, HOST_ACTION_COMMANDS=1))

    def on(self, number, command, raw):
        return (0.1, "ok") if command.startswith("G1") else None


async def test_a_print_is_paused_gone_on_with_and_cancelled_at_the_panel(tmp_path):
    async with rig(tmp_path, Panel) as it:
        await it.print("M104 S200\n" + lines(MOVES))
        await it.sleep(2)
        it.firmware.say("//action:pause")
        await it.reach(S.PAUSED)
        it.firmware.say("//action:pause")
        await it.sleep(5)
        assert it.state is S.PAUSED
        it.firmware.say("//action:resume")
        await it.reach(S.PRINTING)
        await it.sleep(1)
        it.firmware.say("//action:pause")
        await it.reach(S.PAUSED)
        it.firmware.say("//action:cancel")
        await it.ended(S.CANCELLED, within=20)
        assert is_cold(it.firmware)


async def test_a_pause_and_a_resume_at_once_end_as_a_print(tmp_path):
    async with rig(tmp_path, Panel) as it:
        await it.print(lines(MOVES))
        for _ in range(5):
            await it.sleep(1)
            await it.job("pause", "pause")
            await it.job("pause", "resume")
        await it.ended(S.COMPLETED, within=90)
        assert [c for c in moves_of(it.firmware) if " F" not in c] == MOVES


async def test_a_second_cancel_and_then_a_stop_are_taken(tmp_path):
    class Slow(Panel):
        def on(self, number, command, raw):
            return self._long() if command.startswith("G29") else super().on(number, command, raw)

        def _long(self):
            for _ in range(60):
                yield 2.0
                yield "echo:busy: processing"
            yield "ok"

    async with rig(tmp_path, Slow) as it:
        await it.print("M104 S200\nG28\nG29\n" + lines(MOVES))
        await it.until(lambda: it.firmware.arrived("G29"))
        await it.job("cancel")
        await it.sleep(5)
        await it.job("cancel")
        assert it.state is S.CANCELLING
        began = it.now
        assert (await it.gcode("M112")).status == 204
        assert await it.until(lambda: it.firmware.arrived("M112", began), 1) < 0.1
        await it.end(within=30)


@pytest.mark.parametrize("command", ["m112", "M112 ; now", " M112", "M112\n", "N5 M112*3"])
async def test_a_stop_is_one_however_it_is_written(tmp_path, command):
    async with rig(tmp_path, Panel) as it:
        await it.print(lines(MOVES))
        await it.sleep(2)
        began = it.now
        answer = await it.gcode(command)
        if answer.status == 204:
            assert await it.until(lambda: it.firmware.arrived("M112", began), 1) < 0.1
        else:
            assert answer.status == 400


# -- heat --


@pytest.mark.parametrize("board", [FakeFirmware, Prusa, Repetier, Klipper])
@pytest.mark.parametrize("line", ["M109 S0", "M190 S0", "M109 S0\nM190 S0"])
async def test_a_wait_for_a_heater_that_is_turned_off_is_none(tmp_path, board, line):
    """Some files end so, and nobody wants to wait for the room's temperature."""

    class Slow(board):
        heat_rate = 5.0

    async with rig(tmp_path, Slow) as it:
        await it.print(f"M104 S100\nM109 S100\nM140 S50\nG28\n{line}\nM84\n")
        await it.until(lambda: "G28" in it.firmware.done, 200)
        began = it.now
        await it.ended(S.COMPLETED, within=60)
        assert it.now - began < 12


async def test_two_hotends_are_each_waited_for(tmp_path):
    class Two(FakeFirmware):
        m115 = (MARLIN.replace("EXTRUDER_COUNT:1", "EXTRUDER_COUNT:2"), *cap(AUTOREPORT_TEMP=0))
        heat_rate = 5.0

        def __init__(self):
            super().__init__()
            self.heat["T1"] = [22.0, 0.0]

        def report(self):
            first, second, bed = self.read("T"), self.read("T1"), self.read("B")
            return "T:{:.1f} /{:.1f} B:{:.1f} /{:.1f} T0:{:.1f} /{:.1f} T1:{:.1f} /{:.1f} @:0 B@:0".format(
                *first, *bed, *first, *second
            )

        def on(self, number, command, raw):
            if command.startswith(("M104 T1", "M109 T1")):
                self.set_target("T1", float(command.split("S")[1]))
                return ("ok",)
            return None

    async with rig(tmp_path, Two, profile={"extruders": 2}) as it:
        await it.print(f"M104 T0 S200\nM104 T1 S180\nM109 T0 S200\nM109 T1 S180\n{SQUARE}")
        await it.until(lambda: it.firmware.arrived("G28"), 200)
        assert it.firmware.read("T")[0] > 198
        assert it.firmware.read("T1")[0] > 178
        await it.ended(S.COMPLETED)


async def test_a_report_that_stops_for_good_ends_a_wait_for_heat(tmp_path):
    """The sensor is torn off, and the firmware tells nothing of it any more."""

    class Torn(FakeFirmware):
        heat_rate = 2.0

        def report(self):
            return super().report() if self.read("T")[0] < 100 else "@:0 B@:0"

    async with rig(tmp_path, Torn, job={"heat_report_s": 8.0}) as it:
        await it.print(f"M109 S200\n{SQUARE}")
        assert await it.end(within=600) is S.FAILED
        await it.sleep(10)
        assert is_cold(it.firmware)


# -- the line --


async def test_a_board_that_is_unplugged_while_idle_is_there_again(tmp_path):
    async with rig(tmp_path, FakeFirmware) as it:
        await it.sleep(5)
        it.firmware.unplug()
        await it.sleep(60)
        it.firmware.plug()
        await it.until(lambda: it.ready, 30)
        assert not (await it.told()).get("error")
        await it.print(SQUARE)
        await it.ended(S.COMPLETED)


async def test_a_board_that_is_unplugged_in_a_pause_is_gone_on_with(tmp_path):
    class Keeps(Panel):
        resets = False

    async with rig(tmp_path, Keeps, printer={"reattach_s": 300.0}) as it:
        await it.print(lines(MOVES))
        await it.sleep(2)
        await it.job("pause", "pause")
        await it.reach(S.PAUSED)
        it.firmware.unplug()
        await it.sleep(60)
        it.firmware.plug()
        await it.reach(S.PAUSED, within=60)
        await it.sleep(5)
        await it.job("pause", "resume")
        await it.ended(S.COMPLETED, within=60)
        assert [c for c in moves_of(it.firmware) if " F" not in c] == MOVES


async def test_a_board_that_repeats_what_it_hears_is_printed_with(tmp_path):
    """Local echo, as some adapters and firmwares in debug mode have it."""

    class Echoes(Panel):
        def arriving(self, raw):
            self.say(raw)
            return raw

    async with rig(tmp_path, Echoes) as it:
        await it.print(lines(MOVES))
        await it.ended(S.COMPLETED)
        assert moves_of(it.firmware) == MOVES


async def test_a_host_that_was_stopped_in_a_print_leaves_no_heat(tmp_path):
    async with rig(tmp_path, Panel) as it:
        await it.print("M104 S200\nM140 S60\n" + lines(MOVES))
        await it.sleep(3)
        await it.api.post("/api/connection", {"command": "disconnect"})
        await it.sleep(5)
        assert is_cold(it.firmware)
