"""Commands that heat: recorded dialogues of a real Marlin, and Marlin's source otherwise."""

import re
from dataclasses import replace

import pytest

from hal.simulated.heat_control import Pid
from hal.simulated.heater import BED, CHAMBER, HeaterFault
from support.lone_printer import HALTED, LonePrinter
from support.transcripts import experiments

# ── as recorded ─────────────────────────────────────────────────────────────────────────────────────────────────


def experiments_after_boot():
    """Return the experiments of the recording, without its boot."""
    return experiments("marlin-advok-heat.txt")[1:]


class Host:
    """Sends the recorded lines when they were sent: after an answer, or so long after the line before."""

    def __init__(self, printer):
        self.printer = printer
        self.owed = 0  # lines that have no ok yet

    def play(self, entries, end):
        """Play an experiment that was over at `end`; return what was said."""
        replies, owed, last = [], self.owed, entries[0][2]
        for sent, text, at in entries:
            if sent:
                replies += self.listen(at - last if owed else None)
                replies += self.say(text)
                owed, last = owed + 1, at
            elif text.startswith("ok"):
                owed, last = owed - 1, at
        return replies + ([] if owed else self.listen(None)) + self.listen(end - last)

    def say(self, text):
        self.owed += 1
        return self.heard(self.printer.send(text))

    def listen(self, seconds):
        """Wait so long; None: until all is answered."""
        if seconds is not None:
            return self.heard([line for _, line in self.printer.run(seconds)])
        replies, deadline = [], self.printer.now + 500
        while self.owed:
            assert self.printer.now < deadline
            due = self.printer.firmware.next_event()
            replies += self.heard([line for _, line in self.printer.run(due - self.printer.now)])
        return replies

    def heard(self, lines):
        self.owed -= sum(line.startswith("ok") for line in lines)
        return lines


def kinds(lines):
    """Blank out readings, and drop successive repeats of reports and busy lines."""
    result, row = [], set()
    for line in lines:
        text = line.replace("\r", "").replace("\\r", "")
        kind = re.sub(r"-?\d+(\.\d+)?", "#", text) if "T:" in text else re.sub(r"^ok P15 B\d", "ok P15 B#", text)
        if not kind.startswith((" T:", "echo:busy")):
            row.clear()
        elif kind in row:
            continue
        else:
            row.add(kind)
        result.append(kind)
    return result


def test_the_dialogue_about_heat_matches_the_recording():
    host = Host(LonePrinter(emergency_parser=True, advanced_ok=True, host_actions=True, flow_control=True))
    dialogues, compared = experiments_after_boot(), 0
    ends = [entries[0][2] for _, entries in dialogues[1:]] + [dialogues[-1][1][-1][2]]
    for (title, entries), end in zip(dialogues, ends, strict=True):
        replies = host.play(entries, end)
        assert kinds(replies) == kinds([text for sent, text, _ in entries if not sent]), title
        compared += len(entries)
    assert compared > 200


@pytest.mark.parametrize(("wait", "title"), [("M109 S200", "M109 S200"), ("M190 S60", "M140 S60")])
def test_the_countdown_matches_the_recording(wait, title):
    entries = next(each for name, each in experiments_after_boot() if name.startswith(title))
    recorded = [text.partition(" W:")[2] for _, text, _ in entries if " W:" in text]
    _, replies = LonePrinter().wait(wait)
    counted = [line.partition(" W:")[2] for line in replies if " W:" in line]
    assert [each for each in counted if each != "?"] == [each for each in recorded if each != "?"]


# ── waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("command", "heater", "target"), [("M109", 0, 200), ("M190", 1, 60), ("M191", 2, 40)])
def test_a_wait_ends_ten_seconds_after_the_window_is_entered(command, heater, target):
    printer, watched = LonePrinter(chamber=CHAMBER), LonePrinter(chamber=CHAMBER)
    watched.heat.heaters[heater].set_target(target, watched.now)
    began = watched.now
    while watched.heat.heaters[heater].temperature(watched.now) <= target - 1:
        watched.now += 0.01
    seconds, replies = printer.wait(f"{command} S{target}")
    assert seconds == pytest.approx(watched.now - began + 10, abs=0.02)
    assert replies[-1] == "ok"


