"""The printer's own doings: pauses, filament changes, prints by others, questions at its panel."""

import pytest

from daemon.bridge.words import JobState as S
from support.fake_firmware import MARLIN, SQUARE, FakeFirmware, cap, rig
from support.fake_printers import Klipper, Marlin1, Prusa, Repetier, Teacup

HOST_ACTIONS = (MARLIN, *cap(EMERGENCY_PARSER=0, HOST_ACTION_COMMANDS=1))


def moves(firmware):
    return [command for command in firmware.job_commands if command.startswith(("G1", "G28"))]


class Minded(FakeFirmware):
    """Takes down how hot it was for each move that extrudes."""

    def __init__(self):
        self.extruded_at: list[float] = []
        super().__init__()

    def on(self, number, command, raw):
        if command.startswith("G1") and "E" in command:
            self.extruded_at.append(self.read("T")[0])
        return super().on(number, command, raw)


HOT = "M104 S210\nM109 S210\nG28\nG1 X1 Y1 E1\nG1 X2 E2\n"
REST = "".join(f"G1 X{n} E{n}\n" for n in range(3, 23))


class Mk3(Minded, Prusa):
    pass


@pytest.mark.parametrize("wait", [1, 6, 600])
async def test_a_print_continues_hot_after_a_pause_in_which_the_printer_has_cooled(tmp_path, wait):
    async with rig(tmp_path, Mk3) as host:
        await host.print(f"{HOT}M117 Insert\nM601\n{REST}")
        await host.reach(S.PAUSED)
        await host.sleep(wait)
        assert (await host.command_job("pause", "resume")).status == 204
        await host.expect_end(S.COMPLETED, within=200)
        assert len(host.firmware.extruded_at) >= 22
        assert min(host.firmware.extruded_at) > 195


async def test_a_print_is_paused_and_resumed_at_the_panel(tmp_path):
    class Panel(Mk3):
        def on(self, number, command, raw):
            if command.startswith("G1 X8 "):
                self.paused_target = self.read("T")[1]
                self.set_target("T", 0.0)
                self.say("// action:paused")
            return (0.05, "ok") if command.startswith("G1") and super().on(number, command, raw) is None else None

    async with rig(tmp_path, Panel) as host:
        await host.print(HOT + REST)
        await host.reach(S.PAUSED)
        await host.sleep(20)
        host.firmware.set_target("T", 210.0)
        await host.sleep(10)
        host.firmware.say("// action:resumed")
        await host.expect_end(S.COMPLETED)
        assert not host.firmware.arrival_times("M602"), "the firmware has resumed already"


@pytest.mark.parametrize(
    "form", ["//action:pause", "// action:pause", "//action: pause", "// action: pause ", "//action:pause\r"]
)
async def test_a_pause_request_is_recognised_with_and_without_blanks(tmp_path, form):
    class Asks(FakeFirmware):
        move_seconds = 0.2

        def on(self, number, command, raw):
            if command == "G1 X20":
                self.say(form)

    async with rig(tmp_path, Asks) as host:
        await host.print(SQUARE * 5)
        await host.reach(S.PAUSED)


@pytest.mark.parametrize(
    "reason", ["Hotend fan speed is lower than expected", "Filament runout detected!", "echo:Print paused by LCD"]
)
async def test_the_reason_of_a_pause_is_shown(tmp_path, reason):
    class Fan(Mk3):
        def on(self, number, command, raw):
            if command.startswith("G1 X8 "):
                self.say(reason, "// action:pause")
            return super().on(number, command, raw)

    async with rig(tmp_path, Fan) as host:
        await host.print(HOT + REST)
        await host.reach(S.PAUSED)
        assert (await host.job_status())["pauseReason"] == reason.removeprefix("echo:")


# -- filament --


class Changes(FakeFirmware):
    """Marlin's M600: it requests a pause, is busy while it waits for the user, and continues by its knob."""

    move_seconds = 0.03
    m115 = HOST_ACTIONS
    begins = "//action:pause"
    seconds = 8

    def on(self, number, command, raw):
        if command.startswith("M600"):
            return self._change()
        return None

    def _change(self):
        yield self.begins
        for _ in range(self.seconds):
            yield "echo:busy: paused for user"
            yield 1.0
        yield "ok"


