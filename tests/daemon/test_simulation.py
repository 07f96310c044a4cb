"""Whole prints on the virtual clock, and their reports."""

import json
from dataclasses import replace

import pytest

from daemon.simulation.incidents import Incident
from daemon.simulation.outcome import ScenarioFault, UnderrunPlace, find_bottlenecks
from daemon.simulation.run import Simulation, SimulationError, SimulationPlan
from daemon.simulation.series import MAX_SAMPLES, Sample, Series
from daemon.simulation.summary import summarise
from daemon.simulation.witness import Witness
from hal.session_file import EVENT, HOST, read
from hal.simulated import clock
from hal.simulated.config import FirmwareConfig
from hal.simulated.personalities import FIRMWARES
from hal.simulated.scenario import Fault, Scenario

HEAT = ["M104 S200", "M109 S200"]
START = ["G21", "G90", "M82", "G28", "G92 E0"]


def layer(z, e, sides=4):
    """Return a square of 20 mm with 1 mm of filament a side, at 20 mm/s."""
    corners = [(70, 50), (70, 70), (50, 70), (50, 50)] * (sides // 4)
    return [f"G1 Z{z:.2f} F600", "G1 X50 Y50 F6000"] + [
        f"G1 X{x} Y{y} E{e + index + 1:.5f} F1200" for index, (x, y) in enumerate(corners)
    ]


PRINT = [*HEAT, *START, *layer(0.2, 0), *layer(0.4, 4), "M117 half way", *layer(0.6, 8), "M104 S0"]


def simulate(folder, lines, *faults, on_report=lambda _: None, **plan):
    """Print these lines; return the simulation and its outcome."""
    path = folder / "part.gcode"
    path.write_text("".join(f"{line}\n" for line in lines))
    config = replace(plan.pop("firmware", FirmwareConfig()), scenario=Scenario(faults))

    async def run():
        simulation = Simulation(SimulationPlan(path, config, **plan), on_report)
        return simulation, await simulation.run()

    return clock.run(run())


def events(outcome):
    return [f"{each.who} {each.what}" for each in outcome.events]


def test_an_undisturbed_print_is_exact(tmp_path):
    reports = []
    _, outcome = simulate(tmp_path, PRINT, on_report=reports.append)
    assert outcome.exact
    assert (outcome.state, outcome.reason, outcome.difference) == ("COMPLETED", None, "")
    assert outcome.lines == outcome.file_lines == len(PRINT)
    assert [(each.z, each.filament_mm) for each in outcome.layer_times] == [(0.2, 4), (0.4, 4), (0.6, 4)]
    assert outcome.filament_mm == 12
    assert outcome.layers == 3
    assert 4.0 < outcome.layer_times[1].duration_s < 6  # 80 mm at 20 mm/s, and the way up
    assert outcome.temperatures["tool0"].target == 200
    assert outcome.temperatures["tool0"].highest == pytest.approx(200, abs=8)
    assert outcome.layer_times[0].began_s > outcome.temperatures["tool0"].reached_s > 10
    assert outcome.duration_s >= outcome.layer_times[-1].began_s + outcome.layer_times[-1].duration_s - 0.001
    assert (outcome.underruns, outcome.resends, outcome.faults, outcome.events) == (0, 0, [], [])
    assert (outcome.bottlenecks, outcome.peak_wire_share) == ([], None)
    assert reports[-1].offset == (tmp_path / "part.gcode").stat().st_size
    assert [each.time for each in reports] == sorted(each.time for each in reports)


def test_a_file_behind_a_symbolic_link_is_printed(tmp_path):
    """The user names the file, so it need not be in a folder of uploads."""
    link, folder = tmp_path / "elsewhere" / "part.gcode", tmp_path / "named"
    link.parent.mkdir()
    folder.mkdir()
    link.write_text("")
    (folder / "part.gcode").symlink_to(link)
    _, outcome = simulate(folder, PRINT)
    assert (outcome.state, outcome.reason, outcome.exact) == ("COMPLETED", None, True)


def test_an_outcome_is_json(tmp_path):
    _, outcome = simulate(tmp_path, PRINT)
    result = json.loads(json.dumps(outcome.as_json()))
    needed = {"exact", "lines", "duration_s", "layers", "filament_mm", "underruns", "faults"}
    assert needed <= result.keys()
    assert result["layer_times"][0]["z"] == 0.2
    again = [Incident(float(time), "printer", f"says Resend: {time}") for time in range(60, 90)]
    jobs = [Incident(float(time), "job", "PAUSED") for time in (99, 100)]
    lines = [line.strip() for line in summarise(replace(outcome, events=[*again, *jobs]), "x")]
    assert lines[-3:] == [
        "0:01:00 printer says Resend: 60, and 29 more like it",
        "0:01:39 job PAUSED",
        "0:01:40 job PAUSED",
    ]


def test_a_summary_counts_faults_and_names_late_lines(tmp_path):
    _, outcome = simulate(tmp_path, PRINT)
    faults = [ScenarioFault(60.0, "flip", 7), ScenarioFault(70.0, "reset", 8), ScenarioFault(80.0, "flip", 9)]
    places = [UnderrunPlace(10.0, 5, 0.25), UnderrunPlace(20.0, None, 0.5)]
    lines = [line.strip() for line in summarise(replace(outcome, faults=faults, underrun_places=places), "x")]
    assert lines[-3:] == ["faults     3", "flip 2 times, first at 0:01:00", "reset once, at 0:01:10"]
    assert {"0:00:10 line 5, 0.250 s", "0:00:20 0.500 s"} < set(lines)


def test_a_print_over_a_disturbed_connection_is_exact_and_its_faults_are_listed(tmp_path):
    flips = Fault("flip", probability=0.003), Fault("lose_ok", line=12)
    _, outcome = simulate(tmp_path, [*PRINT, *layer(0.8, 12, sides=80)], *flips)
    assert outcome.exact
    assert outcome.resends > 0
    assert {each.what for each in outcome.faults} == {"flip", "lose_ok"}
    lost = next(each for each in outcome.faults if each.what == "lose_ok")
    assert lost.line == 12
    assert 0 < lost.time_s < outcome.duration_s
    assert any("checksum mismatch" in each or "Line Number" in each for each in events(outcome))


def test_a_firmware_that_halts_fails_the_print(tmp_path):
    _, outcome = simulate(tmp_path, PRINT, Fault("kill", line=20))
    assert not outcome.exact
    assert outcome.state in ("FAILED", "INTERRUPTED")
    assert outcome.lines < outcome.file_lines == len(PRINT)
    assert "never came" in outcome.difference
    assert "halted" in outcome.reason
    assert [each.what for each in outcome.faults] == ["kill"]
    assert any(each.startswith("connection lost: ") for each in events(outcome))
    assert any(each.startswith(f"job {outcome.state}") for each in events(outcome))


def test_a_pause_is_resumed_after_a_minute_and_is_no_difference(tmp_path):
    _, outcome = simulate(tmp_path, [*PRINT[:-1], "M0", *layer(0.8, 12)])
    assert outcome.exact, outcome.difference
    assert 55 < outcome.paused_s < 90
    assert events(outcome) == ["job PAUSING", "job PAUSED", "job RESUMING", "job PRINTING"]
    assert outcome.duration_s > outcome.moving_s + outcome.paused_s


def test_a_print_cancelled_at_the_panel_is_not_exact(tmp_path):
    panel = FirmwareConfig(host_actions=True)
    _, outcome = simulate(tmp_path, PRINT, Fault("panel_cancel", line=20), firmware=panel)
    assert (outcome.exact, outcome.state) == (False, "CANCELLED")
    assert "printer asks for cancel" in events(outcome)


def test_the_busiest_second_may_be_the_last():
    witness = Witness()
    for time in (0.1, 1.1, 1.2, 1.3):
        witness.accept(None, "G4", time)
    assert witness.peak_lines == 3


def test_a_slow_wire_is_named_as_the_bottleneck(tmp_path):
    moves = [f"G1 X{50 + index % 2 * 0.2:.3f} Y{50 + index * 0.1:.3f} F6000" for index in range(600)]
    _, slow = simulate(tmp_path, ["G28", "G1 X50 Y50 F6000", *moves], firmware=FirmwareConfig(baudrate=9600))
    assert slow.exact
    assert {each.cause for each in slow.bottlenecks} == {"wire"}
    assert slow.peak_wire_share > 0.9
    _, fast = simulate(tmp_path, ["G28", "G1 X50 Y50 F6000", *moves], firmware=FirmwareConfig(baudrate=1_000_000))
    assert fast.bottlenecks == []
    assert fast.duration_s < slow.duration_s
    assert fast.peak_lines_per_s > slow.peak_lines_per_s


def test_the_same_seed_records_the_same_bytes(tmp_path):
    recorded = []
    for number, seed in enumerate((7, 7, 8)):
        path = tmp_path / f"{number}.jsonl.gz"
        firmware = FirmwareConfig(seed=seed, baudrate=115200, latency=0.001, jitter=0.002)
        simulate(tmp_path, PRINT, Fault("flip", probability=0.002), firmware=firmware, recording=path)
        recorded.append(path.read_bytes())
    assert recorded[0] == recorded[1] != recorded[2]
    session = read([tmp_path / "0.jsonl.gz"])
    assert not session.why_cut
    dialogue = b"".join(each.data for each in session.records if each.kind == HOST)
    assert b"M117 half way" in dialogue


def test_a_reconnection_stays_in_one_session(tmp_path):
    path = tmp_path / "session.jsonl.gz"
    _, outcome = simulate(tmp_path, PRINT, Fault("unplug", line=12, seconds=8), recording=path)
    assert outcome.exact, outcome.difference
    session = read([path])
    events = [each.data.split(b" ")[0] for each in session.records if each.kind == EVENT]
    assert events.count(b"lost") == 1
    assert events[-1] == b"close"
    times = [each.time for each in session.records]
    assert times == sorted(times)
    assert times[-1] > outcome.duration_s
    assert b"M117 half way" in b"".join(each.data for each in session.records if each.kind == HOST)


def test_a_user_answers_a_filament_runout(tmp_path):
    _, outcome = simulate(tmp_path, PRINT, Fault("runout", line=12), firmware=FIRMWARES["marlin-advok"])
    assert outcome.exact, outcome.difference
    assert "printer asks for resumed" in events(outcome)


def test_no_file_is_written_or_removed_beside_the_print(tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    (tmp_path / "printing").write_text("mine")
    _, outcome = simulate(folder, PRINT)
    assert outcome.exact
    assert sorted(each.name for each in tmp_path.iterdir()) == ["parts", "printing"]
    assert (tmp_path / "printing").read_text() == "mine"
    assert [each.name for each in folder.iterdir()] == ["part.gcode"]


def test_klippers_own_commands_are_counted(tmp_path):
    lines = [*HEAT, *START, "EXCLUDE_OBJECT_DEFINE NAME=part", *layer(0.2, 0)]
    _, outcome = simulate(tmp_path, lines, firmware=FIRMWARES["klipper"])
    assert outcome.exact, outcome.difference
    assert outcome.lines == len(lines)


@pytest.mark.parametrize(
    ("start", "hotend"), [("START_PRINT BED_TEMP=60 EXTRUDER_TEMP=210", 210), ("PRINT_START", 200)]
)
def test_klippers_start_macros_home_and_heat(tmp_path, start, hotend):
    _, outcome = simulate(tmp_path, [start, *layer(0.2, 0), "END_PRINT"], firmware=FIRMWARES["klipper"])
    assert (outcome.state, outcome.flaws, outcome.prevented) == ("COMPLETED", [], 0)
    assert outcome.filament_mm == 4
    assert max(each.highest for each in outcome.temperatures.values()) == pytest.approx(hotend, abs=5)


def test_a_silent_printer_cannot_print(tmp_path):
    with pytest.raises(SimulationError, match="not ready after 120 s"):
        simulate(tmp_path, PRINT, Fault("drop", direction="to_host", probability=1.0))


def test_the_samples_of_a_long_print_are_bounded():
    series = Series()
    time, taken = 0.0, 0
    while time < 4 * MAX_SAMPLES - 8:
        time += series.interval
        taken += 1
        series.add(Sample(time, lines=taken, bytes=40, fill=15 if taken % 2 else 7))
    assert MAX_SAMPLES / 2 <= len(series.samples) < MAX_SAMPLES
    assert series.interval == 4
    assert sum(each.lines for each in series.samples) >= sum(range(taken))
    assert {each.fill for each in series.samples[: MAX_SAMPLES // 4]} == {7}
    assert [each.time for each in series.samples] == sorted(each.time for each in series.samples)


@pytest.mark.parametrize(
    ("sent", "cause"), [(115200 // 10, "wire"), (115200 // 20, "answers")], ids=["full", "half full"]
)
def test_the_bottleneck_of_a_print_is_found_in_its_samples(sent, cause):
    quiet = [Sample(time, 5, 100, 15) for time in range(1, 11)]
    dry = [Sample(time, 300, sent, 1) for time in range(11, 16)]
    resting = [Sample(time, 0, 0, 0) for time in range(16, 20)]
    moment = [Sample(20, 3, 60, 2)]  # the beginning of something is no bottleneck
    looks = [(each, 1.0) for each in (*quiet, *dry, *resting, *moment)]
    [bottleneck] = find_bottlenecks(looks, 115200)
    assert (bottleneck.from_s, bottleneck.to_s, bottleneck.lines_per_s, bottleneck.cause) == (10, 15, 300, cause)


@pytest.mark.parametrize(("firmware", "pause"), [("prusa", "M601"), ("marlin-advok", "M600"), ("marlin", "M600")])
def test_a_file_with_a_pause_of_the_firmware_is_printed_completely(tmp_path, firmware, pause):
    lines = [*PRINT[:-1], pause, *layer(0.8, 12)]
    _, outcome = simulate(tmp_path, lines, firmware=FIRMWARES[firmware])
    assert outcome.state == "COMPLETED"
    assert outcome.exact, outcome.difference  # although Prusa asks again for what was sent in the pause
    assert outcome.filament_mm == pytest.approx(16)  # nothing was pushed cold, and the end was waited for
    assert [each.filament_mm for each in outcome.layer_times] == [4, 4, 4, 4]


def test_a_print_paused_by_the_firmware_is_printed_completely(tmp_path):
    lines = [*PRINT[:-1], *layer(0.8, 12, sides=40)]
    pause = Fault("self_pause", line=35, seconds=20)
    _, outcome = simulate(tmp_path, lines, pause, firmware=FIRMWARES["prusa"])
    assert (outcome.state, outcome.reason) == ("COMPLETED", None)
    assert outcome.filament_mm == pytest.approx(52, abs=1.1)
