"""Behaviour of the simulated firmwares beyond recordings of single lines, by their sources."""

import pytest

from daemon.core.connection.printer_settings import area_in
from gcode.framing import checksum
from hal.simulated.personalities import FIRMWARES
from hal.simulated.scenario import Fault, Scenario
from support.lone_printer import LonePrinter


def printer(name, *faults, **config):
    board = LonePrinter(FIRMWARES[name], scenario=Scenario(faults), **config)
    board.run(5.0)  # its boot messages are over
    return board


def numbered(number, command):
    body = f"N{number} {command}"
    return f"{body}*{checksum(body.encode())}"


def damaged(number, command):
    return numbered(number, command)[:-1] + "x"


def replies(board, seconds):
    return [line for _, line in board.run(seconds) if line != "wait"]


def accepted(board):
    return [each.command for each in board.firmware.oracle.commands]


# -- Repetier ------------------------------------------------------------------------------------------------


def test_repetier_acknowledges_a_line_at_receipt_and_reads_the_next_after_it():
    board = printer("repetier")
    board.send("G28", seconds=30)
    began = board.now
    assert board.send("G1 X50 F600", "M400", "M105") == ["ok 0", "ok 0"]  # 5 s; M105 waits in the buffer
    [(at, ok), (_, data)] = [each for each in board.run(20) if each[1].startswith(("ok", "T:"))]
    assert (ok, data[:2]) == ("ok 0", "T:")
    assert at - began > 5


def test_repetier_repeats_its_request_every_200_ms():
    board = printer("repetier")
    board.send("M110 N0")
    assert board.send(damaged(1, "M105")) == [*["Error:Wrong checksum"] * 2, "", "Resend:1", "ok"]
    times = [at for at, line in board.run(1.05) if line == "Resend:1"]
    assert [round(at - times[0], 3) for at in times] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert board.send(numbered(1, "M105"))[0] == "ok 1"
    assert replies(board, 5.0) == []


def test_repetier_takes_numbers_up_to_40_below_the_next_for_repeats():
    board = printer("repetier")
    board.send("M110 N100")
    assert board.send(numbered(61, "M105")) == ["skip 61", "ok"]
    assert board.send(numbered(60, "M105"))[0] == "Error:expected line 101 got 60"


