"""An emergency stop is sent in any state of the connection, and a halt ends when the board is back."""

import pytest

from daemon.bridge.words import JobState as S
from hal.printer import ConnectionState as C
from support.fake_firmware import KILLED, FakeFirmware, rig
from support.fake_printers import Klipper, Smoothie

LONG = "".join(f"G1 X{n % 100} Y{n % 50} E{n}\n" for n in range(400))


class Slow(FakeFirmware):
    move_seconds = 0.1
    resets = False


async def test_a_stop_waits_for_the_connection_that_a_print_waits_for(tmp_path):
    async with rig(tmp_path, Slow) as host:
        await host.print("M104 S200\n" + LONG)
        await host.sleep(3)
        host.firmware.unplug()
        await host.reach(S.REATTACHING)
        answer = await host.gcode("M112")
        assert answer.status == 204, answer.body
        await host.until(lambda: host.state.ended, 5)
        assert "emergency stop" in await host.error()
        await host.sleep(4)
        began = host.now
        host.firmware.plug()
        await host.until(lambda: host.firmware.arrival_times("M112", began), 2)
        await host.sleep(5)
        assert host.log_entries("the printer has stopped")
        assert not host.firmware.arrival_times("G1", began)


async def test_a_connection_that_stays_lost_is_reported_and_retried(tmp_path):
    async with rig(tmp_path, Slow) as host:
        await host.sleep(1)
        host.firmware.unplug()
        await host.until(lambda: not host.ready)
        assert (await host.gcode("M112")).status == 204
        await host.sleep(15)
        assert host.log_entries("could not be sent: CUT THE PRINTER'S POWER if it moves or heats. The reason: ")
        began = host.now
        host.firmware.plug()
        await host.until(lambda: host.firmware.arrival_times("M112", began), 10)
        await host.sleep(60)
        assert not host.ready, "who has stopped it connects again"


async def test_an_unconfirmed_stop_can_be_repeated(tmp_path):
    class Deaf(Slow):
        banner = ()

        def on(self, number, command, raw):
            return (1e6,) if command == "G4 S1" else None

    async with rig(tmp_path, Deaf) as host:
        await host.gcode("G4 S1")
        await host.gcode("M112")
        await host.sleep(1)
        before = len(host.firmware.arrival_times("M112"))
        pulses = host.firmware.dtr_pulses
        assert (await host.gcode("M112")).status == 204
        await host.sleep(0.05)
        assert len(host.firmware.arrival_times("M112")) == before + 2
        assert host.firmware.dtr_pulses > pulses
        await host.sleep(20)
        began = host.now
        assert (await host.gcode("M112")).status == 204
        await host.until(lambda: host.firmware.arrival_times("M112", began), 2)


async def test_without_a_connection_there_is_nothing_to_stop(tmp_path):
    async with rig(tmp_path, Slow) as host:
        await host.sleep(1)
        await host.api.service.connection.disconnect()
        assert (await host.gcode("M112")).status == 409
        assert not host.firmware.arrival_times("M112")


@pytest.mark.parametrize("resets", [True, False])
async def test_a_halted_board_is_ready_again_when_it_answers(tmp_path, resets):
    class Board(FakeFirmware):
        def on(self, number, command, raw):
            return None

    Board.resets = resets
    async with rig(tmp_path, Board) as host:
        await host.sleep(2)
        host.firmware.halt("Error:Thermal Runaway, system stopped! Heater_ID: 0", KILLED)
        await host.until(lambda: not host.ready)
        assert "Thermal Runaway" in await host.error()
        if not resets:
            await host.sleep(90)
            assert host.api.service.connection.state is not C.READY
            assert "Thermal Runaway" in await host.error(), "that it has halted goes before its not answering"
            host.firmware.boot()  # a user presses its reset button
        await host.until(lambda: host.ready, 70)
        status = await host.job_status()
        assert (status["state"], status.get("error")) == ("Operational", None)
        assert (await host.api.get("/api/printer/error")).json["error"] == ""