@pytest.mark.parametrize("begins", ["//action:pause", "// action:pause", "//action:paused"])
@pytest.mark.parametrize("after", [1, 4])
async def test_a_resume_while_the_filament_is_changed_is_remembered(tmp_path, begins, after):
    async with rig(tmp_path, type("Begins", (Changes,), {"begins": begins})) as host:
        await host.print(f"{SQUARE}M600\n{SQUARE}")
        await host.reach(S.PAUSING, S.PAUSED)
        await host.sleep(after)
        assert (await host.command_job("pause", "resume")).status == 204
        await host.expect_end(S.COMPLETED, within=30)
        assert [c for c in host.firmware.job_commands if c.startswith(("G28", "G1 X10 Y10", "M600"))][:5] == [
            "G28",
            "G1 X10 Y10 F3000",
            "M600",
            "G28",
            "G1 X10 Y10 F3000",
        ]


class Parked(FakeFirmware):
    """Marlin 2.1 that pauses itself, and waits for its knob or an M108."""

    move_seconds = 0.05
    m115 = (MARLIN, *cap(EMERGENCY_PARSER=1, HOST_ACTION_COMMANDS=1))
    emergency_parser = True
    waits: bool | None = None

    def emergency(self, code):
        if code == "M108":
            self.waits = False

    def on(self, number, command, raw):
        if command == "G1 X20" and self.waits is None:
            return self._park()
        return None

    def _park(self):
        self.waits = True
        yield "//action:paused"
        while self.waits:
            yield 2.0
            yield "echo:busy: paused for user"
        yield "//action:resumed"
        yield "ok"


@pytest.mark.parametrize("at_printer", [True, False])
async def test_a_resume_continues_a_printer_that_waits_for_its_user(tmp_path, at_printer):
    async with rig(tmp_path, Parked) as host:
        await host.print(SQUARE * 3)
        await host.reach(S.PAUSING, S.PAUSED)
        await host.sleep(10)
        assert not host.firmware.arrival_times("M108"), "not before a resume"
        if at_printer:
            host.firmware.waits = False
        else:
            assert (await host.command_job("pause", "resume")).status == 204
        await host.expect_end(S.COMPLETED)
        assert moves(host.firmware) == (SQUARE * 3).split("\n")[:-1]


async def test_a_resume_while_a_pause_comes_to_rest_is_remembered(tmp_path):
    class Slow(FakeFirmware):
        def on(self, number, command, raw):
            return (5.0, "ok") if command.startswith("M400") else (0.1, "ok") if command.startswith("G1") else None

    async with rig(tmp_path, Slow) as host:
        await host.print(SQUARE * 8)
        await host.sleep(1)
        await host.command_job("pause", "pause")
        assert host.state is S.PAUSING
        assert (await host.command_job("pause", "resume")).status == 204
        await host.expect_end(S.COMPLETED)


async def test_a_change_that_takes_an_hour_is_waited_for(tmp_path):
    async with rig(
        tmp_path, type("Long", (Changes,), {"seconds": 3600, "begins": "echo:busy: paused for user"})
    ) as host:
        await host.print(f"{SQUARE}M600\n{SQUARE}")
        await host.until(lambda: host.firmware.arrival_times("M600"))
        await host.sleep(3605)
        assert host.firmware.open_count == 1
        if not host.state.ended:
            await host.command_job("pause", "resume")
        await host.expect_end(S.COMPLETED)


@pytest.mark.parametrize("board", [Marlin1, Repetier])
async def test_the_host_pauses_for_a_filament_change_unknown_to_the_firmware(tmp_path, board):
    """Otherwise the print continues in the old colour."""

    class Unknowing(board):
        def on(self, number, command, raw):
            if command.startswith("M600") and board is Marlin1:
                return f'echo:Unknown command: "{raw}"', "ok"
            return super().on(number, command, raw)

    async with rig(tmp_path, Unknowing) as host:
        await host.print(f"{SQUARE}M600\n{SQUARE}")
        await host.reach(S.PAUSED, within=60)
        await host.command_job("pause", "resume")
        await host.expect_end(S.COMPLETED)


@pytest.mark.parametrize(
    ("command", "least", "most"), [("M0 S2", 1.5, 15), ("M1 S3", 1.5, 15), ("M0 P1500", 1.0, 15), ("G4 S5", 4.5, 15)]
)
async def test_a_wait_with_a_time_ends_by_itself(tmp_path, command, least, most):
    class Waits(FakeFirmware):
        def on(self, number, text, raw):
            return (5.0, "ok") if text.startswith("G4 S5") else (2.0, "ok") if text.startswith(("M0", "M1 ")) else None

    async with rig(tmp_path, Waits) as host:
        await host.print(f"{SQUARE}{command}\n{SQUARE}")
        began = host.now
        await host.expect_end(S.COMPLETED, within=most)
        assert host.now - began > least


