"""The progress of a print in a terminal, and the names of heaters that users may type."""

import argparse
import asyncio
from datetime import datetime

import pytest

from daemon.bridge.words import JobState
from daemon.cli import job as job_command
from daemon.cli import power
from daemon.cli.printer import _format, _status, _target, heater
from daemon.cli.progress import ProgressLine, as_line, as_table, end_time
from daemon.client import Conflict
from support.client import in_memory
from support.http import api
from support.waiting import until

NOW = datetime(2026, 11, 28, 22, 30)  # noqa: DTZ001 - the time of day here, whatever the zone


def progress_of(state="Printing", **more):
    progress = {
        "completion": 25.0, "filepos": 1, "printTime": 600, "printTimeLeft": 5400, "printTimeLeftOrigin": "analysis",
        "timeCompletion": 10.0, "layer": 12, "layers": 240,
    }  # fmt: skip
    file = {"name": "cube.gcode", "path": "parts/cube.gcode"}
    return {"job": {"file": file, "estimatedPrintTime": 6000.0}, "progress": progress, "state": state, **more}


def test_the_table_has_layer_share_of_time_and_time_of_the_end():
    assert as_table(progress_of(), NOW).splitlines() == [
        "state       Printing",
        "file        parts/cube.gcode",
        "layer       12 of 240",
        "done        25.0 % of the file, 10.0 % of the time",
        "time        0:10:00 spent, about 1:30:00 left",
        "ends        00:00 tomorrow",
    ]


def test_reasons_are_shown_and_a_print_that_waits_for_a_user_has_no_end_time():
    shown = as_table(progress_of("Paused", pauseReason="Filament runout\x1b[2J", warning="it is not recorded"), NOW)
    assert "paused      Filament runout\\x1b[2J" in shown
    assert "warning     it is not recorded" in shown
    assert "ends" not in shown
    failed = progress_of("Offline after error", error="the port is gone")
    failed["progress"] = dict.fromkeys(failed["progress"])
    assert as_table(failed, NOW).splitlines() == [
        "state       Offline after error",
        "error       the port is gone",
        "file        parts/cube.gcode",
        "estimate    1:40:00",
    ]


def test_a_print_whose_printer_is_gone_is_not_shown_as_resuming():
    lost = progress_of("Resuming", print={"id": 4, "key": None, "state": "reattaching"})
    shown = as_table(lost, NOW)
    assert shown.startswith("state       Reattaching to the print\n")
    assert "ends" not in shown
    line = as_line(lost, {}, NOW)
    assert line.startswith("Reattaching to the print  parts/cube.gcode  [##")
    assert "ends" not in line


def test_a_print_without_an_analysis_has_neither_layers_nor_a_share():
    plain = progress_of()
    for name in ("timeCompletion", "layer", "layers"):
        del plain["progress"][name]
    assert "layer" not in as_table(plain, NOW)
    assert "done        25.0 % of the file\n" in as_table(plain, NOW)
    assert "25 %" in as_line(plain, {}, NOW)


def test_one_line_has_everything():
    heat = {"tool0": {"actual": 209.6, "target": 210.0}, "bed": {"actual": 24.0, "target": 0.0}}
    assert as_line(progress_of(), heat, NOW) == (
        "Printing  parts/cube.gcode  [##------------------] 10 %  layer 12 of 240  tool0 210/210 °C  bed 24 °C  "
        "1:30:00 left, ends 00:00 tomorrow"
    )
    assert as_line(progress_of("Operational"), {}, NOW) == "Operational  parts/cube.gcode  layer 12 of 240"
    ended = progress_of("Operational", print={"id": 3, "key": None, "state": "cancelled"})
    assert as_line(ended, {}, NOW).startswith("cancelled  parts/cube.gcode")
    assert "time        0:10:00 spent\nlast print  cancelled" in as_table(ended, NOW)
    assert "last print" not in as_table(progress_of(print={"id": 4, "key": None, "state": "printing"}), NOW)
    assert as_line(progress_of("Paused", pauseReason="bed\x07"), {}, NOW).endswith("layer 12 of 240  bed\\x07")


@pytest.mark.parametrize(
    ("left", "shown"),
    [
        (None, ""),
        (1e12, ""),
        (60, "22:31"),
        (5399, "23:59"),
        (5400, "00:00 tomorrow"),
        (200_000, "06:03 on Tuesday, 01 December"),
    ],
)
def test_the_end_is_shown_as_a_time_of_day(left, shown):
    assert end_time(NOW, left) == shown


async def test_watching_ends_if_the_core_does_not_return_with_its_print(capsys):
    client = FakeClient("Printing")
    printing = progress_of("Printing", print={"id": 3, "key": None, "state": "printing"})

    async def get(*, exclude=()):
        if exclude:
            raise Conflict("GET /api/printer", 409, "")
        return printing if asyncio.get_running_loop().time() < began + 20 else progress_of("Offline")

    client.get, began = get, asyncio.get_running_loop().time()
    async with asyncio.timeout(1000):
        last = await job_command._watch(client, argparse.Namespace(interval=5.0, json=False))
    assert last["state"] == "Offline"
    assert 70 < asyncio.get_running_loop().time() - began < 90