def test_a_wait_for_a_warm_heater_takes_a_third_longer():
    printer = LonePrinter()
    printer.wait("M109 S200")
    seconds, replies = printer.wait("M109 R200")  # with S, a reading that is a little above would be enough
    assert seconds == pytest.approx(40 / 3)
    assert [line.partition(" W:")[2] for line in replies if " W:" in line] == ["?", *map(str, range(12, -1, -1))]


def test_leaving_the_hysteresis_restarts_the_time():
    printer = LonePrinter()
    lines = printer.send("M109 S200", seconds=84)
    printer.fail(HeaterFault.DRAUGHT)
    lines += [line for _, line in printer.run(3)]
    printer.fail(None)
    lines += [line for _, line in printer.run(120)]
    left = [line.partition(" W:")[2] for line in lines if " W:" in line]
    counted = [int(each) for each in left[left.index("9") :]]
    assert counted[:3] == [9, 8, 7]
    assert counted[-10:] == list(range(9, -1, -1))
    assert 15 < len(counted) < 50
    assert lines[-1] == "ok"


def test_s_does_not_wait_for_cooling_and_r_does():
    printer = LonePrinter(host_actions=True)
    printer.wait("M190 S60")
    assert printer.wait("M190 S40") == (0.0, ["//action:notification Bed Cooling...", "ok"])
    seconds, _ = printer.wait("M190 R50")
    assert seconds > 30
    assert printer.heat.bed.temperature(printer.now) == pytest.approx(50, abs=1)


def test_cooling_to_below_the_air_gives_up():
    printer = LonePrinter()
    printer.wait("M109 S50")
    seconds, _ = printer.wait("M109 R10")
    assert seconds % 60 == 0
    assert printer.heat.hotends[0].temperature(printer.now) == pytest.approx(21.3, abs=1.5)


def test_a_wait_without_a_target_ends_at_once():
    assert LonePrinter().wait("M109") == (0.0, ["ok"])


def test_a_protection_that_trips_ends_a_wait():
    printer = LonePrinter()
    printer.fail(HeaterFault.NO_HEAT, "bed")
    lines = printer.send("M190 S60", seconds=100)
    assert lines[-2:] == ["Error:Heating failed, system stopped! Heater_ID: bed", HALTED]
    assert not [line for line in lines if line.startswith("ok")]


# ── reports ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_reports_name_every_heater():
    air = "21.30 /0.00"
    two = {"extruders": 2, "chamber": CHAMBER}
    assert LonePrinter().send("M105") == [f"ok T:{air} B:{air} @:0 B@:0"]
    assert LonePrinter(chamber=CHAMBER).send("M105") == [f"ok T:{air} B:{air} C:{air} @:0 B@:0 C@:0"]
    names = f"T:{air} B:{air} C:{air} T0:{air} T1:{air} @:0 B@:0 C@:0 @0:0 @1:0"
    assert LonePrinter(**two).send("M105") == [f"ok {names}"]


def test_the_first_reading_is_the_active_tools():
    printer = LonePrinter(extruders=2)
    printer.send("M104 T1 S200", seconds=20)
    assert printer.send("M105")[0].startswith("ok T:21.30 /0.00")
    printer.send("T1", seconds=5)
    report = printer.send("M105")[0]
    assert re.match(r"ok T:\d+\.\d\d /200.00 .* T0:21.30 /0.00 T1:\d+\.\d\d /200.00 @:127 B@:0 @0:0 @1:127$", report)
    printer.send("M104 S150")
    assert [each.target for each in printer.heat.hotends] == [0, 150]


def test_a_missing_tool_is_refused():
    assert LonePrinter().send("M104 T1 S200", "M109 T-1 S200") == [
        "echo:M104 Invalid extruder 1",
        "ok",
        "echo:M109 Invalid extruder -1",
        "ok",
    ]


def test_auto_reports_are_the_same_without_an_ok():
    printer = LonePrinter()
    assert printer.send("M155 S2", seconds=7)[1:] == [" T:21.30 /0.00 B:21.30 /0.00 @:0 B@:0"] * 3
    assert printer.send("M155 S0", seconds=100) == ["ok"]


