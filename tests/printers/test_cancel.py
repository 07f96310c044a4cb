"""A cancel turns the heaters off at once, waits for accepted moves, and uses M112 only for a deaf printer."""

import pytest

from daemon.bridge.words import JobState as S
from support.fake_firmware import KILLED, MARLIN, FakeFirmware, cap, rig
from support.fake_printers import Klipper, Prusa, Repetier, Smoothie

LONG = "".join(f"G1 X{n % 2 * 180} F3600\n" for n in range(200))


class Planner(FakeFirmware):
    """Moves go into a planner of 16; the line that finds it full waits, and so does M400 until it is empty."""

    each = 3.0  # s that a move takes
    places = 16
    rests_at = 0.0
    busy_every = 2.0

    def boot(self):
        super().boot()
        self.rests_at = 0.0

    def _wait(self, seconds):
        while seconds > 0:
            part = min(seconds, self.busy_every or seconds)
            yield part
            seconds -= part
            if self.busy_every and seconds > 0:
                yield "echo:busy: processing"

    def on(self, number, command, raw):
        if command.startswith("G1"):
            return self._move()
        if command.startswith(("M400", "G28", "M84", "M114")):
            return self._rest(command)
        return None

    def _move(self):
        self.rests_at = max(self.rests_at, self.now) + self.each
        yield from self._wait(self.rests_at - self.now - self.places * self.each)
        yield from () if self.ok_at_receipt else ("ok",)

    def _rest(self, command):
        if not command.startswith("M114"):
            yield from self._wait(self.rests_at - self.now)
        yield from self.default(command)

    def emergency(self, code):
        if code == "M410":
            self.rests_at = self.now
        super().emergency(code)


async def cancel(host):
    """Cancel; return when."""
    assert (await host.command_job("cancel")).status == 204
    return host.now


def cold_after(host, began):
    """Return the seconds from then until heaters off was received for both heaters."""
    firmware = host.firmware
    return max(min(firmware.arrival_times(off, began), default=99e9) - began for off in ("M104 S0", "M140 S0"))


@pytest.mark.parametrize("each", [0.05, 1.0, 3.0, 6.0])
async def test_slow_moves_are_no_reason_for_an_emergency_stop(tmp_path, each):
    """16 moves of 180 mm at 60 mm/s are 48 s in the planner: any first layer is like that."""
    async with rig(tmp_path, type("Slow", (Planner,), {"each": each})) as host:
        await host.print("M140 S60\nM104 S200\n" + LONG)
        await host.until(lambda: len(host.firmware.executed) > 24 or host.now > 1060, 100)
        began = await cancel(host)
        await host.expect_end(S.CANCELLED, within=200)
        assert cold_after(host, began) < 0.2
        assert not host.firmware.arrival_times("M112")
        assert host.firmware.open_count == 1
        assert host.ready


@pytest.mark.parametrize(("board", "each"), [(FakeFirmware, 2.0), (FakeFirmware, 4.0), (Smoothie, 4.0)])
async def test_slow_moves_without_busy_messages_are_no_reason_for_an_emergency_stop(tmp_path, board, each):
    """M400 is silent for a minute, but the printer has reported that it is cold."""
    async with rig(tmp_path, type("Quiet", (Planner, board), {"busy_every": 0.0, "each": each})) as host:
        await host.print("M140 S60\nM104 S200\n" + LONG)
        await host.sleep(20)
        began = await cancel(host)
        await host.expect_end(S.CANCELLED, within=200)
        assert cold_after(host, began) < 0.2
        assert not host.firmware.arrival_times("M112")


async def test_a_cancel_discards_moves_if_the_firmware_can(tmp_path):
    class Parser(Planner):
        m115 = (MARLIN, *cap(EMERGENCY_PARSER=1, AUTOREPORT_TEMP=0))
        emergency_parser = True

    async with rig(tmp_path, Parser) as host:
        await host.print("M140 S60\nM104 S200\n" + LONG)
        await host.sleep(30)
        began = await cancel(host)
        took = await host.until(lambda: host.state is S.CANCELLED, 200)
        assert cold_after(host, began) < 0.2
        assert took < 30
        assert not host.firmware.arrival_times("M112")