@pytest.mark.parametrize("pieces", [1, 2, 4])
def test_repetier_refuses_a_line_that_is_too_long_however_it_comes(pieces):
    board = printer("repetier")
    line = b"G1 X1 " + b" " * 110 + b"\n"
    size, answer = -(-len(line) // pieces), []
    for at in range(0, len(line), size):
        board.firmware.receive(line[at : at + size], board.now)
        answer += replies(board, 0.001)
    assert answer[:3] == ["", "Resend:1", "ok"]
    assert "G1" not in "".join(accepted(board))


def test_repetier_requests_an_unterminated_line_again():
    board = printer("repetier")
    board.firmware.receive(b"N1 G1 X", board.now)
    assert replies(board, 0.3) == ["", "Resend:1", "ok"]
    assert board.send(numbered(1, "M110 N7")) == ["ok"]


def test_repetier_counts_modulo_65536():
    board = printer("repetier")
    board.send("M110 N65535")
    assert board.send(numbered(65536, "M114"))[0] == "ok 65536"
    assert board.send(numbered(1, "M114"))[0] == "ok 1"  # the same as 65537
    assert board.send(numbered(65536, "M114")) == ["skip 65536", "ok"]


def test_repetier_skips_lines_after_a_bad_one():
    board = printer("repetier", rx_buffer=1000)
    lines = [damaged(1, "G4 P1"), *(numbered(number, "G4 P1") for number in range(2, 20))]
    answer = board.send(*lines)
    skipped = [line for line in answer if line.startswith("skip")]
    assert skipped == [f"skip {number}" for number in range(2, 20) if number != 17]  # it asks again after 15 of them
    assert "Error:expected line 1 got 17" in answer
    assert accepted(board) == []


@pytest.mark.parametrize(
    ("line", "executed"),
    [
        ("N1 G1 X1( Y5 F3000*113", "G1 X1"),
        ("N1 M117 hello*1", "M117 hello"),  # the text hides the checksum
        ("N1 G1 X41 Y11j40", "G1 X41 Y11j40"),
    ],
)
def test_repetier_accepts_a_line_whose_checksum_is_hidden_by_damage(line, executed):
    board = printer("repetier")
    assert board.send(line)[0] == "ok 1"
    assert accepted(board) == [executed]


def test_repetier_boots_at_m112_and_its_own_errors_halt_it_until_m999():
    board = printer("repetier", Fault("halt", time=10, text="Heater/sensor error"))
    board.send("M104 S200", seconds=6)
    fatal = "fatal:Heater/sensor error - Printer stopped and heaters disabled due to this error. "
    fatal += "Fix error and restart with M999."
    assert board.send("G28") == ["ok 0", fatal]
    assert board.heat.hotends[0].target == 0
    assert board.send("M999")[-1] == "info:Continue from fatal state"
    assert board.send("M105")[1].startswith("T:")
    assert "start" in board.send("G4 S60", "M112", seconds=0.1)


# -- Prusa ---------------------------------------------------------------------------------------------------


def test_prusa_sends_a_second_ok_for_m105_if_another_line_waits():
    board = printer("prusa")
    assert [line[:4] for line in board.send("M105")] == ["ok T"]
    answer = board.send("M105", "M105", "M114")
    assert [line[:4] for line in answer] == ["ok T", "ok", "ok T", "ok", "X:0.", "ok"]


def test_prusa_forgets_an_unterminated_line():
    board = printer("prusa")
    board.firmware.receive(b"N1 G4 P", board.now)
    assert replies(board, 1.9) == []
    assert replies(board, 0.2) == ["RX timeout"]
    assert board.send(numbered(1, "M118 x")) == ["x", "ok"]


def test_prusa_pauses_at_once_and_requests_dropped_lines_on_resume():
    board = printer("prusa")
    board.send("M104 S200", "M110 N0", seconds=120)
    lines = ["G28", "G1 X20 F3000", "M601", "G1 X30", "G1 X40"]
    answer = board.send(*(numbered(number, line) for number, line in enumerate(lines, 1)), seconds=60)
    assert [line for line in answer if line in ("ok", "// action:paused")] == ["ok"] * 3 + ["// action:paused"]
    assert board.heat.hotends[0].target == 0
    answer = board.send(numbered(6, "M602"), seconds=200)
    assert answer[-4:] == ["Resend: 4", "ok", "// action:resumed", "ok"]
    assert board.heat.hotends[0].target == 200
    assert board.firmware.board.position()[0] == pytest.approx(20)
    board.send(numbered(4, "G1 X30"), numbered(5, "G1 X40"), seconds=10)
    assert board.firmware.board.position()[0] == 40


def test_prusa_pauses_itself_without_oks_for_dropped_lines():
    board = printer("prusa", Fault("self_pause", line=6, seconds=100))
    board.send("M104 S200", "M110 N0", seconds=120)
    lines = ["G28", *(f"G1 X{x} F300" for x in (10, 20, 30, 40, 50, 60))]
    answer = board.send(*(numbered(number, line) for number, line in enumerate(lines, 1)), seconds=60)
    paused_at = answer.index("// action:paused")
    assert answer[:paused_at].count("ok") == 2, "of six lines, four were waiting"
    assert replies(board, 100)[-1] == "// action:resume"
    again = board.send("M602", seconds=200)
    [requested_number] = [int(line.removeprefix("Resend: ")) for line in again if line.startswith("Resend")]
    assert 2 <= requested_number <= 6
    board.send(*(numbered(number, lines[number - 1]) for number in range(requested_number, 8)), seconds=300)
    assert board.firmware.board.position()[0] == 60


def test_prusa_confirms_m112_and_reboots_itself():
    board = printer("prusa")
    board.send("M104 S200")
    assert board.send("M112", seconds=4) == ["Error:Printer halted. kill() called!", "M112 called. Emergency Stop."]
    assert board.heat.hotends[0].target == 0
    assert replies(board, 2)[0] == "start"


def test_a_stopped_prusa_drops_lines_silently():
    board = printer("prusa", Fault("halt", time=8, text="0: Extruder switched off. MAXTEMP triggered !"))
    assert replies(board, 5)[-1] == "Error:Printer stopped due to errors. Supervision required."
    assert board.send(numbered(1, "M105"), "M105", seconds=5) == []


@pytest.mark.parametrize(("command", "target"), [("M104 S202.5", 202), ("M104 S300", 260)])
def test_a_target_is_cut_to_whole_degrees_and_to_the_highest(command, target):
    board = printer("prusa")
    board.send(command)
    assert f"/{target}.0 " in board.send("M105")[0]


def test_prusa_with_several_hotends_changes_to_the_chosen_one():
    board = printer("prusa", extruders=2)
    assert board.send("T1", "M104 S200") == ["echo:Active Extruder: 1ok", "ok"]
    assert [each.target for each in board.heat.hotends] == [0, 200]


# -- others --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["marlin", "klipper", "repetier", "smoothie"])
@pytest.mark.parametrize("lines", [["G28"], ["G4 S60"], ["G1 X200 F60"] * 9 + ["G1 X0"] * 9])
def test_a_halt_ends_the_running_command_and_lines_are_still_answered(name, lines):
    board = printer(name, Fault("halt", time=8, text="Something went wrong"), rx_buffer=1000)
    board.send(*lines, seconds=5)
    assert not board.firmware.halted
    answer = board.send("M115", seconds=5)
    assert any(line.startswith(("FIRMWARE_NAME", "ok FIRMWARE_NAME", "fatal:")) for line in answer)


def test_marlin_1_0_ends_a_line_at_a_colon_and_finds_its_number_anywhere():
    board = printer("marlin1.0")
    assert board.send("M110 N0")[0] == "Error:No Checksum with line number, Last Line: 0"
    board.send(numbered(0, "M110"))
    refused = board.send(numbered(1, "M117 Layer: 3"))
    assert refused[:2] == ["Error:No Checksum with line number, Last Line: 0", "Resend: 1"]
    assert board.send(numbered(1, "M117 * 3*"))[0] == "Error:checksum mismatch, Last Line: 0"
    assert board.send("M999 M105 *1")[0] == "Error:No Line Number with checksum, Last Line: 0"


def test_marlin_1_0_acknowledges_queued_moves_and_treats_any_g_as_one():
    board = printer("marlin1.0", rx_buffer=1000)
    board.send("G28", seconds=60)
    answer = board.send(*["G1 X100 F60", "G1 X0"] * 9, "M105")
    assert answer == ["ok"] * 18  # the planner holds 15; M105 waits behind them
    board = printer("marlin1.0")
    assert board.send("M117 Going X20", seconds=5) == ["ok"]
    assert board.firmware.board.position()[0] == 20


def test_marlin_removes_a_backslash_before_it_checks_the_checksum():
    board = printer("marlin")
    assert board.send(numbered(1, "M117 a\\b"))[0].startswith("Error:checksum mismatch")
    assert printer("prusa").send(numbered(1, "M117 a\\b"))[-1] == "ok"


def test_smoothieware_says_ok_to_a_move_that_waits_for_the_planner_and_requests_a_line_without_an_ok():
    board = printer("smoothie")
    board.send("G28", seconds=60)
    assert board.send(*["G1 X100 F60", "G1 X0"] * 8).count("ok") == 16  # a Marlin would hold the last one back
    assert board.send(damaged(1, "M105"), seconds=90) == []  # it is not read before the first move is done
    assert board.send(seconds=20) == ["rs N1"]


def _warm_klipper():
    """Return a homed Klipper with a target, which its timer has to turn off, and when its last move ended."""
    board = printer("klipper")
    board.send("G28", "M104 S50", seconds=60)
    return board, board.firmware.board.moved_at


def _is_off_at(board, time):
    board.run(time - board.now)
    return board.heat.hotends[0].target == 0 and not board.firmware.board.modal.homed


def test_klipper_turns_heaters_and_motors_off_ten_minutes_after_the_last_move():
    board, moved_at = _warm_klipper()
    assert not _is_off_at(board, moved_at + 599)
    board.send("M105")
    assert _is_off_at(board, moved_at + 601)
    board.send("M104 S50")
    assert not _is_off_at(board, moved_at + 2000), "only a move starts the timer again"


@pytest.mark.parametrize(("command", "seconds"), [("SET_IDLE_TIMEOUT TIMEOUT=60.5", 60.5), ("SET_IDLE_TIMEOUT", 600)])
def test_klippers_timer_is_set_and_started_again(command, seconds):
    board, _ = _warm_klipper()
    began = board.now
    assert board.send(command) == [f"// idle_timeout: Timeout set to {seconds:.2f} s", "ok"]
    assert not _is_off_at(board, began + seconds - 1)
    assert _is_off_at(board, began + seconds + 1)


def test_klipper_refuses_a_move_by_where_it_ends_on_the_machine():
    board = printer("klipper", lowest=(-115.0, -115.0, 0.0), volume=(115.0, 115.0, 230.0))
    board.send("G28", seconds=60)
    assert board.send("G1 X-110 Y-110 F6000", seconds=10) == ["ok"], "the middle of its bed is 0"
    assert board.send("G1 X-120")[0] == "!! Move out of range: -120.000 -110.000 0.000 [0.000]"
    board.send("G92 X0", seconds=1)
    assert board.send("G1 X200", seconds=10) == ["ok"]
    assert board.send("G1 X230")[0].startswith("!! Move out of range: 120.000")


@pytest.mark.parametrize("name", ["marlin-advok", "marlin21"])
def test_marlin_reports_the_volume_that_its_nozzle_reaches(name):
    board = printer(name, lowest=(0.0, -4.0, 0.0), volume=(255.0, 212.5, 210.0))
    reach = {"min": [0.0, -4.0, 0.0], "max": [255.0, 212.5, 210.0]}
    assert area_in(board.send("M211", seconds=1)) == reach
    if name == "marlin-advok":
        assert area_in(board.send("M115", seconds=1)) == reach


def test_a_move_puts_off_klippers_timer():
    board, _ = _warm_klipper()
    board.send("SET_IDLE_TIMEOUT TIMEOUT=60", seconds=50)
    board.send("G1 X100 F300", seconds=30)  # 20 s
    moved_at = board.firmware.board.moved_at
    assert not _is_off_at(board, moved_at + 59)
    assert _is_off_at(board, moved_at + 61)


def test_a_klipper_that_shuts_down_in_a_macro_does_not_heat_after_it():
    board = printer("klipper", Fault("endstop", time=2, axis="X"))
    board.send("START_PRINT", seconds=60)
    assert [heater.target for heater in board.heat.heaters] == [0, 0]
    assert board.send("M105")[0].endswith("/0.0")


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("klipper", "!! Something went wrong"),
        ("smoothie", "!!"),
        ("repetier", "fatal:Something went wrong"),
        ("prusa", ""),
    ],
)
def test_a_firmware_killed_without_a_reason_has_halted(name, answer):
    board = printer(name, Fault("kill", time=8))
    board.run(5.0)
    replies = board.send("G28", seconds=5)
    assert any(line.startswith(answer) for line in replies) if answer else replies == []
    assert board.firmware.board.modal.homed == set()