def test_readings_are_consistent_and_follow_the_seed():
    def readings(seed, query):
        printer = LonePrinter(noise=0.1, seed=seed)
        return [line.removeprefix("ok").strip() for _ in range(30) for line in printer.send(query, seconds=1)]

    assert readings(1, "M105") == readings(1, "M105\nM105")[::2]
    assert readings(1, "M105") != readings(2, "M105")


# ── chamber, fans, gains ────────────────────────────────────────────────────────────────────────────────────────


def test_a_chamber_heats_if_there_is_one():
    printer = LonePrinter(chamber=CHAMBER)
    assert printer.send("M141 S45") == ["ok"]
    assert printer.heat.chamber.target == 45
    assert LonePrinter().send("M141 S45") == ['echo:Unknown command: "M141 S45"', "ok"]


def test_fans_have_numbers():
    printer = LonePrinter(fans=2)
    printer.send("M106", "M106 P1 S100", "M106 P7 S100")
    assert printer.heat.fans == [255, 100]
    printer.send("M107 P1", "M106 S300")
    assert printer.heat.fans == [255, 0]
    printer.send("M106 S-5")
    assert printer.firmware.board.fan == 0


def test_the_fan_cools_the_nozzle():
    still, blown = LonePrinter(), LonePrinter()
    for each, line in ((still, "M107"), (blown, "M106")):
        each.send("M104 S200", line, seconds=400)
    powers = [each.heat.hotends[0].power(each.now) for each in (still, blown)]
    assert powers[1] > powers[0] + 10


def test_extruding_cools_the_nozzle():
    printer = LonePrinter()
    printer.send("M104 S200", seconds=400)
    before = printer.heat.hotends[0].power(printer.now)
    printer.send("M83", "G1 E60 F300", seconds=10)  # 5 mm/s: 12 mm³/s
    assert printer.heat.hotends[0].power(printer.now) > before + 8


def test_gains_are_reported_and_set():
    printer = LonePrinter()
    assert printer.send("M301") == ["echo: p:21.14 i:1.76 d:55.47", "ok"]
    assert printer.send("M301 P30 I2") == ["echo: p:30.00 i:2.00 d:55.47", "ok"]
    assert printer.heat.hotends[0].control.gains == Pid(30.0, 2.0, 55.47)
    assert printer.send("M301 E1 P5") == ["Error:Invalid extruder", "ok"]
    printer.firmware.reset(printer.now)
    printer.run(1.0)
    assert printer.heat.hotends[0].control.gains == Pid()


def test_a_bed_with_a_pid_has_gains():
    assert LonePrinter().send("M304 P5") == ['echo:Unknown command: "M304 P5"', "ok"]
    printer = LonePrinter(bed=replace(BED, control=Pid(60.0, 3.0, 300.0)))
    assert printer.send("M304 P70") == ["echo: p:70.00 i:3.00 d:300.00", "ok"]
    printer.wait("M190 S60")
    printer.run(200)
    assert printer.heat.bed.temperature(printer.now) == pytest.approx(60, abs=0.3)


def test_autotune_is_refused():
    assert LonePrinter().send("M303 E0 S200 C3") == ['echo:Unknown command: "M303 E0 S200 C3"', "ok"]


# ── when nothing happens ────────────────────────────────────────────────────────────────────────────────────────

TIMED_OUT = "Error:KILL caused by too much inactive time - current command: "


def halts_after(printer, most=2000.0):
    began, lines = printer.now, printer.run(most)
    assert [line for _, line in lines[-2:]][1] == HALTED
    return lines[-2][0] - began, lines[-2][1]


def test_m85_halts_a_printer_that_does_not_move_and_turns_its_heaters_off():
    printer = LonePrinter()
    printer.send("M104 S200", "M140 S60", "M85 S300", seconds=200)
    after, text = halts_after(printer)
    assert after == pytest.approx(100)
    assert text == TIMED_OUT + "M85 S300"
    assert [each.target for each in printer.heat.heaters] == [0, 0]


def test_querying_temperatures_does_not_count():
    printer = LonePrinter()
    printer.send("M85 S300")
    for _ in range(59):
        assert len(printer.send("M105", seconds=5)) == 1
    assert halts_after(printer) == (pytest.approx(5), TIMED_OUT + "M105")


