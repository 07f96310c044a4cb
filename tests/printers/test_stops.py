"""An emergency stop reaches the printer from wherever its connection is, and a halt is over when the board is back."""

import pytest

from daemon.bridge.words import JobState as S
from hal.printer import ConnectionState as C
from support.fake_firmware import KILLED, FakeFirmware, rig
from support.fake_printers import Klipper, Smoothie

LONG = "".join(f"G1 X{n % 100} Y{n % 50} E{n}\n" for n in range(400))


class Slow(FakeFirmware):
    resets = False

    def on(self, number, command, raw):
        return (0.1, "ok") if command.startswith("G1") else None


async def test_while_a_print_waits_for_its_line_the_stop_waits_for_it_too(tmp_path):
    async with rig(tmp_path, Slow) as it:
        await it.print("M104 S200\n" + LONG)
        await it.sleep(3)
        it.firmware.unplug()
        await it.reach(S.REATTACHING)
        answer = await it.gcode("M112")
        assert answer.status == 204, answer.body
        await it.until(lambda: it.state.ended, 5)
        assert "emergency stop" in await it.error()
        await it.sleep(4)
        began = it.now
        it.firmware.plug()
        await it.until(lambda: it.firmware.arrived("M112", began), 2)
        await it.sleep(5)
        assert it.said("the printer has stopped")
        assert not it.firmware.arrived("G1", began)


async def test_a_line_that_does_not_come_back_is_told_and_tried_on(tmp_path):
    async with rig(tmp_path, Slow) as it:
        await it.sleep(1)
        it.firmware.unplug()
        await it.until(lambda: not it.ready)
        assert (await it.gcode("M112")).status == 204
        await it.sleep(15)
        assert it.said("CUT THE PRINTER'S POWER")
        began = it.now
        it.firmware.plug()
        await it.until(lambda: it.firmware.arrived("M112", began), 10)
        await it.sleep(60)
        assert not it.ready, "who has stopped it connects again"


async def test_a_stop_that_was_not_confirmed_can_be_said_again(tmp_path):
    class Deaf(Slow):
        banner = ()

        def on(self, number, command, raw):
            return (1e6,) if command == "G4 S1" else None

    async with rig(tmp_path, Deaf) as it:
        await it.gcode("G4 S1")
        await it.gcode("M112")
        await it.sleep(1)
        before = len(it.firmware.arrived("M112"))
        pulses = it.firmware.dtr_pulses
        assert (await it.gcode("M112")).status == 204
        await it.sleep(0.05)
        assert len(it.firmware.arrived("M112")) == before + 2
        assert it.firmware.dtr_pulses > pulses
        await it.sleep(20)
        began = it.now
        assert (await it.gcode("M112")).status == 204
        await it.until(lambda: it.firmware.arrived("M112", began), 2)


async def test_there_is_nothing_to_stop_where_nobody_is_connected(tmp_path):
    async with rig(tmp_path, Slow) as it:
        await it.sleep(1)
        await it.api.service.connection.disconnect()
        assert (await it.gcode("M112")).status == 409
        assert not it.firmware.arrived("M112")


@pytest.mark.parametrize("resets", [True, False])
async def test_a_board_that_has_halted_is_there_again_when_it_answers(tmp_path, resets):
    class Board(FakeFirmware):
        def on(self, number, command, raw):
            return None

    Board.resets = resets
    async with rig(tmp_path, Board) as it:
        await it.sleep(2)
        it.firmware.halt("Error:Thermal Runaway, system stopped! Heater_ID: 0", KILLED)
        await it.until(lambda: not it.ready)
        assert "Thermal Runaway" in await it.error()
        if not resets:
            await it.sleep(90)
            assert it.api.service.connection.state is not C.READY
            assert "Thermal Runaway" in await it.error(), "that it has halted goes before its not answering"
            it.firmware.boot()  # somebody presses its button
        await it.until(lambda: it.ready, 70)
        told = await it.told()
        assert (told["state"], told.get("error")) == ("Operational", None)
        assert (await it.api.get("/api/printer/error")).json["error"] == ""


