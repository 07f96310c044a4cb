"""What is told of a printer on which something is wrong, and what is not."""

import pytest

from daemon.bridge.words import JobState as S
from support.fake_firmware import MARLIN, FakeFirmware, cap, rig

REPORTS = (MARLIN, *cap(AUTOREPORT_TEMP=1, EMERGENCY_PARSER=0))


async def test_clients_see_it_beside_reports_that_come_all_the_time(tmp_path):
    class Stuck(FakeFirmware):
        m115 = REPORTS

        def on(self, number, command, raw):
            return (1e6,) if command == "G1 X40" else None

    async with rig(tmp_path, Stuck, safety={"no_progress_min": 1.0}) as it:
        await it.print("M140 S60\nM190 S60\n" + "".join(f"G1 X{n}\n" for n in range(100)))
        await it.until(lambda: it.firmware.arrived("G1 X40"))
        await it.sleep(50)
        assert not await it.warning()
        await it.sleep(20)
        assert "no progress for 1 min" in await it.warning()


class Levels(FakeFirmware):
    """Reports nothing while it levels its bed, as a file has told it to; it only says that it is busy."""

    m115 = REPORTS
    says_busy = True

    def on(self, number, command, raw):
        if command.startswith("G4"):
            return 5.0, "ok"
        return self._level() if command.startswith("G29") else None

    def _level(self):
        for _ in range(100):
            yield 2.0
            if self.says_busy:
                yield "echo:busy: processing"
        yield "ok"


@pytest.mark.parametrize("busy", [True, False])
async def test_reports_that_a_file_has_turned_off_are_missed_unless_the_firmware_is_busy(tmp_path, busy):
    async with rig(tmp_path, type("Levels", (Levels,), {"says_busy": busy})) as it:
        await it.print("M140 S60\nG4 S5\nM155 S0\nG29\n" + "G1 X1\n" * 20)
        assert await it.end(within=300) is (S.COMPLETED if busy else S.FAILED)
        assert bool(it.said("no temperature was reported for 60 s")) is not busy


async def test_the_log_says_how_a_printer_is_spoken_to(tmp_path):
    async with rig(tmp_path, FakeFirmware) as it:
        [entry] = it.said("printer.connected")
        assert (entry["dialect"], entry["window_lines"], entry["window_bytes"]) == ("Marlin", 4, 127)
