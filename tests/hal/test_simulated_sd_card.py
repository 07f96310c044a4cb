import pytest

from gcode.framing import frame
from hal.simulated.firmware import Firmware, FirmwareConfig

START = ["echo:Now fresh file: CUBE.GCO", "File opened: CUBE.GCO Size: 1000", "File selected"]


class Bench:
    """A booted board with an SD card, on a clock moved by hand."""

    def __init__(self, **config):
        self.firmware = Firmware(FirmwareConfig(**{"sd_card": True, **config}))
        self.firmware.reset(0.0)
        self.firmware.advance(1.0)

    def run(self, until):
        return self.firmware.advance(until).decode().splitlines()

    def send(self, command):
        self.firmware.receive(command.encode() + b"\n", self.firmware.now)
        return self.run(self.firmware.now)


def test_a_print_at_the_panel_is_reported_queried_and_ends():
    bench = Bench()
    bench.firmware.start_panel_print("CUBE.GCO", 1000)
    assert bench.run(1.0) == START
    bench.run(3.5)
    assert bench.send("M27") == ["SD printing byte 250/1000", "ok"]
    assert bench.run(10.9) == []
    assert bench.run(11.0) == ["Done printing file"]
    assert bench.send("M27") == ["Not SD printing", "ok"]


def test_progress_is_reported_automatically_on_request():
    bench = Bench()
    assert bench.send("M27 S5") == ["ok"]
    assert bench.run(6.0) == ["Not SD printing"]
    bench.firmware.start_panel_print("CUBE.GCO", 1000)
    assert bench.run(11.0) == [*START, "SD printing byte 500/1000"]
    assert bench.send("M27 S0") == ["ok"]
    assert bench.run(15.9) == []


@pytest.mark.parametrize(("autoreport", "capability"), [(True, "1"), (False, "0")])
def test_m115_reports_the_capability(autoreport, capability):
    replies = Bench(autoreport=autoreport).send("M115")
    assert "Cap:SDCARD:1" in replies
    assert f"Cap:AUTOREPORT_SD_STATUS:{capability}" in replies


def test_a_stopped_board_does_not_print():
    bench = Bench()
    bench.firmware.start_panel_print("CUBE.GCO", 1000)
    bench.send("M27 S5")
    bench.send("M112")
    assert bench.run(100.0) == []


def test_commands_of_the_card_are_unknown_without_one():
    bench = Bench(sd_card=False)
    assert bench.send("M27") == ['echo:Unknown command: "M27"', "ok"]
    assert "Cap:AUTOREPORT_SD_STATUS:0" in bench.send("M115")


def test_a_print_stopped_at_the_panel_ends_silently():
    bench = Bench()
    bench.firmware.start_panel_print("CUBE.GCO", 1000)
    bench.run(2.0)
    bench.firmware.board.sd.stop()
    assert bench.run(100.0) == []
    bench.firmware.receive(frame(1, b"M27"), bench.firmware.now)
    assert bench.run(100.0) == ["Not SD printing", "ok"]


PART = b"; a part\nG28\n\nG1 X10 F6000 ; there\nG1 X20\nM117 done"


@pytest.fixture
def bench():
    return Bench(sd_files={"part.gcode": PART, "A LONG NAME.GCO": b"G4 P1\n"})


def test_files_are_listed_with_short_names_and_long_ones(bench):
    assert bench.send("M20") == ["Begin file list", f"PART.GCO {len(PART)}", "A LONG~1.GCO 6", "End file list", "ok"]
    assert bench.send("M20 L")[1:3] == [f"PART.GCO {len(PART)} part.gcode", "A LONG~1.GCO 6 A LONG NAME.GCO"]
    assert bench.send("M33 A LONG~1.GCO") == ["/A LONG NAME.GCO", "ok"]


def test_a_file_is_selected_and_printed_line_by_line(bench):
    opened = [f"File opened: part.gcode Size: {len(PART)}", "File selected", "ok"]
    assert bench.send("M23 PART.GCO")[1:] == opened
    assert bench.send("M24") == ["ok"]
    replies = [line for line in bench.run(60) if "busy" not in line]
    assert replies == ["X:0.00 Y:0.00 Z:0.00 E:0.00 Count X:0 Y:0 Z:0", "Done printing file"]  # and no ok
    assert bench.send("M114")[0].startswith("X:20.00 ")


def test_the_host_is_answered_while_the_card_prints_and_can_pause_it():
    bench = Bench(sd_files={"SLOW.GCO": b"G4 S1\n" * 20})
    bench.send("M23 SLOW.GCO")
    bench.send("M24")
    bench.run(5.5)
    bench.send("M25")
    assert "ok" in bench.run(15.0)
    assert bench.send("M27") == ["Not SD printing", "ok"]
    assert bench.run(60.0) == []
    assert bench.send("M24") == ["ok"]
    assert bench.run(120.0)[-1] == "Done printing file"


def test_a_print_can_begin_in_the_middle(bench):
    bench.send("M23 PART.GCO")
    bench.send(f"M26 S{PART.index(b'G1 X20')}")
    bench.send("M24")
    bench.run(5)
    assert bench.send("M114")[0].startswith("X:20.00 ")


def test_a_file_is_selected_and_printed_by_one_command(bench):
    assert bench.send("M32 !PART.GCO#")[1] == f"File opened: part.gcode Size: {len(PART)}"
    assert "Done printing file" in bench.run(60)


def test_a_missing_file_and_an_upload_are_refused(bench):
    assert bench.send("M23 NONE.GCO") == ["open failed, File: NONE.GCO.", "ok"]
    assert bench.send("M28 NEW.GCO") == ["open failed, File: NEW.GCO.", "ok"]
    assert bench.send("M30 NONE.GCO") == ["Deletion failed, File: NONE.GCO.", "ok"]


def test_a_deleted_file_stays_deleted_after_a_reset(bench):
    assert bench.send("M30 PART.GCO") == ["File deleted:PART.GCO", "ok"]
    bench.firmware.reset(bench.firmware.now)
    bench.run(bench.firmware.now + 1)
    assert bench.send("M20") == ["Begin file list", "A LONG~1.GCO 6", "End file list", "ok"]


def test_stored_settings_survive_a_reset():
    bench = Bench(eeprom=True)
    bench.send("M92 X100")
    bench.firmware.reset(bench.firmware.now)
    bench.run(bench.firmware.now + 1)
    assert "X80.00" in bench.send("M92")[0]
    bench.send("M92 X100")
    assert bench.send("M500")[0].startswith("echo:Settings Stored")
    bench.firmware.reset(bench.firmware.now)
    bench.run(bench.firmware.now + 1)
    assert "X100.00" in bench.send("M92")[0]
    assert bench.send("M502") == ["echo:Hardcoded Default Settings Loaded", "ok"]
    assert "X80.00" in bench.send("M92")[0]
    assert "echo: M92 X100.00 Y80.00 Z400.00 E93.00" in bench.send("M501")


def test_the_position_is_reported_automatically():
    bench = Bench()
    bench.send("M154 S2")
    assert len(bench.run(7.5)) == 3
    bench.send("M154 S0")
    assert bench.run(20) == []