async def test_watching_goes_on_while_the_core_restarts(capsys):
    """`nozzled job watch && …` must not take a front without a core for the end of the print."""
    client = FakeClient("Printing", "Printing")
    printing, ended = {"id": 3, "key": None, "state": "printing"}, {"id": 3, "key": None, "state": "completed"}
    answers = [
        progress_of("Printing", print=printing),
        progress_of("Offline after error", print=printing),
        progress_of("Offline", error="the core is away"),
        progress_of("Offline", error="the core is away"),
        progress_of("Printing", print=printing),
        progress_of("Operational", print=ended),
        progress_of("Offline"),
    ]

    async def get(*, exclude=()):
        if exclude:
            raise Conflict("GET /api/printer", 409, "")
        return answers.pop(0)

    client.get = get
    last = await job_command._watch(client, argparse.Namespace(interval=5.0, json=False))
    assert (last["state"], len(answers)) == ("Operational", 1)
    assert (await job_command._watch(client, argparse.Namespace(interval=5.0, json=False)))["state"] == "Offline"


class FakeClient:
    """The client of a daemon whose print goes through these states."""

    def __init__(self, *states):
        self.job = self.printer = self
        self.states = list(states)

    async def get(self, *, exclude=()):
        if not exclude:
            return progress_of(self.states.pop(0))
        raise Conflict("GET /api/printer", 409, "")


async def test_watching_shows_a_line_for_each_change_and_ends_with_the_print(capsys):
    client = FakeClient("Printing", "Printing", "Paused", "Operational", "Printing")
    began = asyncio.get_running_loop().time()
    last = await job_command._watch(client, argparse.Namespace(interval=5.0, json=False))
    assert (last["state"], client.states) == ("Operational", ["Printing"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["Printing", "Paused", "Operational"]
    assert asyncio.get_running_loop().time() - began == 3 * 5.0


def test_on_a_terminal_the_line_is_overwritten_and_cut_to_the_width(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    line = ProgressLine(lambda: 10)
    line.show("a" * 30)
    line.show("b")
    line.end()
    assert capsys.readouterr().out == "\r\x1b[K" + "a" * 9 + "\r\x1b[Kb\n"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("nozzle", "tool0"), ("Hotend", "tool0"), ("tool0", "tool0"), ("T1", "tool1"), ("nozzle2", "tool2"),
        ("hotend-1", "tool1"), ("extruder", "tool0"), ("E0", "tool0"), ("BED", "bed"), ("heatbed", "bed"),
        ("heat_bed", "bed"), ("chamber", "chamber"), ("enclosure", "chamber"), ("fan", None), ("", None),
        ("tool\N{ARABIC-INDIC DIGIT ONE}", None),
        ("nozzle100", None),
    ],
)  # fmt: skip
def test_heaters_have_everyday_names(name, known):
    assert heater(name) == known


@pytest.mark.parametrize(
    ("text", "target"), [("nozzle=210", ("tool0", 210)), ("bed=60°C", ("bed", 60)), ("bed=off", ("bed", 0))]
)
def test_a_target_is_parsed(text, target):
    assert _target(text) == target


def test_an_unknown_heater_is_refused_with_the_existing_ones():
    with pytest.raises(argparse.ArgumentTypeError, match=r"unknown heater fan; use nozzle \(nozzle1, …\), bed or"):
        _target("fan=100")


def test_a_disconnected_printer_is_shown_with_the_reason():
    closed = {"state": "Closed", "port": None, "baudrate": None}
    shown = _format({"connection": closed, "printer": None})
    assert shown.splitlines()[1:] == ["fix         `nozzled printer connect` connects the printer"], "no error"
    fault = {**closed, "state": "Offline after error"}
    shown = _format({"connection": fault, "printer": None, "error": "/dev/ttyUSB0 is held by brltty (pid 7)"})
    assert shown.splitlines()[1:] == [
        "error       /dev/ttyUSB0 is held by brltty (pid 7)",
        "fix         `nozzled printer connect` connects it again, once the cause is gone",
    ]


async def test_a_printer_that_is_gone_is_not_shown_as_resuming(tmp_path):
    async with api(tmp_path, printer={"address": "sim", "reattach_s": 60.0}) as server:
        await server.print(b"G28\n" + b"G1 X10 F60\nG1 X90\n" * 20)
        server.service.connection.printer._transport.unplug()
        await until(lambda: server.service.jobs.state is JobState.REATTACHING)
        status = await _status(in_memory(server), argparse.Namespace())
        assert status["connection"]["state"] == "Resuming"  # OctoPrint's word for it
        assert _format(status).splitlines()[0].split(None, 1) == ["state", "Reattaching to the print"]


@pytest.mark.parametrize("word", ["has not answered over MQTT", "cannot reach /run/nozzled-fan.sock: no such file"])
def test_a_switch_that_does_not_answer_is_named_once(word):
    fan = {"name": "fan", "on": None, "printer": False, "error": f"fan{':' if 'reach' in word else ''} {word}"}
    plug = {"name": "plug", "on": True, "printer": True, "error": None}
    state = {"devices": [fan, plug], "offAt": None, "auto": False, "waits": None, "sensors": {}}
    shown = power._format({"away": False, "state": state}).splitlines()
    assert shown == [f"fan: unknown, {word}", "plug (the printer's): on"]


def test_on_a_printer_that_is_ready_an_error_is_that_of_the_last_print():
    failed = progress_of("Operational", print={"id": 4, "key": None, "state": "failed"}, error="emergency stop")
    shown = as_table(failed, NOW)
    assert "last print  failed: emergency stop" in shown
    assert "error" not in shown
    current = {"state": "Operational", "port": "VIRTUAL", "baudrate": 115200}
    state = {"error": "emergency stop", "flags": {"ready": True}}
    assert "error" not in _format({"connection": current, "printer": {"state": state}})
    state["flags"]["ready"] = False
    assert "error       emergency stop" in _format({"connection": current, "printer": {"state": state}})
