import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.front.http import gcode
from gcode.modes import Modes
from support.http import NOW, api

PATHS = ["", "/tool", "/bed", "/chamber"]


class Sent(list):
    """Listens to what goes to the printer."""

    def __init__(self, server, monkeypatch):
        printer = server.service.connection.printer
        submit = printer.submit

        def listen(*commands):
            self.extend(command.decode() for command in commands)
            return submit(*commands)

        monkeypatch.setattr(printer, "submit", listen)


async def test_the_printer_has_state_temperatures_and_flags(tmp_path):
    async with api(tmp_path) as server:
        await server.settle(10)
        answer = (await server.get("/api/printer")).json
        assert answer["state"]["text"] == "Operational"
        assert answer["state"]["error"] == ""
        assert len(answer["state"]["flags"]) == 11
        assert answer["state"]["flags"]["ready"] is True
        assert answer["sd"] == {"ready": False}
        for heater in ("tool0", "bed"):
            assert answer["temperature"][heater]["actual"] > 0
            assert answer["temperature"][heater]["target"] == 0
            assert answer["temperature"][heater]["offset"] == 0


async def test_parts_of_the_state_can_be_excluded(tmp_path):
    async with api(tmp_path) as server:
        assert list((await server.get("/api/printer?exclude=temperature,sd,safety")).json) == ["state"]
        assert (await server.get("/api/printer?exclude=temperature,sd,state,safety")).json == {}


async def test_the_number_of_past_temperatures_can_be_limited(tmp_path):
    async with api(tmp_path) as server:
        loop, past = asyncio.get_running_loop(), server.application.settings["hub"]._history
        past._wall = lambda: NOW + loop.time()
        await server.settle(30)
        complete = (await server.get("/api/printer?history=true")).json["temperature"]["history"]
        assert len(complete) > 5
        history = (await server.get("/api/printer?history=true&limit=5")).json["temperature"]["history"]
        assert history == complete[-5:]
        assert history[0]["time"] < history[-1]["time"] <= NOW + loop.time()
        assert set(history[0]) >= {"time", "tool0", "bed"}
        assert set(history[0]["bed"]) == {"actual", "target"}
        bed = (await server.get("/api/printer/bed?history=true")).json
        assert set(bed) == {"bed", "history"}
        assert set(bed["history"][0]) == {"time", "bed"}
        assert (await server.get("/api/printer/tool?history=true&limit=0")).json["history"] == []
        assert "history" not in (await server.get("/api/printer/tool")).json


@pytest.mark.parametrize("path", PATHS)
async def test_an_absent_printer_is_409_for_every_request(tmp_path, path):
    async with api(tmp_path, "") as server:
        assert (await server.get(f"/api/printer{path}")).error == "Printer is not operational"
        for target in ("tool", "bed", "chamber", "printhead", "command"):
            response = await server.request("POST", f"/api/printer/{target}", b"{")
            assert (response.status, response.error) == (409, "Printer is not operational")


@pytest.mark.parametrize(
    ("path", "body", "commands"),
    [
        ("tool", {"command": "target", "targets": {"tool0": 210}}, ["M104 T0 S210"]),
        ("tool", {"command": "target", "targets": {"tool0": 0, "tool1": 195.5}}, ["M104 T0 S0", "M104 T1 S195.5"]),
        ("tool", {"command": "select", "tool": "tool1"}, ["T1"]),
        ("tool", {"command": "extrude", "amount": 5}, ["M83", "G1 E5 F300", "G90", "M82"]),
        ("tool", {"command": "extrude", "amount": -2.5, "speed": 120}, ["M83", "G1 E-2.5 F120", "G90", "M82"]),
        ("tool", {"command": "flowrate", "factor": 95}, ["M221 S95"]),
        ("tool", {"command": "flowrate", "factor": 0.95}, ["M221 S95"]),
        ("tool", {"command": "offset", "offsets": {"tool0": 0}}, []),
        ("bed", {"command": "target", "target": 60}, ["M140 S60"]),
        ("bed", {"command": "offset", "offset": 0}, []),
        ("chamber", {"command": "target", "target": 45}, ["M141 S45"]),
        ("printhead", {"command": "jog", "x": 10, "y": -0.5}, ["G91", "G0 X10 Y-0.5 F6000", "G90", "M82"]),
        ("printhead", {"command": "jog", "z": 0.02}, ["G91", "G0 Z0.02 F200", "G90", "M82"]),
        ("printhead", {"command": "jog", "x": 5, "absolute": True, "speed": 30}, ["G90", "G0 X5 F30", "G90", "M82"]),
        ("printhead", {"command": "home", "axes": ["y", "x"]}, ["G28 X0 Y0"]),
        ("printhead", {"command": "feedrate", "factor": 105}, ["M220 S105"]),
        ("command", {"command": "M115"}, ["M115"]),
        ("command", {"commands": ["G28", " m117 hello ; no"]}, ["G28", "m117 hello"]),
        ("command", {"command": "M106 S%(speed)s", "parameters": {"speed": 255}}, ["M106 S255"]),
    ],
)
async def test_requests_are_sent_to_the_printer_as_commands(tmp_path, monkeypatch, path, body, commands):
    async with api(tmp_path, profile={"extruders": 2, "heated_chamber": True}) as server:
        sent = Sent(server, monkeypatch)
        response = await server.post(f"/api/printer/{path}", body)
        assert (response.status, response.body) == (204, b"")
        assert sent == commands