@pytest.mark.parametrize("board", [Klipper, Smoothie])
async def test_a_firmware_that_halted_earlier_is_not_ready(tmp_path, board):
    """Both still answer: they greet, and identify themselves."""

    class Halted(board):
        def __init__(self):
            super().__init__()
            if board is Klipper:
                self.shut_down("MCU 'mcu' shutdown: Timer too close")
            else:
                self.stop()

    async with rig(tmp_path, Halted, printer={"connect": False}) as host:
        states = set()
        for _ in range(600):
            await host.sleep(0.1)
            states.add(host.api.service.connection.state)
        assert C.READY not in states
        assert await host.error()
        host.firmware.shutdown_reason = None
        host.firmware.halted = False
        await host.until(lambda: host.ready, 40)
        assert not await host.error()


async def test_a_printer_that_appears_after_a_stop_is_stopped(tmp_path):
    class Away(Slow):
        def __init__(self):
            super().__init__()
            self.plugged = False

    async with rig(tmp_path, Away, printer={"connect": False}) as host:
        await host.sleep(3)
        assert (await host.gcode("M112")).status == 204
        await host.sleep(3)
        began = host.now
        host.firmware.plug()
        await host.until(lambda: host.firmware.arrival_times("M112", began), 2)


class HaltedKlipper(Klipper):
    revival = "FIRMWARE_RESTART"

    def stop(self, why):
        self.shut_down(why)
        self.say("// Klipper state: Shutdown")


class HaltedSmoothie(Smoothie):
    revival = "M999"


@pytest.mark.parametrize("by", ["connect", "command"])
@pytest.mark.parametrize("board", [HaltedKlipper, HaltedSmoothie])
async def test_a_firmware_that_stays_halted_is_revived_on_request(tmp_path, board, by):
    async with rig(tmp_path, board) as host:
        await host.gcode("M104 S200")
        await host.sleep(5)
        host.firmware.stop("ERROR: extruder overheated")
        await host.gcode("G1 X1")
        await host.until(lambda: not host.ready, 20)
        await host.sleep(60)
        assert not host.ready
        assert not host.firmware.arrival_times(board.revival), "nobody has looked at it yet"
        assert f"send {board.revival} or connect again" in await host.error()
        for commands in ((board.revival, "G28"), ("G28", board.revival)):
            refused = await host.gcode(*commands)
            assert refused.status == 400
            assert f"send {board.revival} alone" in refused.error
        if by == "connect":
            assert (await host.api.post("/api/connection", {"command": "connect"})).status == 204
        else:
            assert (await host.gcode(board.revival)).status == 204
        await host.until(lambda: host.ready, 20)
        assert len(host.firmware.arrival_times(board.revival)) == 1
        assert host.firmware.arrival_times("M104 S0")
        assert not await host.error()


async def test_connecting_revives_a_stopped_printer(tmp_path):
    async with rig(tmp_path, HaltedKlipper) as host:
        await host.gcode("M112")
        await host.sleep(60)
        assert not host.ready
        assert not host.firmware.arrival_times("FIRMWARE_RESTART")
        await host.api.post("/api/connection", {"command": "connect"})
        await host.until(lambda: host.ready, 20)


async def test_a_firmware_that_cannot_be_revived_reports_its_reason_again(tmp_path):
    class Broken(HaltedKlipper):
        def on(self, number, command, raw):
            why = self.shutdown_reason
            answer = super().on(number, command, raw)
            self.shutdown_reason = why  # its configuration has an error
            return answer

    async with rig(tmp_path, Broken) as host:
        host.firmware.stop("Option 'x' is not valid")
        await host.until(lambda: not host.ready, 20)
        await host.api.post("/api/connection", {"command": "connect"})
        await host.sleep(50)
        assert not host.ready
        assert "Option 'x' is not valid; send FIRMWARE_RESTART" in await host.error()
        assert len(host.firmware.arrival_times("FIRMWARE_RESTART")) == 1


async def test_a_board_that_is_still_stopped_when_opened_is_revived(tmp_path):
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

    async with rig(tmp_path, Stopped) as host:
        host.firmware.stopped = True
        await host.gcode("G1 X1")
        await host.until(lambda: not host.ready)
        await host.sleep(1)
        await host.api.post("/api/connection", {"command": "connect"})
        await host.sleep(10)
        assert host.ready
        assert len(host.firmware.arrival_times("M999")) == 1
        await host.gcode("G1 X1")
        await host.sleep(5)
        assert host.ready
