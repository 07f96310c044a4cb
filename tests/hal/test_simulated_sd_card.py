import pytest

from gcode.framing import frame
from hal.simulated.firmware import Firmware, FirmwareConfig

START = ["echo:Now fresh file: CUBE.GCO", "File opened: CUBE.GCO Size: 1000", "File selected"]


class Bench:
    """A booted board with an SD card; time goes by hand."""

    def __init__(self, **config):
        self.firmware = Firmware(FirmwareConfig(**{"sd_card": True, **config}))
        self.firmware.reset(0.0)
        self.firmware.advance(1.0)

    def run(self, until):
        return self.firmware.advance(until).decode().splitlines()

    def send(self, command):
        self.firmware.receive(command.encode() + b"\n", self.firmware.now)
        return self.run(self.firmware.now)


def test_a_print_at_the_panel_is_told_asked_for_and_ends():
    bench = Bench()
    bench.firmware.start_panel_print("CUBE.GCO", 1000)
    assert bench.run(1.0) == START
    bench.run(3.5)
    assert bench.send("M27") == ["SD printing byte 250/1000", "ok"]
    assert bench.run(10.9) == []
    assert bench.run(11.0) == ["Done printing file"]
    assert bench.send("M27") == ["Not SD printing", "ok"]


def test_it_reports_by_itself_when_told_to():
    bench = Bench()
    assert bench.send("M27 S5") == ["ok"]
    assert bench.run(6.0) == ["Not SD printing"]
    bench.firmware.start_panel_print("CUBE.GCO", 1000)
    assert bench.run(11.0) == [*START, "SD printing byte 500/1000"]
    assert bench.send("M27 S0") == ["ok"]
    assert bench.run(15.9) == []


@pytest.mark.parametrize(("autoreport", "told"), [(True, "1"), (False, "0")])
def test_m115_says_whether_it_can(autoreport, told):
    said = Bench(autoreport=autoreport).send("M115")
    assert "Cap:SDCARD:1" in said
    assert f"Cap:AUTOREPORT_SD_STATUS:{told}" in said


def test_a_board_that_has_stopped_prints_no_more():
    bench = Bench()
    bench.firmware.start_panel_print("CUBE.GCO", 1000)
    bench.send("M27 S5")
    bench.send("M112")
    assert bench.run(100.0) == []


def test_without_a_card_nothing_is_known_of_it():
    bench = Bench(sd_card=False)
    assert bench.send("M27") == ['echo:Unknown command: "M27"', "ok"]
    assert "Cap:AUTOREPORT_SD_STATUS:0" in bench.send("M115")


def test_a_print_ended_at_the_panel_ends_without_a_word():
    bench = Bench()
    bench.firmware.start_panel_print("CUBE.GCO", 1000)
    bench.run(2.0)
    bench.firmware.board.sd.stop()
    assert bench.run(100.0) == []
    bench.firmware.receive(frame(1, b"M27"), bench.firmware.now)
    assert bench.run(100.0) == ["Not SD printing", "ok"]