def test_smoothieware_that_has_halted_answers_without_an_ok():
    board = printer("smoothie", Fault("halt", time=8, text="Limit switch +X was hit - reset or M999 required"))
    assert replies(board, 5) == ["Limit switch +X was hit - reset or M999 required"]
    assert board.send("G28", "M104 S200") == ["!!", "!!"]
    assert board.send("M105")[0].startswith("ok T:")
    assert board.send("M999")[-1] == "ok"
    assert board.send("G1 X1")[-1] == "ok"
    stop = "ok Emergency Stop Requested - reset or M999 required to exit HALT state"
    assert board.send("M112", "M104 S0") == [stop, "!!"]


def test_reprapfirmware_drops_a_damaged_line_silently():
    board = printer("reprapfirmware")
    assert board.send(damaged(1, "M105")) == []
    assert accepted(board) == []


def test_a_klipper_that_shut_down_gives_its_reason_to_each_command():
    board = printer("klipper", Fault("halt", time=8, text="Heater extruder not heating at expected rate"))
    assert replies(board, 5) == ["// Klipper state: Shutdown"]
    answer = board.send("G28")
    assert answer[0] == "// Heater extruder not heating at expected rate"
    assert answer[-2:] == ["!! Heater extruder not heating at expected rate", "ok"]
    assert board.send("M105")[0].startswith("ok B:")
    assert board.send("M114")[0].startswith("X:")
    assert board.send("M118 hello", "RESPOND MSG=hello") == ["echo: hello", "ok"] * 2


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("name", ["marlin", "klipper"])
def test_an_endstop_that_does_not_trigger_ends_the_homing(name, axis):
    board = printer(name, Fault("endstop", time=2, axis="XYZ"[axis]))
    answer = board.send("G28", seconds=300)
    if name == "marlin":
        assert answer[-2:] == ["echo:Homing Failed", "Error:Printer halted. kill() called!"]
    else:
        assert answer == ["// Klipper state: Shutdown", "ok"]
    assert board.firmware.board.modal.homed == set(range(axis))


