"""Warnings about a printer with a fault, and none about one without."""

import pytest

from daemon.bridge.words import JobState as S
from support.fake_firmware import MARLIN, FakeFirmware, cap, rig
from support.fake_printers import Repetier

REPORTS = (MARLIN, *cap(AUTOREPORT_TEMP=1, EMERGENCY_PARSER=0))


async def test_clients_see_a_message_among_constant_reports(tmp_path):
    class Stuck(FakeFirmware):
        m115 = REPORTS

        def on(self, number, command, raw):
            return (1e6,) if command == "G1 X40" else None

    async with rig(tmp_path, Stuck, safety={"no_progress_min": 1.0}) as host:
        await host.print("M140 S60\nM190 S60\n" + "".join(f"G1 X{n}\n" for n in range(100)))
        await host.until(lambda: host.firmware.arrival_times("G1 X40"))
        await host.sleep(50)
        assert not await host.warning()
        await host.sleep(20)
        assert "no progress for 1 min" in await host.warning()


class Levels(FakeFirmware):
    """Reports nothing while it levels its bed, as configured; it only sends busy messages."""

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
async def test_reports_that_a_client_has_turned_off_are_missed_unless_the_firmware_is_busy(tmp_path, busy):
    async with rig(tmp_path, type("Levels", (Levels,), {"says_busy": busy})) as host:
        await host.print("M140 S60\n" + "G4 S5\n" * 8 + "G29\n" + "G1 X1\n" * 20)
        await host.sleep(3)
        await host.gcode("M155 S0")
        assert await host.wait_for_end(within=300) is (S.COMPLETED if busy else S.FAILED)
        assert bool(host.log_entries("no temperature was reported for 60 s")) is not busy


class Keeps(FakeFirmware):
    """Sends busy messages at the interval set by M113."""

    m115 = (MARLIN, *cap(AUTOREPORT_TEMP=1, BUSY_PROTOCOL=1))
    every_s = 2

    def on(self, number, command, raw):
        if command.startswith("M113"):
            self.every_s = int(command.partition("S")[2])
        return self._level() if command.startswith("G29") else (20.0, "ok") if command.startswith("G1") else None

    def _level(self):
        for second in range(200):
            yield 1.0
            if self.every_s and second % self.every_s == 0:
                yield "echo:busy: processing"
        yield "ok"


@pytest.mark.parametrize(
    ("command", "by_file"),
    [("M113 S0", True), ("M113 S60", True), ("M155 S0", True), ("M113 S0", False), ("M113 S60", False)],
)
async def test_a_command_for_fewer_reports_ends_no_print(tmp_path, command, by_file):
    """A file's is not sent; after a client's M113 its silence means less. With M155 S0 a slow move hides M105."""
    async with rig(tmp_path, Keeps) as host:
        lines = ["G29", *([command] if by_file else []), "M104 S200", *["G1 X1"] * 10, "G29", "G1 X2"]
        if not by_file:
            await host.gcode("G29", command)
        await host.print("\n".join(lines))
        await host.expect_end(S.COMPLETED, within=2000)
        assert host.firmware.open_count == 1
        assert bool(host.firmware.arrival_times(command)) is not by_file


async def test_the_log_has_dialect_and_window_of_a_connection(tmp_path):
    async with rig(tmp_path, FakeFirmware) as host:
        [entry] = host.log_entries("printer.connected")
        assert (entry["dialect"], entry["window_lines"], entry["window_bytes"]) == ("Marlin", 4, 127)


@pytest.mark.parametrize("board", [FakeFirmware, Repetier])
async def test_a_firmware_that_does_not_know_m85_is_not_called_protected(tmp_path, board):
    class Without(board):
        def on(self, number, command, raw):
            if command.startswith("M85"):
                return ('echo:Unknown command: "M85 S0"', *(() if self.ok_at_receipt else ("ok",)))
            return super().on(number, command, raw)

    async with rig(tmp_path, Without) as host:
        await host.sleep(5)
        assert host.log_entries("not_protected")
        dead_man = (await host.api.get("/api/printer")).json["safety"]["deadMan"]
        assert dead_man["afterSeconds"] is None
        assert "M85" in dead_man["reason"]
        await host.gcode("M104 S200")
        await host.sleep(1800)
        assert len(host.firmware.arrival_times("M85")) == 1, "it is not told again and again"
        assert len(host.log_entries("not_protected")) == 1
