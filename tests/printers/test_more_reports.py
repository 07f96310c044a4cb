"""More printers from users' reports: shutdowns at the start, waits for a knob, panels, two hotends."""

import pytest

from daemon.bridge.words import JobState as S
from support.fake_firmware import KILLED, MARLIN, SQUARE, FakeFirmware, cap, lines, rig
from support.fake_printers import Klipper, Prusa, Repetier, Smoothie

MOVES = [f"G1 X{n}" for n in range(100)]


# -- who is not ready yet --


async def test_a_starting_klipper_is_connected_once_it_has_started(tmp_path):
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

    async with rig(tmp_path, Starts, printer={"connect": False}) as host:
        host.firmware.ready_at = host.now + 20
        await host.sleep(25)
        await host.until(lambda: host.ready, 60)
        await host.print(SQUARE)
        await host.expect_end(S.COMPLETED)


async def test_a_klipper_that_was_shut_down_is_ready_after_its_restart(tmp_path):
    class Shut(Klipper):
        shutdown_reason = "Shutdown due to webhooks request"

    async with rig(tmp_path, Shut, printer={"connect": False}) as host:
        await host.sleep(60)
        host.firmware.shutdown_reason = None
        await host.until(lambda: host.ready, 60)
        await host.print(SQUARE)
        await host.expect_end(S.COMPLETED)


# -- halts in words of their own --


@pytest.mark.parametrize(
    ("board", "reply", "words"),
    [
        (FakeFirmware, ("Error:0", ": Extruder switched off. MAXTEMP triggered !", KILLED), "MAXTEMP"),
        (FakeFirmware, ("Error:Heater decoupled", KILLED), "Heater decoupled"),
        (Prusa, ("TM: error triggered!", "Error:THERMAL ANOMALY", KILLED), "THERMAL ANOMALY"),
        (Smoothie, ("ALARM: Hard limit +X", "!!"), "Hard limit"),
        (Smoothie, ("ERROR: Temperature took too long to be reached on T, HALT asserted", "!!"), "took too long"),
    ],
)
async def test_a_halt_in_the_middle_of_a_print_ends_it_with_its_reason(tmp_path, board, reply, words):
    class Halts(board):
        def on(self, number, command, raw):
            if command == "G1 X40" and isinstance(self, Smoothie):
                self.stop(*reply[:-1])
                return (reply[-1],)
            if command == "G1 X40":
                self.halt(*reply)
                return ()
            return super().on(number, command, raw)

    async with rig(tmp_path, Halts) as host:
        await host.print("M104 S200\n" + lines(MOVES))
        await host.expect_end(S.FAILED, within=120)
        assert words in await host.error()


async def test_a_repetier_in_its_fatal_state_fails_the_print_and_is_ready_after_m999(tmp_path):
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
            if command == "G1 X40" and not self.fatal and len(self.executed) < 90:
                self.fatal = True
                self.set_target("T", 0.0)
                return "Error:Temp. raises to slow. Possible short in heating element", text
            if self.fatal:
                return (text,)
            return super().on(number, command, raw)

    async with rig(tmp_path, Fatal) as host:
        await host.print("M104 S200\n" + lines(MOVES))
        await host.expect_end(S.FAILED, within=60)
        assert host.firmware.heaters_are_off
        host.firmware.fatal = False
        await host.until(lambda: host.ready, 90)
        await host.print(SQUARE)
        await host.expect_end(S.COMPLETED)


# -- waits for a knob --


class Knob(FakeFirmware):
    """Waits for its knob indefinitely; reads nothing meanwhile but sends busy messages."""

    move_seconds = 0.05
    m115 = (MARLIN, *cap(EMERGENCY_PARSER=0))
    pressed = False

    def on(self, number, command, raw):
        if command.startswith("M600"):
            return self._wait()
        return None

    def _wait(self):
        while not self.pressed:
            yield "echo:busy: paused for user"
            yield 2.0
        yield "ok"


