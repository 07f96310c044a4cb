"""Each fault of a scenario, through the whole stack: what the user sees, and how the print ends."""

import json

import pytest

from hal.simulated.scenario import KINDS
from support.http import api

MOVES = [f"G1 X{n % 2 * 20} Y{n} F5400" for n in range(100)]
PART = ["G28", *MOVES]
HOT = ["M109 S200", *PART]
LINE = 60  # in the middle of the moves

PRINTED = "Operational"
BROKEN = "Offline after error"
BACK = "Operational"  # the print has failed, and the board was there again after its halt

# fault, file, what becomes of the print, and the error that the API gives
CASES = [
    ({"what": "flip"}, PART, PRINTED, None),
    ({"what": "flip", "probability": 0.002}, PART, PRINTED, None),
    ({"what": "flip", "direction": "to_host"}, PART, PRINTED, None),
    ({"what": "drop", "bytes": 3}, PART, PRINTED, None),
    ({"what": "drop", "direction": "to_host", "bytes": 3}, PART, PRINTED, None),
    ({"what": "duplicate", "bytes": 4}, PART, PRINTED, None),
    ({"what": "delay", "seconds": 3}, PART, PRINTED, None),
    ({"what": "overrun", "bytes": 30}, PART, PRINTED, None),
    ({"what": "text", "text": "hello there"}, PART, PRINTED, None),
    ({"what": "text", "text": "Error:something odd"}, PART, BACK, "something odd"),
    ({"what": "lose_ok"}, PART, PRINTED, None),
    ({"what": "double_ok"}, PART, PRINTED, None),
    ({"what": "late_ok", "seconds": 20}, PART, PRINTED, None),
    ({"what": "resend", "count": 3}, PART, PRINTED, None),
    ({"what": "resend", "count": 100}, PART, PRINTED, f"the printer requested line {LINE} 10 times in a row"),
    ({"what": "hang", "seconds": 10}, PART, PRINTED, None),
    ({"what": "hang"}, PART, PRINTED, "nor to 3 probes"),
    ({"what": "kill", "text": "Something broke"}, PART, BACK, "Error:Something broke"),
    ({"what": "reset"}, PART, PRINTED, "the board restarted"),
    ({"what": "reset", "by": "power", "seconds": 5}, PART, PRINTED, "the board restarted"),
    ({"what": "unplug", "seconds": 8}, PART, PRINTED, None),
    ({"what": "unplug"}, PART, BROKEN, "its cable is pulled"),
    ({"what": "no_heat", "temperature": 40}, HOT, BACK, "Heating failed, system stopped! Heater_ID: 0"),
    ({"what": "no_heat", "temperature": 40, "heater": "bed"}, ["M190 S90", *PART], BACK, "Heating failed"),
    ({"what": "sensor_open", "time": 30}, HOT, BACK, "MINTEMP triggered, system stopped! Heater_ID: 0"),
    ({"what": "sensor_short", "time": 30}, HOT, BROKEN, "MAXTEMP triggered, system stopped! Heater_ID: 0"),
    ({"what": "runaway", "line": 3}, HOT, BROKEN, "MAXTEMP triggered, system stopped! Heater_ID: 0"),
    ({"what": "endstop", "time": 0, "axis": "X"}, PART, BACK, "the firmware has halted: "),
    ({"what": "runout", "seconds": 30}, PART, PRINTED, None),
    ({"what": "runout"}, PART, "Pausing", None),
    ({"what": "panel_pause"}, PART, "Paused", None),
    ({"what": "panel_resume"}, PART, PRINTED, None),
    ({"what": "panel_cancel"}, PART, PRINTED, None),
    ({"what": "panel_stop"}, PART, PRINTED, None),
    ({"what": "self_pause", "seconds": 30}, PART, PRINTED, None),
    ({"what": "halt"}, PART, BACK, "Printer stopped due to errors"),
    ({"what": "touch_print", "time": 20, "seconds": 60}, MOVES, PRINTED, None),
]  # fmt: skip
FIRMWARE = dict.fromkeys(("runout", "panel_pause", "panel_resume", "panel_stop", "self_pause"), "marlin-advok")


def scenario(folder, fault):
    when = {} if {"time", "temperature", "probability", "line"} & fault.keys() else {"line": LINE}
    settings = "".join(f"{name} = {json.dumps(value)}\n" for name, value in {**fault, **when}.items())
    path = folder / "scenario.toml"
    path.write_text(f"[[fault]]\n{settings}")
    return path


async def outcome(folder, fault, part, seconds=400):
    """Print on a printer with this fault; return the final state that a user sees, and the accepted commands."""
    oracle = folder / "oracle.jsonl"
    address = f"sim?scenario={scenario(folder, fault)}&firmware={FIRMWARE.get(fault['what'], 'marlin')}&oracle={oracle}"
    content = "".join(f"{line}\n" for line in part).encode()
    async with api(
        folder, address, job={"heat_up": "firmware"}, printer={"address": address, "retry_s": 1.0}
    ) as server:
        await server.upload(("file", "part.gcode", content), ("select", b"true"), ("print", b"true"))
        await server.settle(seconds)
        answer = (await server.get("/api/job")).json
    return answer, [json.loads(line)["command"] for line in oracle.read_text().splitlines()]


def _names(case):
    fault = case[0]
    return " ".join(str(value) for value in fault.values())


@pytest.mark.parametrize(("fault", "part", "state", "error"), CASES, ids=map(_names, CASES))
async def test_each_fault_is_survived_or_reported(tmp_path, fault, part, state, error):
    result, accepted = await outcome(tmp_path, fault, part)
    assert result["state"] == state
    if error is None:
        assert "error" not in result
    else:
        assert error in result["error"]
    if state == PRINTED and error is None and fault["what"] not in ("panel_cancel", "panel_stop"):
        assert result["progress"]["completion"] == 100.0
        assert [each for each in accepted if each in part] == part  # without the host's own commands
    else:
        assert not set(MOVES[-20:]) & set(accepted) or fault["what"] == "runaway"  # it went no further


def test_every_kind_of_fault_has_a_case():
    assert {case[0]["what"] for case in CASES} == set(KINDS)