async def test_one_hotend_needs_no_number(tmp_path, monkeypatch):
    async with api(tmp_path) as server:
        sent = Sent(server, monkeypatch)
        await server.post("/api/printer/tool", {"command": "target", "targets": {"tool0": 50}})
        assert sent == ["M104 S50"]
        await server.settle(60)
        assert (await server.get("/api/printer/tool")).json["tool0"]["target"] == 50


async def test_offsets_are_added_to_the_targets_of_files_and_to_no_others(tmp_path):
    async with api(tmp_path) as server:
        await server.settle(10)
        assert (await server.post("/api/printer/tool", {"command": "offset", "offsets": {"tool0": 5}})).status == 204
        assert (await server.post("/api/printer/bed", {"command": "offset", "offset": -2.5})).status == 204
        temperatures = (await server.get("/api/printer")).json["temperature"]
        assert (temperatures["tool0"]["offset"], temperatures["bed"]["offset"]) == (5, -2.5)
        refused = {"command": "offset", "offsets": {"tool0": 9, "tool1": 9}}
        assert (await server.post("/api/printer/tool", refused)).status == 400
        await server.post("/api/printer/bed", {"command": "target", "target": 50})
        (tmp_path / "uploads").mkdir(exist_ok=True)
        (tmp_path / "uploads" / "hot.gcode").write_text("G28\nM104 S200\nM109 S210\nG4 S30\n")
        await server.post("/api/files/local/hot.gcode", {"command": "select", "print": True})
        await server.settle(200)
        temperatures = (await server.get("/api/printer")).json["temperature"]
        assert (temperatures["tool0"]["target"], temperatures["bed"]["target"]) == (215, 50)
        assert (await server.post("/api/connection", {"command": "disconnect"})).status == 204
        assert server.service.jobs.offsets == {}


HUGE = 10**400  # a whole number of JSON, larger than any float
NUMBERS = ["hot", None, True, [], {}, -1, 1e9, HUGE, -HUGE]