async def test_a_cancel_during_a_wait_for_the_knob_ends_in_bounded_time(tmp_path):
    async with rig(tmp_path, Knob) as host:
        await host.print("M140 S60\nM104 S200\n" + lines(MOVES[:20]) + "M600\n" + lines(MOVES[20:]))
        await host.until(lambda: host.firmware.arrival_times("M600"))
        await host.sleep(30)
        began = host.now
        await host.command_job("cancel")
        await host.wait_for_end(within=900)
        assert min(host.firmware.arrival_times("M104 S0", began)) - began < 0.2
        await host.sleep(10)
        assert host.firmware.arrival_times("M112", began), "nothing else ends its wait"


async def test_a_cancel_with_a_late_press_of_the_knob_is_a_cancel(tmp_path):
    async with rig(tmp_path, Knob) as host:
        await host.print("M140 S60\nM104 S200\n" + lines(MOVES[:20]) + "M600\n" + lines(MOVES[20:]))
        await host.until(lambda: host.firmware.arrival_times("M600"))
        await host.command_job("cancel")
        await host.sleep(20)
        host.firmware.pressed = True
        await host.expect_end(S.CANCELLED, within=60)
        assert host.firmware.heaters_are_off
        assert not host.firmware.arrival_times("M112")


async def test_a_print_continues_after_a_filament_change_that_ends_at_the_printer(tmp_path):
    class Panel(Knob):
        m115 = (MARLIN, *cap(EMERGENCY_PARSER=0, HOST_ACTION_COMMANDS=1))

        def _wait(self):
            yield "//action:paused filament_change"
            for _ in range(10):
                yield "echo:busy: paused for user"
                yield 2.0
            yield "//action:resumed"
            yield "ok"

    async with rig(tmp_path, Panel) as host:
        await host.print(lines([*MOVES[:20], "M600", *MOVES[20:]]))
        await host.expect_end(S.COMPLETED, within=90)
        assert host.firmware.moves == MOVES


# -- panels --


class Panel(FakeFirmware):
    """A panel whose buttons only ask the host to act."""

    move_seconds = 0.1
    m115 = (MARLIN, *cap(EMERGENCY_PARSER=0, HOST_ACTION_COMMANDS=1))


async def test_a_print_is_paused_resumed_and_cancelled_at_the_panel(tmp_path):
    async with rig(tmp_path, Panel) as host:
        await host.print("M104 S200\n" + lines(MOVES))
        await host.sleep(2)
        host.firmware.say("//action:pause")
        await host.reach(S.PAUSED)
        host.firmware.say("//action:pause")
        await host.sleep(5)
        assert host.state is S.PAUSED
        host.firmware.say("//action:resume")
        await host.reach(S.PRINTING)
        await host.sleep(1)
        host.firmware.say("//action:pause")
        await host.reach(S.PAUSED)
        host.firmware.say("//action:cancel")
        await host.expect_end(S.CANCELLED, within=20)
        assert host.firmware.heaters_are_off


async def test_a_print_with_a_pause_and_a_resume_at_once_completes(tmp_path):
    async with rig(tmp_path, Panel) as host:
        await host.print(lines(MOVES))
        for _ in range(5):
            await host.sleep(1)
            await host.command_job("pause", "pause")
            await host.command_job("pause", "resume")
        await host.expect_end(S.COMPLETED, within=90)
        assert [c for c in host.firmware.moves if " F" not in c] == MOVES


async def test_a_second_cancel_and_then_a_stop_are_accepted(tmp_path):
    class Slow(Panel):
        def on(self, number, command, raw):
            return self._long() if command.startswith("G29") else super().on(number, command, raw)

        def _long(self):
            for _ in range(60):
                yield 2.0
                yield "echo:busy: processing"
            yield "ok"

    async with rig(tmp_path, Slow) as host:
        await host.print("M104 S200\nG28\nG29\n" + lines(MOVES))
        await host.until(lambda: host.firmware.arrival_times("G29"))
        await host.command_job("cancel")
        await host.sleep(5)
        await host.command_job("cancel")
        assert host.state is S.CANCELLING
        began = host.now
        assert (await host.gcode("M112")).status == 204
        assert await host.until(lambda: host.firmware.arrival_times("M112", began), 1) < 0.1
        await host.wait_for_end(within=30)