@pytest.mark.parametrize("board", [Klipper, Smoothie])
async def test_a_firmware_that_has_halted_before_is_not_taken_for_ready(tmp_path, board):
    """Both go on talking: they greet, and tell who they are."""

    class Halted(board):
        def __init__(self):
            super().__init__()
            if board is Klipper:
                self.shut_down("MCU 'mcu' shutdown: Timer too close")
            else:
                self.stop()

    async with rig(tmp_path, Halted, printer={"connect": False}) as it:
        seen = set()
        for _ in range(600):
            await it.sleep(0.1)
            seen.add(it.api.service.connection.state)
        assert C.READY not in seen
        assert await it.error()
        it.firmware.shut = None
        it.firmware.halted = False
        await it.until(lambda: it.ready, 40)
        assert not await it.error()


async def test_a_printer_that_was_never_there_is_stopped_when_it_comes(tmp_path):
    class Away(Slow):
        def __init__(self):
            super().__init__()
            self.plugged = False

    async with rig(tmp_path, Away, printer={"connect": False}) as it:
        await it.sleep(3)
        assert (await it.gcode("M112")).status == 204
        await it.sleep(3)
        began = it.now
        it.firmware.plug()
        await it.until(lambda: it.firmware.arrived("M112", began), 2)


class HaltedKlipper(Klipper):
    revival = "FIRMWARE_RESTART"

    def stop(self, why):
        self.shut_down(why)
        self.say("// Klipper state: Shutdown")


class HaltedSmoothie(Smoothie):
    revival = "M999"


@pytest.mark.parametrize("by", ["connect", "command"])
@pytest.mark.parametrize("board", [HaltedKlipper, HaltedSmoothie])
async def test_a_firmware_that_stays_halted_is_revived_when_somebody_asks_for_it(tmp_path, board, by):
    async with rig(tmp_path, board) as it:
        await it.gcode("M104 S200")
        await it.sleep(5)
        it.firmware.stop("ERROR: extruder overheated")
        await it.gcode("G1 X1")
        await it.until(lambda: not it.ready, 20)
        await it.sleep(60)
        assert not it.ready
        assert not it.firmware.arrived(board.revival), "nobody has looked at it yet"
        assert f"send {board.revival} or connect again" in await it.error()
        refused = await it.gcode(board.revival, "G28")
        assert refused.status == 400
        if by == "connect":
            assert (await it.api.post("/api/connection", {"command": "connect"})).status == 204
        else:
            assert (await it.gcode(board.revival)).status == 204
        await it.until(lambda: it.ready, 20)
        assert len(it.firmware.arrived(board.revival)) == 1
        assert it.firmware.arrived("M104 S0")
        assert not await it.error()


async def test_who_has_stopped_a_printer_revives_it_by_connecting(tmp_path):
    async with rig(tmp_path, HaltedKlipper) as it:
        await it.gcode("M112")
        await it.sleep(60)
        assert not it.ready
        assert not it.firmware.arrived("FIRMWARE_RESTART")
        await it.api.post("/api/connection", {"command": "connect"})
        await it.until(lambda: it.ready, 20)


async def test_what_cannot_be_revived_says_so_again(tmp_path):
    class Broken(HaltedKlipper):
        def on(self, number, command, raw):
            why = self.shut
            answer = super().on(number, command, raw)
            self.shut = why  # its configuration has an error
            return answer

    async with rig(tmp_path, Broken) as it:
        it.firmware.stop("Option 'x' is not valid")
        await it.until(lambda: not it.ready, 20)
        await it.api.post("/api/connection", {"command": "connect"})
        await it.sleep(50)
        assert not it.ready
        assert "Option 'x' is not valid; to go on, send FIRMWARE_RESTART" in await it.error()
        assert len(it.firmware.arrived("FIRMWARE_RESTART")) == 1


async def test_a_board_that_stays_stopped_when_it_is_opened_is_revived_too(tmp_path):
    class Stopped(FakeFirmware):
        resets = False
        stopped = False

        def on(self, number, command, raw):
            if command.startswith("M999"):
                self.stopped = False
                return f"Resend: {self.last + 1}", "ok"
            if self.stopped and command.startswith("G1"):
                return "Error:Printer stopped due to errors. Fix the error and use M999 to restart.", "ok"
            return None

    async with rig(tmp_path, Stopped) as it:
        it.firmware.stopped = True
        await it.gcode("G1 X1")
        await it.until(lambda: not it.ready)
        await it.sleep(1)
        await it.api.post("/api/connection", {"command": "connect"})
        await it.sleep(10)
        assert it.ready
        assert len(it.firmware.arrived("M999")) == 1
        await it.gcode("G1 X1")
        await it.sleep(5)
        assert it.ready