async def test_empty_axes_and_targets_are_accepted_and_send_nothing(tmp_path, monkeypatch):
    async with api(tmp_path) as server:
        sent = Sent(server, monkeypatch)
        assert (await server.post("/api/printer/printhead", {"command": "home", "axes": []})).status == 204
        assert (await server.post("/api/printer/tool", {"command": "target", "targets": {}})).status == 204
        assert sent == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *(("tool", {"command": "target", "targets": {"tool0": value}}) for value in [*NUMBERS, 301]),
        *(("tool", {"command": "target", "targets": value}) for value in (None, [], 5, {"tool1": 5}, {"bed": 5})),
        ("tool", {"command": "target", "targets": {"tool0": 200, "tool9": 200}}),
        ("tool", {"command": "target"}),
        *(("tool", {"command": "select", "tool": value}) for value in ("tool1", "tool", "0", 0, None, "tool0\nM112")),
        *(("tool", {"command": "extrude", "amount": value}) for value in ("5", None, True, 1e9, HUGE)),
        ("tool", {"command": "extrude", "amount": 5, "speed": "fast"}),
        ("tool", {"command": "extrude", "amount": 5, "speed": 0.1}),
        ("tool", {"command": "extrude", "amount": 5, "speed": HUGE}),
        *(("tool", {"command": "flowrate", "factor": value}) for value in (HUGE, -HUGE, 1e308)),
        *(("tool", {"command": "flowrate", "factor": value}) for value in ("95", None, True, 0, -5, 100_000, 0.001)),
        ("tool", {"command": "offset", "offsets": {"tool0": 51}}),
        ("tool", {"command": "offset", "offsets": {"tool0": 5, "tool1": 5}}),
        *(("bed", {"command": "offset", "offset": value}) for value in [None, "5", True, -51, HUGE]),
        ("tool", {"command": "offset", "offsets": 5}),
        *(("bed", {"command": "target", "target": value}) for value in [*NUMBERS, 121]),
        ("bed", {"command": "target"}),
        ("bed", {"command": "melt"}),
        ("printhead", {"command": "jog"}),
        ("printhead", {"command": "jog", "x": "5\nM112"}),
        ("printhead", {"command": "jog", "x": 1e6}),
        ("printhead", {"command": "jog", "x": HUGE}),
        ("printhead", {"command": "jog", "x": 1, "speed": HUGE}),
        ("printhead", {"command": "feedrate", "factor": HUGE}),
        ("printhead", {"command": "home"}),
        *(("printhead", {"command": "home", "axes": value}) for value in (["e"], "xyz", None, [["x"]], {"x": 1})),
        ("printhead", {"command": "feedrate", "factor": 0}),
        ("command", {}),
        ("command", {"command": "G28", "commands": ["G28"]}),
        *(("command", {"command": value}) for value in ("", "  ", "G28\nM112", "G28\rM112", None, 5, ["G28"])),
        *(("command", {"commands": value}) for value in ([], "G28", ["G28", 5], ["G28", ""], ["G28", "M104 S\nM112"])),
        ("command", {"command": "M110 N0"}),
        ("command", {"command": "M28 x.gco"}),
        ("command", {"command": "M106 S%(speed)s"}),
        ("command", {"command": "M106 S%(speed)s", "parameters": 5}),
        ("command", {"command": "M106 S%(speed)s", "parameters": {"speed": "1\nM112"}}),
    ],
)
async def test_an_invalid_request_is_400_and_sends_nothing(tmp_path, monkeypatch, path, body):
    async with api(tmp_path) as server:
        sent = Sent(server, monkeypatch)
        response = await server.post(f"/api/printer/{path}", body)
        assert (response.status, bool(response.error)) == (400, True)
        assert sent == []


async def test_past_temperatures_remain_after_a_disconnection(tmp_path):
    async with api(tmp_path) as server:
        await server.settle(10)
        await server.post("/api/connection", {"command": "disconnect"})
        assert (await server.get("/api/printer?history=true")).status == 409
        history = (await server.get("/api/printer/temperatures?limit=1")).json["history"]
        assert [set(each) for each in history] == [{"time", "tool0", "bed"}]


async def test_a_missing_heater_is_409(tmp_path):
    async with api(tmp_path, profile={"heated_bed": False}) as server:
        for heater in ("bed", "chamber"):
            assert (await server.get(f"/api/printer/{heater}")).status == 409
            response = await server.post(f"/api/printer/{heater}", {"command": "target", "target": 5})
            absence = f"Printer does not have a heated {heater}"  # OctoPrint's words
            assert (response.status, response.error) == (
                409, f"{absence}: if it has one, set heated_{heater} in [profile]"
            )  # fmt: skip


async def test_a_reported_heater_can_be_turned_off_whatever_the_profile_says(tmp_path, monkeypatch):
    async with api(tmp_path, "sim?extruders=3", profile={"heated_bed": False}) as server:
        await server.settle(10)
        sent = Sent(server, monkeypatch)
        assert (await server.post("/api/printer/tool", {"command": "target", "targets": {"tool2": 0}})).status == 204
        assert (await server.post("/api/printer/bed", {"command": "target", "target": 0})).status == 204
        assert (await server.post("/api/printer/tool", {"command": "select", "tool": "tool2"})).status == 204
        assert sent == ["M104 T2 S0", "M140 S0", "T2"]
        sent.clear()
        assert (await server.post("/api/printer/preheat", {"command": "cooldown"})).status == 204
        assert sent == ["M104 T0 S0", "M104 T1 S0", "M104 T2 S0", "M140 S0"]
        wrong = await server.post("/api/printer/tool", {"command": "target", "targets": {"tool3": 0}})
        assert wrong.status == 400