def test_klipper_reads_m112_during_a_command():
    board = printer("klipper")
    board.send("G28", seconds=5)
    assert board.send("M112") == ["// Klipper state: Shutdown", "ok", "ok"]


def test_smoothieware_reads_m112_after_the_lines_before_it():
    board = printer("smoothie")
    board.send("G28", seconds=5)
    assert board.send("M112") == []
    assert board.send(seconds=60)[-1].startswith("ok Emergency Stop Requested")


def test_a_stopped_marlin_refuses_moves_and_still_says_ok():
    board = printer("marlin", Fault("halt", time=8, text="Error:Probing Failed"))
    board.run(5)
    answer = board.send("G1 X1", "M105")
    assert answer[0].startswith("Printer stopped due to errors.")  # without Error:
    assert (answer[1], answer[2][:4]) == ("ok", "ok T")
    board.send("M999")
    assert board.send("G1 X1") == ["ok"]


def test_a_stopped_marlin_still_reports_and_heats_if_it_is_told_to():
    board = printer("marlin", Fault("halt", time=8))
    board.send("M155 S1", "M104 S200", seconds=5)
    assert board.heat.hotends[0].target == 0
    assert len(replies(board, 3)) == 3
    board.send("M104 S60", seconds=60)
    assert board.heat.hotends[0].temperature(board.now) > 55


