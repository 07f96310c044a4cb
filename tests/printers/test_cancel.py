"""A cancel makes the printer cold at once, waits for what it has taken in, and keeps M112 for one that is deaf."""

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


async def cancel(it):
    """Cancel; return when."""
    assert (await it.job("cancel")).status == 204
    return it.now


def cold_after(it, began):
    """Return the seconds from then until both heaters were told to be off."""
    firmware = it.firmware
    return max(min(firmware.arrived(off, began), default=99e9) - began for off in ("M104 S0", "M140 S0"))


@pytest.mark.parametrize("each", [0.05, 1.0, 3.0, 6.0])
async def test_slow_moves_are_no_reason_for_an_emergency_stop(tmp_path, each):
    """16 moves of 180 mm at 60 mm/s are 48 s in the planner: any first layer is like that."""
    async with rig(tmp_path, type("Slow", (Planner,), {"each": each})) as it:
        await it.print("M140 S60\nM104 S200\n" + LONG)
        await it.until(lambda: len(it.firmware.done) > 24 or it.now > 1060, 100)
        began = await cancel(it)
        await it.ended(S.CANCELLED, within=200)
        assert cold_after(it, began) < 0.2
        assert not it.firmware.arrived("M112")
        assert it.firmware.opened == 1
        assert it.ready


@pytest.mark.parametrize(("board", "each"), [(FakeFirmware, 2.0), (FakeFirmware, 4.0), (Smoothie, 4.0)])
async def test_slow_moves_of_a_firmware_that_is_never_busy_are_no_reason_either(tmp_path, board, each):
    """M400 says nothing for a minute, but the printer has said that it is cold."""
    async with rig(tmp_path, type("Quiet", (Planner, board), {"busy_every": 0.0, "each": each})) as it:
        await it.print("M140 S60\nM104 S200\n" + LONG)
        await it.sleep(20)
        began = await cancel(it)
        await it.ended(S.CANCELLED, within=200)
        assert cold_after(it, began) < 0.2
        assert not it.firmware.arrived("M112")


async def test_moves_are_thrown_away_where_the_firmware_can(tmp_path):
    class Parser(Planner):
        m115 = (MARLIN, *cap(EMERGENCY_PARSER=1, AUTOREPORT_TEMP=0))
        emergency_parser = True

    async with rig(tmp_path, Parser) as it:
        await it.print("M140 S60\nM104 S200\n" + LONG)
        await it.sleep(30)
        began = await cancel(it)
        took = await it.until(lambda: it.state is S.CANCELLED, 200)
        assert cold_after(it, began) < 0.2
        assert took < 30
        assert not it.firmware.arrived("M112")


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

    async with rig(tmp_path, Panel) as it:
        await it.print("M140 S60\n" + LONG)
        await it.until(lambda: it.state is S.CANCELLING, 60)
        began = it.now
        await it.ended(S.CANCELLED, within=20)
        assert cold_after(it, began - 0.1) < 0.4
        assert not it.firmware.arrived("M112")
        assert it.ready


@pytest.mark.parametrize("lost", [1, 2, 4])
async def test_an_ok_that_is_lost_just_then_is_asked_for(tmp_path, lost):
    class Loses(FakeFirmware):
        moves = 0

        def on(self, number, command, raw):
            if not command.startswith("G1"):
                return None
            self.moves += 1
            return (0.05,) if 40 <= self.moves < 40 + lost else (0.05, "ok")

    async with rig(tmp_path, Loses) as it:
        await it.print("M140 S60\n" + LONG)
        await it.until(lambda: it.firmware.moves >= 39 + lost, 60)
        began = await cancel(it)
        await it.ended(S.CANCELLED, within=20)
        assert cold_after(it, began) < 0.2
        assert not it.firmware.arrived("M112")


@pytest.mark.parametrize("board", [FakeFirmware, Klipper, Prusa, Repetier, Smoothie])
@pytest.mark.parametrize("at", ["printing", "paused", "heating"])
async def test_each_firmware_is_cold_at_once_and_the_job_over_soon(tmp_path, board, at):
    class Slow(board):
        heat_rate = 5.0

        def on(self, number, command, raw):
            if command.startswith("G1"):
                return (0.2,) if self.ok_at_receipt else (0.2, *(super().on(number, command, raw) or ("ok",)))
            return super().on(number, command, raw)

    async with rig(tmp_path, Slow) as it:
        await it.print("M140 S60\nM104 S100\n" + ("M109 S250\n" if at == "heating" else "") + LONG)
        await it.sleep(6)
        if at == "paused":
            await it.job("pause", "pause")
            await it.reach(S.PAUSED)
        began = await cancel(it)
        await it.ended(S.CANCELLED, within=30)
        assert cold_after(it, began) < 0.2
        assert not it.firmware.arrived("M112")
        assert it.firmware.read("T")[1] == it.firmware.read("B")[1] == 0
        assert it.ready