@pytest.mark.parametrize(("board", "command"), [(Teacup, "M0 S2"), (Klipper, "M1 S2"), (FakeFirmware, "M0 S2 a:b*c")])
async def test_the_host_waits_for_a_time_if_the_firmware_cannot(tmp_path, board, command):
    class Reads(board):
        def on(self, number, text, raw):
            if text.startswith("M0 "):
                return f'echo:Unknown command: "{text}"', "ok"
            # Klipper and Teacup read no S
            return (float(text[4:]) / 1000, "ok") if text.startswith("G4 P") else super().on(number, text, raw)

    async with rig(tmp_path, Reads) as host:
        await host.print(f"{SQUARE}{command}\n{SQUARE}")
        began = host.now
        await host.expect_end(S.COMPLETED)
        assert 2 <= host.now - began < 4


@pytest.mark.parametrize("command", ["M226 P30 S1", "M226 S1 P30", "M226 P30"])
async def test_a_wait_for_a_pin_is_the_firmware_s(tmp_path, command):
    class Pin(FakeFirmware):
        def on(self, number, text, raw):
            return (7.0, "ok") if text.startswith("M226") else None

    async with rig(tmp_path, Pin) as host:
        await host.print(f"{SQUARE}{command}\n{SQUARE}")
        await host.expect_end(S.COMPLETED, within=60)
        assert host.firmware.job_commands[5] == command


async def test_a_stop_without_a_time_waits_for_the_user(tmp_path):
    async with rig(tmp_path, FakeFirmware) as host:
        await host.print(f"{SQUARE}M0\n{SQUARE}")
        await host.reach(S.PAUSED)
        await host.sleep(300)
        assert host.state is S.PAUSED
        await host.command_job("pause", "resume")
        await host.expect_end(S.COMPLETED)


# -- a pause of the host --


CAPACITY = {
    "Marlin": "X:10.00 Y:20.00 Z:0.30 E:5.00 Count X:800 Y:1600 Z:120",
    "Smoothieware": "ok C: X:10.0000 Y:20.0000 Z:0.3000 E:5.0000",
    "Klipper": "X:10.000 Y:20.000 Z:0.300 E:5.000",
    "RepRapFirmware": "X:10.000 Y:20.000 Z:0.300 E:5.000 E0:5.0 Count 800 1600 120 Machine 10.000 20.000 0.300",
    "with more behind it": "X:10.00 Y:20.00 Z:0.30 E:5.00 Count X: 800 Y:1600 Z:120 some more",
    "without E": "X:10.00 Y:20.00 Z:0.30 Count X:800 Y:1600 Z:120",
}


@pytest.mark.parametrize("form", CAPACITY)
async def test_a_pause_lifts_the_head_and_moves_back_with_every_form_of_m114(tmp_path, form):
    class Tells(FakeFirmware):
        def on(self, number, command, raw):
            if command.startswith("M114"):
                return (CAPACITY[form],) if CAPACITY[form].startswith("ok") else (CAPACITY[form], "ok")
            return (0.05, "ok") if command.startswith("G1 Y") else None

    async with rig(tmp_path, Tells) as host:
        await host.print("G28\n" + "".join(f"G1 Y{n}\n" for n in range(200)))
        await host.sleep(1.5)
        await host.command_job("pause", "pause")
        await host.reach(S.PAUSED, within=20)
        paused = host.now
        assert host.firmware.arrival_times("G1 Z5 "), "lifted by 5 mm"
        await host.command_job("pause", "resume")
        await host.expect_end(S.COMPLETED)
        assert host.firmware.arrival_times("G1 Z0.3 ", paused)


async def test_a_firmware_without_m114_is_paused_where_it_is(tmp_path):
    class Silent(FakeFirmware):
        def on(self, number, command, raw):
            return ("ok",) if command.startswith("M114") else (0.05, "ok") if command.startswith("G1 Y") else None

    async with rig(tmp_path, Silent) as host:
        await host.print("G28\n" + "".join(f"G1 Y{n}\n" for n in range(200)))
        await host.sleep(1.5)
        await host.command_job("pause", "pause")
        await host.reach(S.PAUSED, within=30)
        await host.command_job("pause", "resume")
        await host.expect_end(S.COMPLETED)


