"""A line over a network stalls, or drops, for some time; the print goes on behind it, every line once."""

import pytest

from daemon.bridge.words import JobState as S
from hal.errors import NoSuchPort
from support.fake_firmware import MARLIN, FakeFirmware, cap, rig

MOVES = [f"G1 X{n}" for n in range(120)]


class Stalls(FakeFirmware):
    """Says that it is busy, so that the host takes a silence of 10 s for one; bytes stand still while `stalled`."""

    resets = False
    m115 = (MARLIN, *cap(AUTOREPORT_TEMP=0, EMERGENCY_PARSER=0))
    answers_new_lines = False  # somebody takes a new connection meanwhile, and stalls as well

    def __init__(self):
        super().__init__()
        self.stalled = False
        self._held: list[bytes] = []

    def on(self, number, command, raw):
        if command == "G28":
            return "echo:busy: processing", "ok"
        return (0.1, "ok") if command.startswith("G1") else None

    def receive(self, data):
        if self.stalled:
            self._held.append(data)
        else:
            super().receive(data)

    def _deliver(self, data):
        if self.stalled:
            self._kept += data
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
async def test_a_line_that_stalls_goes_on_afterwards(tmp_path, seconds, new_line):
    async with rig(tmp_path, Stalls) as it:
        it.firmware.answers_new_lines = new_line
        await it.print("M104 S200\nG28\n" + "\n".join(MOVES) + "\n")
        await it.until(lambda: it.firmware.arrived("G1 X40"))
        it.firmware.stalled = True
        await it.sleep(seconds)
        it.firmware.flow()
        await it.ended(S.COMPLETED, within=180)
        assert [each for each in it.firmware.job if each.startswith("G1")] == MOVES
        assert "M104 S0" not in it.firmware.done, "nothing made it cold in between"


async def test_one_that_never_comes_back_ends_the_print_and_it_is_made_cold_when_it_is_there(tmp_path):
    async with rig(tmp_path, Stalls) as it:
        await it.print("M104 S200\nG28\n" + "\n".join(MOVES) + "\n")
        await it.until(lambda: it.firmware.arrived("G1 X40"))
        it.firmware.stalled = True
        await it.until(lambda: it.state.ended, 200)
        assert it.state is not S.COMPLETED
        assert it.firmware.read("T")[1] == 200
        it.firmware.flow()
        await it.until(lambda: it.firmware.read("T")[1] == 0, 30)