def test_moves_count_from_their_end():
    printer = LonePrinter()
    printer.send("M85 S60", seconds=30)
    printer.send("G1 X50 F300", "G1 X0")  # 20 s
    after, _ = halts_after(printer)
    assert after == pytest.approx(80.2, abs=0.5)


def test_homing_and_waiting_for_heat_count():
    printer = LonePrinter()
    printer.send("M85 S30")
    homing, _ = printer.wait("G28")
    waiting, _ = printer.wait("M190 S60")
    assert homing > 10
    assert waiting > 60
    assert halts_after(printer)[0] == pytest.approx(30, abs=0.2)


def test_a_dwell_does_not_count():
    printer = LonePrinter(busy=False)
    printer.send("M85 S30")
    assert printer.send("G4 S100", seconds=100) == [TIMED_OUT + "G4 S100", HALTED]


def test_waiting_for_filament_counts():
    printer = LonePrinter(host_actions=True, emergency_parser=True)
    printer.send("M85 S30")
    printer.send("M600", seconds=200)
    assert not printer.firmware.halted
    printer.send("M108", seconds=29)
    assert not printer.firmware.halted
    assert TIMED_OUT + "M108" in printer.send("", seconds=2)


@pytest.mark.parametrize("off", ["M85 S0", "reset"])
def test_m85_can_be_disarmed(off):
    printer = LonePrinter()
    printer.send("M85 S30", seconds=20)
    if off == "reset":
        printer.firmware.reset(printer.now)
    else:
        printer.send(off)
    printer.run(1000)
    assert not printer.firmware.halted


def idle(**config):
    printer = LonePrinter(hotend_idle_timeout=True, **config)
    printer.send("M104 S200", "M140 S60", seconds=120)
    return printer


def test_m86_turns_the_heaters_down_when_nothing_moves():
    printer = idle()
    assert printer.send("M86 S300 T180 E50 B40") == ["ok"]
    lines = printer.run(1000)
    assert [line for _, line in lines] == ["Hotend Idle Timeout"]
    assert lines[0][0] == pytest.approx(121 + 300)
    assert [each.target for each in printer.heat.heaters] == [50, 40]


def test_m86_runs_from_when_the_hotend_is_hot():
    printer = LonePrinter(hotend_idle_timeout=True)
    printer.send("M86 S300 T180", seconds=1000)
    printer.send("M104 S200")
    hotend, began = printer.heat.hotends[0], printer.now
    lines = printer.run(500)
    twin = LonePrinter(hotend_idle_timeout=True)
    twin.run(1000)
    twin.send("M104 S200")
    while twin.heat.hotends[0].temperature(twin.now) < 180:
        twin.run(0.15625)
    assert [line for _, line in lines] == ["Hotend Idle Timeout"]
    assert lines[0][0] - began == pytest.approx(twin.now - began + 300, abs=0.32)
    assert hotend.target == 0


def test_moves_postpone_m86():
    printer = idle()
    printer.send("M86 S100", "M83")
    for line in ("G1 E0.5 F300", "G1 X10 F6000", "G1 X0 E1", "G1 E-1", "G28 X", "G1 Y5"):
        assert "Hotend Idle Timeout" not in printer.send(line, seconds=90)
    lines = printer.run(1000)
    assert [line for _, line in lines] == ["Hotend Idle Timeout"]
    assert lines[0][0] == pytest.approx(121 + 5 * 90 + 100, abs=1)


def test_m86_reports_its_setting_and_m87_ends_it():
    printer = idle()
    printer.send("M86 S300 T170 E20 B10")
    assert printer.send("M86") == ["echo:; Hotend Idle Timeout:", "echo:  M86 B10 E20 S300 T170", "ok"]
    assert printer.send("M86 T20")[0] == "?Idle Timeout (T) trigger temperature should be over 23C."
    printer.send("M87")
    assert printer.run(2000) == []


def test_m86_is_unknown_without_the_option():
    assert LonePrinter().send("M86 S300") == ['echo:Unknown command: "M86 S300"', "ok"]