async def test_during_a_print_rates_and_targets_change_but_the_head_does_not_move(tmp_path):
    async with api(tmp_path) as server:
        await server.upload(("file", "a.gcode", b"G4 S5\n" * 100), ("print", b"true"))
        await server.settle(3)
        jog, home = {"command": "jog", "x": 1}, {"command": "home", "axes": ["x"]}
        extrude = {"command": "extrude", "amount": 1}
        for path, body in (("printhead", jog), ("printhead", home), ("tool", extrude)):
            refused = await server.post(f"/api/printer/{path}", body)
            assert (refused.status, "pause the print first, or wait" in refused.error) == (409, True)
        for path, body in (
            ("printhead", {"command": "feedrate", "factor": 110}),
            ("tool", {"command": "flowrate", "factor": 90}),
            ("tool", {"command": "select", "tool": "tool0"}),
            ("tool", {"command": "target", "targets": {"tool0": 40}}),
            ("command", {"command": "M117 hello"}),
        ):
            assert (await server.post(f"/api/printer/{path}", body)).status == 204
        await server.post("/api/job", {"command": "pause", "action": "pause"})
        await server.settle(30)
        assert (await server.get("/api/printer")).json["state"]["flags"]["paused"]
        for path, body in (("printhead", jog), ("tool", extrude)):
            assert (await server.post(f"/api/printer/{path}", body)).status == 204


async def test_unsupported_features_are_empty_or_404(tmp_path):
    async with api(tmp_path) as server:
        assert (await server.get("/api/printer/sd")).status == 404
        assert (await server.post("/api/printer/sd", {"command": "init"})).status == 404
        assert (await server.post("/api/printer/command", {"script": "nightly"})).status == 404
        assert (await server.get("/api/printer/command/custom")).json == {"controls": []}
        assert (await server.get("/api/printer/error")).json == {"error": "", "reason": ""}


@pytest.mark.parametrize(
    ("commands", "sent"),
    [
        (lambda modes: gcode.jog({"x": 5}, modes), ["G21", "G91", "G0 X5 F6000", "G20", "G90", "M82", "G1 F60"]),
        (
            lambda modes: gcode.extrude({"amount": 5}, modes),
            ["G21", "M83", "G1 E5 F300", "G20", "G90", "M82", "G1 F60"],
        ),
    ],
)
def test_a_feedrate_in_inches_is_restored_in_inches(commands, sent):
    assert commands(Modes(inches=True, feedrate=b"60")) == sent


@given(st.floats(-1e7, 1e7))
def test_a_number_is_written_without_exponent_and_within_a_ten_thousandth(value):
    written = gcode.word("X", value)
    assert set(written[1:]) <= set("-.0123456789")
    assert abs(float(written[1:]) - value) <= 0.00005 + abs(value) * 1e-12


async def test_a_command_with_half_a_character_is_sent_with_a_question_mark(tmp_path, monkeypatch):
    """JSON can have such characters, UTF-8 cannot."""
    body = b'{"command": "M117 a\\ud800"}'
    async with api(tmp_path) as server:
        sent, kind = Sent(server, monkeypatch), {"Content-Type": "application/json"}
        assert (await server.request("POST", "/api/printer/command", body, headers=kind)).status == 204
        assert sent == ["M117 a?"]


async def test_too_many_commands_are_all_refused(tmp_path, monkeypatch):
    async with api(tmp_path) as server:
        printer = server.service.connection.printer
        before = printer.next_number
        answer = await server.post("/api/printer/command", {"commands": ["M105"] * 257})
        assert answer.status == 503
        assert "256" in answer.json["error"]
        assert printer.next_number == before, "none is sent"
        assert (await server.post("/api/printer/command", {"commands": ["M105"] * 256})).status == 204
