"""A network connection stalls or loses data for some time; the print continues, with every line once."""

import asyncio

import pytest

from daemon.bridge.words import JobState as S
from gcode.framing import frame
from hal.errors import NoSuchPort
from support.fake_firmware import MARLIN, FakeFirmware, cap, rig
from support.fake_printers import Repetier

MOVES = [f"G1 X{n}" for n in range(120)]


class Stalls(FakeFirmware):
    """Says that it is busy, so that the host takes a silence of 10 s for one; bytes stand still while `stalled`."""

    move_seconds = 0.1
    resets = False
    m115 = (MARLIN, *cap(AUTOREPORT_TEMP=0, EMERGENCY_PARSER=0))
    answers_new_lines = False  # a new connection is accepted meanwhile, and stalls as well

    def __init__(self):
        super().__init__()
        self.stalled = False
        self._held: list[bytes] = []

    def on(self, number, command, raw):
        if command == "G28":
            return "echo:busy: processing", "ok"
        return None

    def receive(self, data):
        if self.stalled:
            self._held.append(data)
        else:
            super().receive(data)

    def _deliver(self, data):
        if self.stalled:
            self._unread += data
        else:
            super()._deliver(data)

    def connect(self, on_data, on_lost, *, reset):
        if self.stalled and not self.answers_new_lines:
            raise NoSuchPort("no connection in 10 s")
        super().connect(on_data, on_lost, reset=reset)

    def flow(self):
        self.stalled = False
        for data in self._held:
            super().receive(data)
        self._held.clear()
        self._deliver(b"")


@pytest.mark.parametrize("seconds", [8, 50, 75])
@pytest.mark.parametrize("new_line", [False, True])
async def test_a_print_continues_after_its_connection_has_stalled(tmp_path, seconds, new_line):
    async with rig(tmp_path, Stalls) as host:
        host.firmware.answers_new_lines = new_line
        await host.print("M104 S200\nG28\n" + "\n".join(MOVES) + "\n")
        await host.until(lambda: host.firmware.arrival_times("G1 X40"))
        host.firmware.stalled = True
        await host.sleep(seconds)
        host.firmware.flow()
        await host.expect_end(S.COMPLETED, within=180)
        assert [each for each in host.firmware.job_commands if each.startswith("G1")] == MOVES
        assert "M104 S0" not in host.firmware.executed, "nothing made it cold in between"


async def test_a_connection_that_stays_lost_ends_the_print_and_heaters_go_off_when_it_is_back(tmp_path):
    async with rig(tmp_path, Stalls) as host:
        await host.print("M104 S200\nG28\n" + "\n".join(MOVES) + "\n")
        await host.until(lambda: host.firmware.arrival_times("G1 X40"))
        host.firmware.stalled = True
        await host.until(lambda: host.state.ended, 200)
        assert host.state is not S.COMPLETED
        assert host.firmware.read("T")[1] == 200
        host.firmware.flow()
        await host.until(lambda: host.firmware.read("T")[1] == 0, 30)


async def test_repeated_requests_of_repetier_for_late_lines_are_one(tmp_path):
    """It requests the line every 200 ms until it arrives, and skips lines that it already has."""

    class Asks(Repetier):
        late = 0.0
        due = 0.0

        def on(self, number, command, raw):
            return (0.05,) if command.startswith("G1") else super().on(number, command, raw)

        def receive(self, data):
            self.due = max(self.now + self.late, self.due + 1e-6)
            self.loop.call_at(self.due, self._take, data)

        def transfer(self, raw):
            if " G1 X40*" not in raw or self.late:
                return raw
            self.late = 0.9
            self.later(3.0, lambda: setattr(self, "late", 1e-6))
            return raw.replace("X4", "X5")

    async with rig(tmp_path, Asks) as host:
        await host.print("M104 S200\nG28\n" + "\n".join(MOVES) + "\n")
        await host.expect_end(S.COMPLETED, within=300)
        assert [each for each in host.firmware.job_commands if each.startswith("G1")] == MOVES
        assert host.firmware.late, "the line was late"
        assert len(host.firmware.arrival_times("G1")) < 2 * len(MOVES)


async def test_the_fake_repetier_skips_repeated_lines_as_the_real_one_does():
    board = Repetier()
    board.boot()
    board.receive(b"".join(frame(number, b"G1 X1") for number in (1, 2, 3, 2, 4, 9000)))
    await asyncio.sleep(0)
    log_entries = [text for _, way, text in board.wire if way == "<"][len(board.banner) :]
    assert log_entries[:6] == ["ok 1", "ok 2", "ok 3", "skip 2", "ok", "ok 4"]
    assert log_entries[6:] == ["Error:Wrong checksum", "", "Resend:5", "ok"], "a number of nowhere is asked about"