@pytest.mark.parametrize("command", ["m112", "M112 ; now", " M112", "M112\n", "N5 M112*3"])
async def test_a_stop_is_recognised_in_every_spelling(tmp_path, command):
    async with rig(tmp_path, Panel) as host:
        await host.print(lines(MOVES))
        await host.sleep(2)
        began = host.now
        answer = await host.gcode(command)
        assert answer.status == 204
        assert await host.until(lambda: host.firmware.arrival_times("M112", began), 1) < 0.1


# -- heat --


@pytest.mark.parametrize("board", [FakeFirmware, Prusa, Repetier, Klipper])
@pytest.mark.parametrize("line", ["M109 S0", "M190 S0", "M109 S0\nM190 S0"])
async def test_a_wait_for_a_heater_that_is_off_ends_at_once(tmp_path, board, line):
    """Some files end with such a wait; it need not last until room temperature."""

    class Slow(board):
        heat_rate = 5.0

    async with rig(tmp_path, Slow) as host:
        await host.print(f"M104 S100\nM109 S100\nM140 S50\nG28\n{line}\nM84\n")
        await host.until(lambda: "G28" in host.firmware.executed, 200)
        began = host.now
        await host.expect_end(S.COMPLETED, within=60)
        assert host.now - began < 12


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

    async with rig(tmp_path, Two, profile={"extruders": 2}) as host:
        await host.print(f"M104 T0 S200\nM104 T1 S180\nM109 T0 S200\nM109 T1 S180\n{SQUARE}")
        await host.until(lambda: host.firmware.arrival_times("G28"), 200)
        assert host.firmware.read("T")[0] > 198
        assert host.firmware.read("T1")[0] > 178
        await host.expect_end(S.COMPLETED)


async def test_a_wait_for_heat_ends_when_reports_stop(tmp_path):
    """The sensor is torn off, and the firmware stops reporting it."""

    class Torn(FakeFirmware):
        heat_rate = 2.0

        def report(self):
            return super().report() if self.read("T")[0] < 100 else "@:0 B@:0"

    async with rig(tmp_path, Torn, job={"heat_report_s": 8.0}) as host:
        await host.print(f"M109 S200\n{SQUARE}")
        assert await host.wait_for_end(within=600) is S.FAILED
        await host.sleep(10)
        assert host.firmware.heaters_are_off


# -- the connection --


async def test_an_idle_board_that_is_unplugged_is_ready_again_when_plugged_in(tmp_path):
    async with rig(tmp_path, FakeFirmware) as host:
        await host.sleep(5)
        host.firmware.unplug()
        await host.sleep(60)
        host.firmware.plug()
        await host.until(lambda: host.ready, 30)
        assert not (await host.job_status()).get("error")
        await host.print(SQUARE)
        await host.expect_end(S.COMPLETED)


async def test_a_print_survives_unplugging_its_board_in_a_pause(tmp_path):
    class Keeps(Panel):
        resets = False

    async with rig(tmp_path, Keeps, printer={"reattach_s": 300.0}) as host:
        await host.print(lines(MOVES))
        await host.sleep(2)
        await host.command_job("pause", "pause")
        await host.reach(S.PAUSED)
        host.firmware.unplug()
        await host.sleep(60)
        host.firmware.plug()
        await host.reach(S.PAUSED, within=60)
        await host.sleep(5)
        await host.command_job("pause", "resume")
        await host.expect_end(S.COMPLETED, within=60)
        assert [c for c in host.firmware.moves if " F" not in c] == MOVES


async def test_a_board_that_echoes_each_line_prints(tmp_path):
    """Local echo, as of some adapters, and of firmwares in debug mode."""

    class Echoes(Panel):
        def transfer(self, raw):
            self.say(raw)
            return raw

    async with rig(tmp_path, Echoes) as host:
        await host.print_moves(MOVES)


async def test_a_host_stopped_in_a_print_leaves_the_heaters_off(tmp_path):
    async with rig(tmp_path, Panel) as host:
        await host.print("M104 S200\nM140 S60\n" + lines(MOVES))
        await host.sleep(3)
        await host.api.post("/api/connection", {"command": "disconnect"})
        await host.sleep(5)
        assert host.firmware.heaters_are_off