async def test_a_printer_that_is_deaf_is_stopped_and_the_job_is_over_in_bounded_time(tmp_path):
    class Deaf(FakeFirmware):
        def on(self, number, command, raw):
            if command == "G1 X180 F3600" and len(self.done) > 30:
                return (1e6,)  # hangs
            return (0.05, "ok") if command.startswith("G1") else None

    async with rig(tmp_path, Deaf) as it:
        await it.print("M140 S60\n" + LONG)
        await it.sleep(10)
        began = await cancel(it)
        assert await it.end(within=90) is S.CANCELLED or it.state in (S.FAILED, S.INTERRUPTED)
        assert cold_after(it, began) < 0.2
        assert it.firmware.arrived("M112", began)
        assert it.firmware.dtr_pulses


async def test_a_printer_that_cools_down_and_says_so_is_not_deaf(tmp_path):
    """A long command of a macro: nothing is acknowledged for a minute, but reports come."""

    class Long(FakeFirmware):
        m115 = (MARLIN, *cap(EMERGENCY_PARSER=0, AUTOREPORT_TEMP=1))

        def on(self, number, command, raw):
            return (55.0, "ok") if command.startswith("G425") else None

    async with rig(tmp_path, Long) as it:
        await it.print("M140 S60\nG28\nG425\n" + LONG)
        await it.sleep(5)
        began = await cancel(it)
        await it.ended(S.CANCELLED, within=120)
        assert cold_after(it, began) < 0.2
        assert not it.firmware.arrived("M112")


async def test_a_cancel_while_the_line_is_gone_is_over_in_bounded_time(tmp_path):
    class Keeps(FakeFirmware):
        resets = False

        def on(self, number, command, raw):
            return (0.1, "ok") if command.startswith("G1") else None

    async with rig(tmp_path, Keeps, printer={"reattach_s": 600.0}) as it:
        await it.print("M140 S60\n" + LONG)
        await it.sleep(3)
        it.firmware.unplug()
        await it.sleep(2)
        if it.state is S.REATTACHING:
            await it.job("cancel")
        await it.until(lambda: it.state.ended, 120)


# -- the emergency stop --


async def test_klipper_confirms_an_emergency_stop_in_its_own_words(tmp_path):
    async with rig(tmp_path, Klipper) as it:
        await it.gcode("M112")
        await it.sleep(5)
        assert it.firmware.shut
        assert not it.said("CUT ITS POWER")
        assert it.said("has stopped")


async def test_smoothieware_confirms_an_emergency_stop_in_its_own_words(tmp_path):
    async with rig(tmp_path, Smoothie) as it:
        await it.gcode("M112")
        await it.sleep(5)
        assert it.firmware.halted
        assert not it.said("CUT ITS POWER")
        assert it.said("has stopped")


async def test_prusa_confirms_it_too(tmp_path):
    class Other(Prusa):
        resets = False

        def on(self, number, command, raw):
            if "M112" in command:
                self.halt("Error:Printer halted. kill() called!", "M112 called. Emergency Stop.")
                return ()
            return super().on(number, command, raw)

    async with rig(tmp_path, Other) as it:
        await it.gcode("M112")
        await it.sleep(5)
        assert not it.said("CUT ITS POWER")


async def test_a_printer_that_does_not_answer_is_to_be_cut_from_its_power(tmp_path):
    class Deaf(FakeFirmware):
        resets = False
        banner = ()

        def on(self, number, command, raw):
            return (1e6,) if command == "G4 S1" else None

    async with rig(tmp_path, Deaf) as it:
        await it.gcode("G4 S1")
        await it.gcode("M112")
        await it.sleep(10)
        assert it.said("CUT ITS POWER")


@pytest.mark.parametrize("where", ["greeting", "fault", "printing", "heating"])
async def test_an_emergency_stop_is_on_the_wire_in_every_state_of_the_connection(tmp_path, where):
    class Board(FakeFirmware):
        resets = False
        heat_rate = 1.0
        quiet = where == "greeting"

        def arriving(self, raw):
            return None if self.quiet else raw

        def on(self, number, command, raw):
            return (0.1, "ok") if command.startswith("G1") else None

    async with rig(tmp_path, Board, printer={"connect": where != "greeting"}) as it:
        await it.sleep(1)
        if where == "fault":
            it.firmware.halt(KILLED)
            await it.until(lambda: not it.ready)
        elif where != "greeting":
            await it.print(("M109 S200\n" if where == "heating" else "") + LONG)
            await it.sleep(3)
        began = it.now
        it.firmware.quiet = False
        answer = await it.gcode("M112")
        assert answer.status < 300, answer.body
        soon = 10.0 if where == "fault" else 0.1  # the line may have to be opened again
        assert await it.until(lambda: it.firmware.arrived("M112", began), 20) <= soon