@pytest.mark.parametrize("emergency_parser", [False, True])
@pytest.mark.parametrize("dropped", [1, 3, 4])
async def test_a_stop_at_the_panel_drops_oks_and_ends_as_a_cancel(tmp_path, emergency_parser, dropped):
    class Panel(FakeFirmware):
        m115 = (MARLIN, *cap(EMERGENCY_PARSER=int(emergency_parser), AUTOREPORT_TEMP=0))
        moves = 0

        def on(self, number, command, raw):
            if not command.startswith("G1"):
                return None
            self.moves += 1
            if self.moves == 40:
                self.say("//action:cancel", "//action:notification Print Aborted")
            return () if 40 <= self.moves < 40 + dropped else (0.05, "ok")

    async with rig(tmp_path, Panel) as host:
        await host.print("M140 S60\n" + LONG)
        await host.until(lambda: host.state is S.CANCELLING, 60)
        began = host.now
        await host.expect_end(S.CANCELLED, within=20)
        assert cold_after(host, began - 0.1) < 0.4
        assert not host.firmware.arrival_times("M112")
        assert host.ready


@pytest.mark.parametrize("lost", [1, 2, 4])
async def test_an_ok_lost_during_a_cancel_is_probed_for(tmp_path, lost):
    class Loses(FakeFirmware):
        moves = 0

        def on(self, number, command, raw):
            if not command.startswith("G1"):
                return None
            self.moves += 1
            return (0.05,) if 40 <= self.moves < 40 + lost else (0.05, "ok")

    async with rig(tmp_path, Loses) as host:
        await host.print("M140 S60\n" + LONG)
        await host.until(lambda: host.firmware.moves >= 39 + lost, 60)
        began = await cancel(host)
        await host.expect_end(S.CANCELLED, within=20)
        assert cold_after(host, began) < 0.2
        assert not host.firmware.arrival_times("M112")


@pytest.mark.parametrize("board", [FakeFirmware, Klipper, Prusa, Repetier, Smoothie])
@pytest.mark.parametrize("at", ["printing", "paused", "heating"])
async def test_a_cancel_turns_heaters_off_at_once_and_ends_soon_on_each_firmware(tmp_path, board, at):
    class Slow(board):
        heat_rate = 5.0
        move_seconds = 0.2

    async with rig(tmp_path, Slow) as host:
        await host.print("M140 S60\nM104 S100\n" + ("M109 S250\n" if at == "heating" else "") + LONG)
        await host.sleep(6)
        if at == "paused":
            await host.command_job("pause", "pause")
            await host.reach(S.PAUSED)
        began = await cancel(host)
        await host.expect_end(S.CANCELLED, within=30)
        assert cold_after(host, began) < 0.2
        assert not host.firmware.arrival_times("M112")
        assert host.firmware.read("T")[1] == host.firmware.read("B")[1] == 0
        assert host.ready


async def test_a_deaf_printer_is_stopped_and_its_job_ends_in_bounded_time(tmp_path):
    class Deaf(FakeFirmware):
        move_seconds = 0.05

        def on(self, number, command, raw):
            if command == "G1 X180 F3600" and len(self.executed) > 30:
                return (1e6,)  # hangs
            return None

    async with rig(tmp_path, Deaf) as host:
        await host.print("M140 S60\n" + LONG)
        await host.sleep(10)
        began = await cancel(host)
        await host.expect_end(S.CANCELLED, within=90)
        assert cold_after(host, began) < 0.2
        assert host.firmware.arrival_times("M112", began)
        assert host.firmware.dtr_pulses