def test_a_stop_at_the_panel_drops_queued_lines():
    board = printer("marlin-advok", Fault("panel_stop", time=30), rx_buffer=1000)
    board.send("G28", seconds=23)
    answer = board.send("M104 S200", *["G1 X100 F60", "G1 X0"] * 9)
    oks = sum(line.startswith("ok") for line in answer)
    assert oks == 16  # the planner is full; one line is being executed, others wait
    assert replies(board, 5) == ["//action:cancel", "//action:notification Print Aborted"]
    assert board.heat.hotends[0].target == 0
    assert board.send("M105")[-1].startswith("ok T:")


def test_a_print_of_a_touch_screen_shows_only_in_temperatures_and_positions():
    board = printer("marlin", Fault("touch_print", time=10, seconds=300))
    board.run(100)
    assert board.heat.hotends[0].target == 210
    positions = [line for _ in range(4) for line in board.send("M114 R", seconds=20) if line.startswith("X:")]
    assert len(set(positions)) == 4
    board.run(300)
    assert (board.heat.hotends[0].target, board.heat.bed.target) == (0, 0)


@pytest.mark.parametrize("halts_at", [8, 60])
@pytest.mark.parametrize("name", ["marlin", "klipper"])
def test_a_halt_ends_the_print_of_a_touch_screen(name, halts_at):
    board = printer(name, Fault("touch_print", time=10, seconds=300), Fault("halt", time=halts_at, text="Too hot"))
    board.run(100)
    assert (board.heat.hotends[0].target, board.heat.bed.target) == (0, 0)


def test_tools_that_share_a_nozzle_share_its_heat():
    board = printer("marlin", extruders=5, shared_nozzle=True)
    board.send("M104 T3 S200")
    assert board.heat.hotends[0].target == 200
    assert board.send("T2", "M105")[-1].count("T") == 1


def test_g10_and_g11_move_the_extruder_without_reporting_it():
    board = printer("marlin", fw_retract=True)
    board.send("M302 P1", "G92 E5", "G10", seconds=5)
    assert board.firmware.board.position()[3] == pytest.approx(-3.0)
    assert " E:5.00 " in board.send("M114")[0]
    board.send("G10", "G11", seconds=5)
    assert board.firmware.board.position()[3] == pytest.approx(0.0)


def test_the_runout_sensor_is_reported_if_there_is_one():
    assert printer("marlin", runout_sensor=True).send("M412") == ["echo:Filament runout ON", "ok"]
    assert printer("marlin").send("M412")[0].startswith("echo:Unknown command")


@pytest.mark.parametrize("name", FIRMWARES)
@pytest.mark.parametrize(
    "commands",
    [
        ["M155 S0.0000000000000000001"],
        ["M154 S0.0000000000000000001"],
        ["M27 S0.0000000000000000001"],
        ["M113 S0.0000000000000000001", "G4 S5"],
        ["M86 S0.0000000000000000001 T1"],
        ["M86 S-5 T1"],
        ["SET_IDLE_TIMEOUT TIMEOUT=0.0000000000000000001"],
    ],
)
def test_a_time_of_next_to_nothing_does_not_stop_the_clock(name, commands):
    board = printer(name, sd_card=True, hotend_idle_timeout=True)
    board.send("M105", *commands, seconds=10)
    assert len(board.run(10)) < 100


@pytest.mark.parametrize("command", ["M106 S", "M106 P", "M104 T", "G1 X-", "G92 E", "G4 P-", "M110 N", "M220 S-"])
@pytest.mark.parametrize("name", ["klipper", "teacup"])  # with long lines
def test_a_number_of_hundreds_of_digits_breaks_nothing(name, command):
    board = printer(name, flow_control=True)
    board.send(command + "9" * 400, seconds=10)
    assert accepted(board) == [command + "9" * 400]