@pytest.mark.parametrize("limit", [170, 175])
@pytest.mark.parametrize("hot", [160, 172, 200])
async def test_a_pause_retracts_and_primes_the_same_length_even_near_the_limit_of_the_firmware(tmp_path, limit, hot):
    """`G1 E-1` below the limit is not executed; `G1 E1` would be, if the hotend is hotter by then."""

    class Limits(Prusa if limit == 175 else FakeFirmware):
        extruded_mm = 0.0
        relative = False

        def on(self, number, command, raw):
            if command in ("M82", "M83"):
                self.relative = command == "M83"
            if command.startswith("G1 E") and self.relative:
                if self.read("T")[0] < limit:
                    return "echo: cold extrusion prevented", "ok"
                self.extruded_mm += float(command[4:].split()[0])
            return (0.05, "ok") if command.startswith("G1 Y") else super().on(number, command, raw)

    async with rig(tmp_path, Limits) as host:
        await host.print(f"M104 S{hot}\nM109 S{hot}\nG28\n" + "".join(f"G1 Y{n}\n" for n in range(200)))
        await host.until(lambda: host.firmware.arrival_times("G1 Y20"), 60)
        await host.command_job("pause", "pause")
        await host.reach(S.PAUSED, within=20)
        host.firmware.set_target("T", 210.0)  # a user heats it to clean the nozzle
        await host.sleep(5)
        await host.command_job("pause", "resume")
        await host.expect_end(S.COMPLETED)
        assert host.firmware.extruded_mm == 0


# -- heat of others --


class Touch(FakeFirmware):
    """A touch screen prints over the board's other port: here only temperatures are seen."""

    m115 = (MARLIN, *cap(AUTOREPORT_TEMP=1, EMERGENCY_PARSER=1, AUTOREPORT_SD_STATUS=1))
    moves = True
    resets = False
    pos = 0

    def boot(self):
        super().boot()
        self.heat = {"T": [210.0, 210.0], "B": [60.0, 60.0]}
        self.every(1.0, self._tell)

    def _tell(self):
        self.pos += self.moves
        self.say(f" {self.report()}", "Not SD printing")

    def on(self, number, command, raw):
        if command.startswith("M114"):
            return f"X:{self.pos}.00 Y:20.00 Z:4.30 E:{self.pos}.00 Count X:{self.pos * 80} Y:1600 Z:120", "ok"
        return None


@pytest.mark.parametrize("minutes", [0.2, 5.0])
async def test_heat_under_a_print_of_a_touch_screen_is_kept(tmp_path, minutes):
    async with rig(tmp_path, Touch, safety={"idle_heat_min": minutes}) as host:
        await host.sleep(minutes * 60 * 6)
        assert (host.firmware.heat["T"][1], host.firmware.heat["B"][1]) == (210, 60)


@pytest.mark.parametrize("minutes", [0.2, 5.0])
async def test_heat_that_was_left_on_is_turned_off_when_nothing_moves(tmp_path, minutes):
    async with rig(tmp_path, type("Left", (Touch,), {"moves": False}), safety={"idle_heat_min": minutes}) as host:
        await host.sleep(minutes * 60 * 2.5)
        assert (host.firmware.heat["T"][1], host.firmware.heat["B"][1]) == (0, 0)


async def test_heat_under_one_long_move_is_kept(tmp_path):
    class Long(Touch):
        def on(self, number, command, raw):
            steps = f"X:10.00 Y:20.00 Z:4.30 E:5.00 Count X:{self.pos} Y:1600 Z:120"
            return (steps, "ok") if command.startswith("M114") else None

    async with rig(tmp_path, Long, safety={"idle_heat_min": 1.0}) as host:
        await host.sleep(300)
        assert host.firmware.heat["T"][1] == 210


async def test_heat_is_turned_off_after_the_touch_screen_s_print_has_ended(tmp_path):
    async with rig(tmp_path, Touch, safety={"idle_heat_min": 1.0}) as host:
        await host.sleep(600)
        host.firmware.moves = False
        await host.sleep(300)
        assert (host.firmware.heat["T"][1], host.firmware.heat["B"][1]) == (0, 0)


async def test_heat_under_a_print_from_the_card_is_kept(tmp_path):
    class Card(Touch):
        moves = False
        done_bytes = 0

        def _tell(self):
            self.done_bytes += 10
            self.say(f" {self.report()}", f"SD printing byte {self.done_bytes}/100000")

    async with rig(tmp_path, Card, safety={"idle_heat_min": 0.2}) as host:
        await host.sleep(120)
        assert (host.firmware.heat["T"][1], host.firmware.heat["B"][1]) == (210, 60)


async def test_endless_notifications_do_not_fill_the_log(tmp_path):
    class Notifies(FakeFirmware):
        def on(self, number, command, raw):
            return (*[f"//action:notification {n}" for n in range(300)], "ok") if command == "G1 X20" else None

    async with rig(tmp_path, Notifies) as host:
        await host.print(SQUARE)
        await host.expect_end(S.COMPLETED)
        assert 0 < len(host.log_entries("printer.action")) <= 20