async def test_a_printer_that_still_reports_is_not_deaf(tmp_path):
    """A long command of a macro: nothing is acknowledged for a minute, but reports come."""

    class Long(FakeFirmware):
        m115 = (MARLIN, *cap(EMERGENCY_PARSER=0, AUTOREPORT_TEMP=1))

        def on(self, number, command, raw):
            return (55.0, "ok") if command.startswith("G425") else None

    async with rig(tmp_path, Long) as host:
        await host.print("M140 S60\nG28\nG425\n" + LONG)
        await host.sleep(5)
        began = await cancel(host)
        await host.expect_end(S.CANCELLED, within=120)
        assert cold_after(host, began) < 0.2
        assert not host.firmware.arrival_times("M112")


async def test_a_cancel_during_a_lost_connection_ends_in_bounded_time(tmp_path):
    class Keeps(FakeFirmware):
        move_seconds = 0.1
        resets = False

    async with rig(tmp_path, Keeps, printer={"reattach_s": 600.0}) as host:
        await host.print("M140 S60\n" + LONG)
        await host.sleep(3)
        host.firmware.unplug()
        await host.sleep(2)
        assert host.state is S.REATTACHING
        await host.command_job("cancel")
        await host.expect_end(S.INTERRUPTED, within=120)


# -- the emergency stop --


async def test_klipper_confirms_an_emergency_stop_in_its_own_words(tmp_path):
    async with rig(tmp_path, Klipper) as host:
        await host.gcode("M112")
        await host.sleep(5)
        assert host.firmware.shutdown_reason
        assert not host.log_entries("CUT THE PRINTER'S POWER")
        assert host.log_entries("has stopped")


async def test_smoothieware_confirms_an_emergency_stop_in_its_own_words(tmp_path):
    async with rig(tmp_path, Smoothie) as host:
        await host.gcode("M112")
        await host.sleep(5)
        assert host.firmware.halted
        assert not host.log_entries("CUT THE PRINTER'S POWER")
        assert host.log_entries("has stopped")


async def test_prusa_confirms_an_emergency_stop(tmp_path):
    class Other(Prusa):
        resets = False

        def on(self, number, command, raw):
            if "M112" in command:
                self.halt("Error:Printer halted. kill() called!", "M112 called. Emergency Stop.")
                return ()
            return super().on(number, command, raw)

    async with rig(tmp_path, Other) as host:
        await host.gcode("M112")
        await host.sleep(5)
        assert not host.log_entries("CUT THE PRINTER'S POWER")
        assert host.log_entries("has stopped")


async def test_users_are_advised_to_cut_the_power_of_a_printer_that_does_not_answer_a_stop(tmp_path):
    class Deaf(FakeFirmware):
        resets = False
        banner = ()

        def on(self, number, command, raw):
            return (1e6,) if command == "G4 S1" else None

    async with rig(tmp_path, Deaf) as host:
        await host.gcode("G4 S1")
        await host.gcode("M112")
        await host.sleep(10)
        assert host.log_entries("CUT THE PRINTER'S POWER")


@pytest.mark.parametrize("where", ["greeting", "fault", "printing", "heating"])
async def test_an_emergency_stop_is_on_the_wire_in_every_state_of_the_connection(tmp_path, where):
    class Board(FakeFirmware):
        move_seconds = 0.1
        resets = False
        heat_rate = 1.0
        quiet = where == "greeting"

        def transfer(self, raw):
            return None if self.quiet else raw

    async with rig(tmp_path, Board, printer={"connect": where != "greeting"}) as host:
        await host.sleep(1)
        if where == "fault":
            host.firmware.halt(KILLED)
            await host.until(lambda: not host.ready)
        elif where != "greeting":
            await host.print(("M109 S200\n" if where == "heating" else "") + LONG)
            await host.sleep(3)
        began = host.now
        host.firmware.quiet = False
        answer = await host.gcode("M112")
        assert answer.status < 300, answer.body
        soon = 10.0 if where == "fault" else 0.1  # the port may have to be opened again
        assert await host.until(lambda: host.firmware.arrival_times("M112", began), 20) <= soon
