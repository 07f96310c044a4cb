"""A file that resumes another in the middle: the printer lays the same material at the same places."""

import asyncio
import io
import json
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.bridge.words import JobState as S
from daemon.cli import main
from daemon.config import Config, ProfileConfig
from daemon.errors import FileError, NoSuchPlace
from daemon.front.analysis.file_analysis import analyse, machine
from daemon.front.analysis.findings import from_analysis
from daemon.front.analysis.store import FileKey
from daemon.front.resuming import service
from daemon.front.resuming.place import ResumePlace, place_before, start_sequence
from daemon.front.resuming.proposal import ResumeTarget, warnings
from daemon.front.resuming.proposal import propose as propose_there
from daemon.front.resuming.service import LIFETIME_S, MAX_OFFERS, Resuming
from daemon.front.resuming.worker import find_place
from daemon.front.uploads.files import Upload
from daemon.rest_of_print import DANGER, is_rest
from hal.simulated.config import FirmwareConfig
from support import bgcode
from support.client import listening
from support.http import KEY, NOW, api
from support.job_host import SCRIPTS, job_host
from support.reading import read_whole
from support.waiting import TIMEOUT, until

CUBE = Path(__file__).parents[2] / "examples" / "cube20.gcode"
SMALL = """\
;a slicer's header
M201 X500
G21
G90
M82
M140 S60
M104 S210
G28
M190 S60
M109 S210
G92 E0
;LAYER_CHANGE
;Z:0.2
G1 Z0.2 F600
G1 X20 Y20 F6000
G1 X40 Y20 E1 F1200
M106 S128
G1 X40 Y40 E2
G1 E1.2 F1800
;LAYER_CHANGE
;Z:0.4
G1 Z0.4 F600
G1 X20 Y20 F6000
G1 E2 F1800
G1 X40 Y20 E3 F1200
G1 X40 Y40 E4
M104 S0
M140 S0
M84
"""
SEQUENCE = """\
G21
G90
M201 X500
M190 S60
G92 Z0.2
G91
G1 Z5 F600
G90
G28 X Y
M104 S210
M109 S210
M83
G1 E5 F150
G1 E-0.8 F1800
G1 X40 Y40 F6000
G1 Z0.2 F600
G92 E1.2
G21
G90
M82
G1 F1800
M106 S128
"""


@pytest.fixture
def small(tmp_path) -> Path:
    path = tmp_path / "part.gcode"
    path.write_text(SMALL)
    return path


def commands_of(text: str) -> list[tuple[int, bytes]]:
    return read_whole(text.encode())


def start_of(place: ResumePlace):
    return start_sequence(place, place.top)


def sequence(text: str) -> list[str]:
    """Return the start sequence for the rest after a text."""
    return list(start_of(place_before(commands_of(text), len(text))))


@pytest.mark.parametrize("place", [["--layer", "2"], ["--height", "0.25"], ["--height", "0.18"], ["--line", "20"]])
def test_layer_height_and_line_name_the_same_place(small, tmp_path, place):
    output = tmp_path / "rest.gcode"
    assert main(["resume-at", str(small), *place, "--yes", "--output", str(output)]) == 0
    first, rest = output.read_text().split("\n", 1)
    assert is_rest(first.encode())
    assert rest == SEQUENCE + SMALL[SMALL.index(";LAYER_CHANGE\n;Z:0.4") :]


def test_a_packed_file_is_resumed_as_text(small, tmp_path):
    (tmp_path / "packed.bgcode").write_bytes(bgcode.head() + bgcode.gcode(SMALL.encode(), bgcode.DEFLATE))
    assert main(["resume-at", str(small), "--layer", "2", "--yes"]) == 0
    assert main(["resume-at", str(tmp_path / "packed.bgcode"), "--layer", "2", "--yes"]) == 0
    plain, packed = (path.with_name(f"{path.stem}-resumed.gcode") for path in (small, tmp_path / "packed.bgcode"))
    rests = [path.read_text().partition("\n")[2].strip() for path in (plain, packed)]
    assert rests[0] == rests[1]
    assert rests[0].endswith("M84")


async def extrusions_of(tmp_path, lines: list[str]) -> list[tuple]:
    """Print on a printer that is cold; return what was laid where."""
    async with job_host(tmp_path, firmware=FirmwareConfig(), scripts=replace(SCRIPTS, before_start=())) as host:
        path, moved = [], host.oracle.record_move

        def note(move, began, tool):
            if move.delta[3] > 0 and (move.delta[0] or move.delta[1]):
                path.append(tuple(round(value, 3) for value in (*move.end[:3], move.delta[3])))
            moved(move, began, tool)

        host.oracle.record_move = note
        host.start(lines)
        await host.until(S.COMPLETED)
        await host.settle()
        assert host.connection.heaters["tool0"].target == 0
        return path


async def test_the_rest_is_printed_exactly_where_the_whole_print_would_be(tmp_path):
    offset = SMALL.index(";LAYER_CHANGE\n;Z:0.4")
    jogged = ["G1 Z0.2 F600"]  # by hand, to where the nozzle touches the part
    rest = [*jogged, *sequence(SMALL[:offset]), *SMALL[offset:].splitlines()]
    whole = await extrusions_of(tmp_path, SMALL.splitlines())
    assert len(whole) == 4
    assert await extrusions_of(tmp_path, rest) == whole[2:]


@pytest.mark.parametrize("layer", [2, 40, 98])
def test_the_rest_of_a_sliced_file_passes_the_check_of_files(tmp_path, layer):
    output = tmp_path / "rest.gcode"
    assert main(["resume-at", str(CUBE), "--layer", str(layer), "--yes", "--output", str(output)]) == 0
    profile = machine(ProfileConfig())
    whole, rest = analyse(CUBE, profile), analyse(output, profile)
    assert rest.errors == ()
    assert set(rest.warnings) <= set(whole.warnings)
    pushed = sum(tool.length_mm for tool in rest.tools)
    assert pushed < sum(tool.length_mm for tool in whole.tools) + 10
    assert [each.z for each in rest.layers] == [each.z for each in whole.layers[layer - 1 :]]


def test_z_is_never_homed_nor_moved_down_before_the_lift():
    commands = sequence(SMALL[: SMALL.index(";LAYER_CHANGE\n;Z:0.4")])
    assert "G28 X Y" in commands
    assert not [each for each in commands if each.startswith("G28") and each != "G28 X Y"]
    moves = [each for each in commands if each.startswith("G1") and " Z" in each]
    assert moves[0] == "G1 Z5 F600"
    assert commands[commands.index(moves[0]) - 1] == "G91"
    order = ["M190 S60", "G92 Z0.2", "G1 Z5 F600", "G28 X Y", "M104 S210", "M109 S210"]
    assert [each for each in commands if each in order] == order, "the nozzle is heated above the part and away from it"


def test_modes_tools_and_units_are_as_at_that_place():
    text = "M104 T0 S200\nM104 T1 S220\nT1\nG28\nG20\nG91\nM83\nG1 X1 Y1 Z0.01 E1 F60\nG1 Y1 E1\n"
    commands = sequence(text)
    assert [each for each in commands if each.startswith("M10")] == [
        "M104 T0 S200",
        "M104 T1 S220",
        "M109 T0 S200",
        "M109 T1 S220",
    ]
    assert commands[-8:] == [
        "G1 X25.4 Y50.8 F6000", "G1 Z0.254 F600", "G92 E50.8", "T1", "G20", "G91", "M83", "G1 F60",
    ]  # fmt: skip


def test_a_heater_that_is_off_stays_off():
    commands = sequence(SMALL[: SMALL.index("M84")])
    assert not [each for each in commands if each.startswith(("M104", "M109", "M140", "M190"))]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("G28\nG1 X1 F600\n", "nothing is printed before"),
        ("G28\nG1 X10 E1 F600\nG92 X0\nG1 X10 E2\n", "moves the origin"),
        ("G92 X0 Y0 Z0\nG1 X10 E1 F600\n", "moves the origin"),  # wherever the nozzle stood, and X and Y will home
        ("G28\nG92 Z1\nG1 X10 E1 F600\n", "moves the origin"),
    ],
)
def test_a_place_from_which_no_print_can_resume_is_refused(text, problem):
    with pytest.raises(FileError, match=problem):
        sequence(text)


def test_a_resumed_print_can_be_resumed_again():
    at = SMALL.index(";LAYER_CHANGE\n;Z:0.4")
    rest = "".join(f"{each}\n" for each in sequence(SMALL[:at])) + SMALL[at:]
    stop = "G1 X40 Y20 E3 F1200\n"  # the power fails again after this line
    whole, again = (sequence(text[: text.index(stop) + len(stop)]) for text in (SMALL, rest))
    assert again == whole


def test_a_filament_change_is_no_retraction():
    assert sequence("G28\nM83\nG1 X10 E5 F600\nG1 E-80 F600\n").count("G1 E-80 F1800") == 0
    assert ResumePlace().retracted == 0


def test_nothing_is_written_without_consent(small, tmp_path, monkeypatch, capsys):
    output = tmp_path / "rest.gcode"
    words = ["resume-at", str(small), "--layer", "2", "--output", str(output)]
    for reply in ("", "\n", "n\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(reply))
        assert main(words) == 1
        assert not output.exists()
    errors = capsys.readouterr().err
    assert "just touches the part, 0.20 mm" in errors
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(words) == 0
    assert output.exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--layer", "0"], "has layers 1 to 2, not 0"),
        (["--layer", "3"], "has layers 1 to 2, not 3"),
        (["--height", "9"], "no layer above 9 mm"),
        (["--line", "999"], "has no line 999"),
        (["--line", "12"], "print the whole file"),
        (["--layer", "1"], "print the whole file"),
        (["--height", "-5"], "print the whole file"),
        (["--layer", "2", "--output", "part.gcode"], "is the input file"),
        (["--layer", "2", "--output", "none/x.gcode"], "No such file or directory"),
    ],
)
def test_impossible_requests_are_reported(small, words, problem, monkeypatch, capsys):
    monkeypatch.chdir(small.parent)
    assert main(["resume-at", "part.gcode", *words, "--yes"]) == 1
    assert problem in capsys.readouterr().err
    assert small.read_text() == SMALL


LAYERS = "".join(
    f";LAYER_CHANGE\n;Z:{z}\nG1 Z{z} F600\n"
    + "".join(f"G1 X{20 + n % 2 * 9} Y{n / 9:.2f} E0.1 F6000\n" for n in range(99))
    for z in (0.2, 0.4, 0.6)
)


PART = "M302 S0\nM104 S40\nM140 S30\nG28\nG90\nM83\n" + LAYERS
SECOND = PART.index(";LAYER_CHANGE\n;Z:0.4")


@asynccontextmanager
async def stopped(tmp_path, text: str = PART, *, name: str = "part.gcode", analysed: bool = False, **sections):
    """A service whose print of a file was cancelled in its second layer; files are searched without delay."""
    async with api(tmp_path / "state", "sim?speed=20", **sections) as host:
        host.application.settings["resuming"] = resuming = Resuming(host.service.front)
        resuming.find = at_once_too
        assert (await propose(host)).error == "nothing has been printed yet"
        await host.upload(("file", name, text.encode()), ("print", b"true"))
        if analysed:
            path = host.service.files.root / name
            key = FileKey(path.name, path.stat().st_size, int(path.stat().st_mtime))
            findings = from_analysis(analyse(path, machine(ProfileConfig())).as_json())
            await host.service.front.analyses._store.put(key, findings)
        await until(lambda: host.service.jobs.progress.offset > text.index(";Z:0.4") + 99)
        assert (await propose(host)).error == f"{name} is being printed"
        await host.post("/api/job", {"command": "cancel"})
        await until(lambda: not host.service.jobs.active and host.service.connection.ready)
        yield host


async def at_once_too(*arguments):
    return find_place(*arguments)


def propose(host, **place):
    return host.post("/api/resume-at", {"command": "propose", **place})


def start(host, token: str, **more):
    return host.post("/api/resume-at", {"command": "start", "token": token, **more})


async def test_the_layer_of_the_end_is_proposed_and_its_rest_printed_after_consent(tmp_path):
    async with stopped(tmp_path) as host:
        answer = (await propose(host)).json
        assert (answer["layer"], answer["layers"], answer["offset"]) == (2, 3, SECOND)
        assert (answer["line"], answer["height"], answer["top"]) == (PART[:SECOND].count("\n") + 1, 0.4, 0.2)
        assert answer["temperatures"] == {"tool0": 40, "bed": 30}
        assert answer["extruded"] == pytest.approx(9.9)
        assert (answer["print"]["path"], answer["print"]["state"]) == ("part.gcode", "cancelled")
        assert "M413" in answer["hint"]
        assert [each for each in answer["sequence"] if "G28" in each] == ["G28 X Y"]
        assert (await propose(host, layer=3)).json["file"] == "part-from-layer-3.gcode"
        assert (await propose(host, height=0.25)).json["layer"] == 2
        answer_to_start = await start(host, answer["token"])
        assert (answer_to_start.status, answer_to_start.json["path"]) == (201, "part-from-layer-2.gcode")
        written = host.uploaded()["part-from-layer-2.gcode"].decode().splitlines()
        assert written[1:] == [*answer["sequence"], *PART[SECOND:].splitlines()]
        assert host.service.jobs.active
        assert host.service.jobs.selected.path == "part-from-layer-2.gcode"
        assert "is being printed" in (await propose(host)).error
        assert (await start(host, answer["token"])).status == 409, "it cannot be printed twice"
        assert sorted(host.uploaded()) == ["part-from-layer-2.gcode", "part.gcode"]


async def test_a_print_that_ended_before_its_first_layer_has_nothing_below_a_later_one(tmp_path):
    waits = "G4 P400 ; before ;Z:0.4\n" * 50
    async with stopped(tmp_path, waits + PART, analysed=True) as host:
        answer = (await propose(host, layer=3)).json
        assert answer["print"]["layer"] is None
        gap = "the print ended before its first layer: what belongs below layer 3 would be missing"
        assert answer["warnings"] == [gap]


async def test_a_resumed_print_can_be_resumed_again_under_a_new_name(tmp_path):
    async with stopped(tmp_path) as host:
        await start(host, (await propose(host)).json["token"])
        rest = host.uploaded()["part-from-layer-2.gcode"].decode()
        await until(lambda: host.service.jobs.progress.offset > rest.index(";Z:0.6") + 99)
        await host.post("/api/job", {"command": "cancel"})
        await until(lambda: not host.service.jobs.active and host.service.connection.ready)
        answer = (await propose(host)).json
        assert (answer["print"]["path"], answer["layer"]) == ("part-from-layer-2.gcode", 2)  # of those that are left
        assert answer["top"] == 0.4
        file = (await start(host, answer["token"])).json
        assert file["path"] == "part-from-layer-2-2.gcode"
        assert host.uploaded()["part-from-layer-2.gcode"].decode() == rest


async def test_implausible_requests_are_refused_by_name(tmp_path):
    async with stopped(tmp_path) as host:
        proposal = (await propose(host)).json
        number = proposal["print"]["id"]
        assert f"print {number - 1} is not the last one" in (await propose(host, print=number - 1)).error
        assert (await propose(host, layer=9)).error == "part.gcode has layers 1 to 3, not 9"
        assert "print the whole file" in (await propose(host, layer=1)).error
        assert (await propose(host, layer=0)).status == 400
        assert (await propose(host, layer=2, line=5)).error == "name only one place: layer, height or line"
        assert (await propose(host, height="high")).status == 400
        assert "this proposal has expired" in (await start(host, "nonsense")).error
        assert (await host.post("/api/resume-at", {"command": "start"})).status == 400
        path = host.service.files.root / "part.gcode"
        path.write_text(PART.replace("X20", "X21"))
        for answer in (await propose(host), await start(host, proposal["token"])):
            assert (answer.status, "no longer the file" in answer.error) == (409, True)
        path.unlink()
        for answer in (await propose(host), await start(host, proposal["token"])):
            assert (answer.status, "has been deleted" in answer.error) == (404, True)
        assert list(host.uploaded()) == [], "nothing was written"


async def test_a_completed_print_cannot_be_resumed(tmp_path):
    async with api(tmp_path, "sim?speed=100") as host:
        await host.upload(("file", "short.gcode", b"G28\nG1 X1 F6000\n"), ("print", b"true"), ("force", b"true"))
        await until(lambda: not host.service.jobs.active)
        assert "has completed" in (await propose(host)).error


async def test_a_print_that_comes_while_a_confirmation_waits_cancels_it(tmp_path):
    """The part of the other print is on the bed by then, and the nozzle wherever that print left it."""
    async with stopped(tmp_path) as host:
        token, found = (await propose(host)).json["token"], asyncio.Event()

        async def search(*arguments):
            await found.wait()
            return find_place(*arguments)

        host.application.settings["resuming"].find = search
        searching = asyncio.ensure_future(propose(host, layer=3))
        await asyncio.sleep(1)
        confirming = asyncio.ensure_future(start(host, token))  # waits for the search
        await asyncio.sleep(1)
        await host.upload(("file", "other.gcode", b"G28\nG1 X1 F6000\n"), ("print", b"true"), ("force", b"true"))
        await until(lambda: host.service.jobs.state is S.COMPLETED)
        found.set()
        answer = await confirming
        assert (answer.status, "not the last one" in answer.error) == (409, True)
        assert not host.service.jobs.active
        await searching


async def test_of_two_confirmations_at_once_only_one_prints_even_if_it_is_cancelled(tmp_path, monkeypatch):
    async with stopped(tmp_path) as host:
        token, write = (await propose(host)).json["token"], Resuming.write_rest
        second_may_go_on, confirmations = asyncio.Event(), []

        async def write_both(*arguments):
            rest = await write(*arguments)
            confirmations.append(rest)
            if len(confirmations) == 2:
                await second_may_go_on.wait()
            return rest

        monkeypatch.setattr(Resuming, "write_rest", write_both)
        first, second = (asyncio.ensure_future(start(host, token)) for _ in range(2))
        assert (await first).status == 201
        await host.post("/api/job", {"command": "cancel"})
        await until(lambda: not host.service.jobs.active and host.service.connection.ready)
        second_may_go_on.set()
        assert (await second).status == 409
        assert not host.service.jobs.active


async def test_a_rest_whose_client_gave_up_while_it_was_written_is_not_printed(tmp_path, monkeypatch):
    async with stopped(tmp_path) as host:
        token, write, loop = (await propose(host)).json["token"], Resuming.write_rest, asyncio.get_running_loop()
        began = loop.time()
        monkeypatch.setattr(host.service.both.front, "wall", lambda: NOW + loop.time() - began)

        async def write_slowly(*arguments):
            await asyncio.sleep(60)
            return await write(*arguments)

        monkeypatch.setattr(Resuming, "write_rest", write_slowly)
        body = json.dumps({"command": "start", "token": token, "force": True}).encode()
        headers = {"Content-Type": "application/json", "Nozzled-Until": f"{NOW + 30}"}
        answer = await host.request("POST", "/api/resume-at", body, headers=headers)
        assert (answer.status, host.service.jobs.active) == (408, False)


@pytest.mark.parametrize("change", ["shorter", "overwritten"])
async def test_a_file_that_changes_while_its_rest_is_written_is_not_resumed(tmp_path, monkeypatch, change):
    """The second half would be of another file."""
    monkeypatch.setattr(service, "_BLOCK", 1000)
    async with stopped(tmp_path) as host:
        token, path = (await propose(host)).json["token"], host.service.files.root / "part.gcode"
        text, write = path.read_text(), Upload.write

        async def write_and_change(*arguments):
            await write(*arguments)
            path.write_text(text[:-1000] if change == "shorter" else text.replace("X20", "X21"))

        monkeypatch.setattr(Upload, "write", write_and_change)
        answer = await start(host, token)
        assert (answer.status, "part.gcode has changed" in answer.error) == (409, True)
        assert list(host.uploaded()) == ["part.gcode"], "no half of a rest is left"


async def test_a_file_that_changes_while_its_place_is_searched_is_not_resumed(tmp_path):
    async with stopped(tmp_path) as host:

        async def search(path, *arguments):
            path.write_text(path.read_text().replace("X20", "X21"))
            return find_place(path, *arguments)

        host.application.settings["resuming"].find = search
        answer = await propose(host)
        assert (answer.status, "part.gcode has changed" in answer.error) == (409, True)


async def test_the_oldest_of_many_proposals_expires_and_any_after_half_an_hour(tmp_path):
    async with stopped(tmp_path) as host:
        tokens = [(await propose(host)).json["token"] for _ in range(MAX_OFFERS + 1)]
        assert "has expired" in (await start(host, tokens[0])).error
        await asyncio.sleep(LIFETIME_S + 1)
        assert "has expired" in (await start(host, tokens[-1])).error
        assert not host.service.jobs.active


async def test_a_print_of_which_nothing_was_acknowledged_needs_a_place(tmp_path, monkeypatch):
    async with stopped(tmp_path) as host:
        last = host.service.history.last

        async def without_a_place():
            job, date = await last()
            return {**job, "offset": 0}, date

        monkeypatch.setattr(host.service.history, "last", without_a_place)
        assert "it is unknown where the print of part.gcode ended" in (await propose(host)).error
        assert (await propose(host, layer=2)).status == 200


async def test_a_rest_that_was_replaced_before_it_began_is_written_again(tmp_path):
    async with stopped(tmp_path) as host:
        token = (await propose(host)).json["token"]
        resuming = host.application.settings["resuming"]
        first = await resuming.write_rest(token)
        assert await resuming.write_rest(token) == first, "it is written once"
        other = host.service.files.root / first.path
        other.write_text("; something else\nG28\n")
        second = await resuming.write_rest(token)
        assert (first.path, second.path) == ("part-from-layer-2.gcode", "part-from-layer-2-2.gcode")
        assert host.uploaded()[second.path].endswith(PART[SECOND:].encode())
        (host.service.files.root / second.path).unlink()
        assert (await resuming.write_rest(token)).path == second.path
        assert second.path in host.uploaded()


async def test_a_rest_that_is_replaced_after_its_check_is_not_printed(tmp_path, monkeypatch):
    async with stopped(tmp_path) as host:
        token, check = (await propose(host)).json["token"], host.service.watch.check

        async def check_and_replace(selected, *args, **kwargs):
            checked = await check(selected, *args, **kwargs)
            other = host.service.files.root / "other.gcode"
            other.write_text("G28\n")
            other.replace(host.service.files.root / selected.path)
            return checked

        monkeypatch.setattr(host.service.watch, "check", check_and_replace)
        await start(host, token)
        await until(lambda: not host.service.jobs.active)
        error = (await host.get("/api/job")).json["error"]
        assert "part-from-layer-2.gcode was changed after it had been checked" in error


@pytest.mark.parametrize("stem", ["x" * 249, "ü" * 124 + "x"])
async def test_the_rest_of_a_file_with_the_longest_name_is_printed_under_a_shorter_one(tmp_path, stem):
    async with stopped(tmp_path, name=f"{stem}.gcode") as host:
        file = (await start(host, (await propose(host)).json["token"])).json["path"]
        assert file.endswith("-from-layer-2.gcode")
        assert file[:100] == stem[:100]


async def test_no_start_script_is_sent_before_the_rest_of_a_print(tmp_path):
    """`nozzled import` brings such scripts from OctoPrint: they would home Z onto the part."""
    async with stopped(tmp_path, scripts={"before_start": ("M117 hello", "G28")}) as host:
        answer = (await propose(host)).json
        assert "scripts.before_start is left out, as it may home Z: M117 hello; G28" in answer["warnings"]
        printer, began = host.service.connection.printer, asyncio.get_running_loop().time()
        await start(host, answer["token"])
        await until(lambda: any("G28 X Y" in each for each in printer.flight_recorder.tail_since(began)))
        sent = " ".join(each for each in printer.flight_recorder.tail_since(began) if each.startswith(">"))
        assert "hello" not in sent
        assert sent.count("G28") == 1


async def test_a_rest_is_not_printed_twice_by_accident(tmp_path):
    """The part is gone by then, and the nozzle anywhere."""
    async with stopped(tmp_path) as host:
        await start(host, (await propose(host)).json["token"])
        await until(lambda: host.service.jobs.state is S.PRINTING)
        await host.post("/api/job", {"command": "pause", "action": "pause"})
        await until(lambda: host.service.jobs.state is S.PAUSED)
        answer = await host.post("/api/job", {"command": "restart"})
        assert (answer.status, DANGER in answer.error) == (409, True)
        await host.post("/api/job", {"command": "cancel"})
        await until(lambda: not host.service.jobs.active and host.service.connection.ready)
        address = "/api/files/local/part-from-layer-2.gcode"
        for body in ({"print": True}, {"print": True, "touches": "no"}):
            answer = await host.post(address, {"command": "select", **body})
            assert (answer.status, DANGER in answer.error) == (409, True)
        assert host.service.watch.refusal.reasons == [DANGER]
        await host.post(address, {"command": "select"})
        assert DANGER in (await host.post("/api/job", {"command": "start"})).error
        assert not host.service.jobs.active
        assert (await host.post(address, {"command": "select", "print": True, "touches": True})).status == 204
        assert host.service.jobs.active


def propose_at(path: Path, target: ResumeTarget, e_mode=None):
    return propose_there(path, target, analyse(path, machine(ProfileConfig())).layers, e_mode)


def write_file(tmp_path, text: str) -> Path:
    path = tmp_path / "made.gcode"
    path.write_text(text)
    return path


def block(x: int, *heights: float) -> str:
    """Return an object: a square in each of its layers."""
    square = f"G1 X{x} Y20\nG1 X{x + 20} E1 F1200\nG1 Y40 E1\nG1 X{x} E1\nG1 Y20 E1\n"
    return "".join(f";LAYER_CHANGE\nG1 Z{z:g} F600\n{square}" for z in heights)


def test_the_head_clears_sequential_objects_and_a_height_has_to_be_unambiguous(tmp_path):
    tall, low = (0.2, 0.4, 0.6, 0.8, 1.0), (0.2, 0.4, 0.6)
    path = write_file(tmp_path, f"G28\nM83\nM104 S200\n{block(10, *tall)}G1 Z9\n{block(60, *low)}")
    place = propose_at(path, ResumeTarget(layer=7))
    assert (place.height, place.top, place.highest) == (0.4, 0.2, 1.0)
    assert "G1 Z5.8 F600" in place.sequence, "5 mm above all that stands there"
    assert "which may be 1 mm high" in warnings(place, Config().scripts)[0]
    with pytest.raises(NoSuchPlace, match="objects one after the other, so a height is not enough"):
        propose_at(path, ResumeTarget(height=0.5))
    assert warnings(propose_at(path, ResumeTarget(layer=3)), Config().scripts) == []


def test_the_height_of_a_part_is_that_of_the_layer_below_without_purges(tmp_path):
    """After a purge on a wiper at a change of colour, and after circles without X and Y."""
    purge = "G1 Z11.6 F600\nG1 X5 E2 F1200\n"
    path = write_file(tmp_path, f"G28\nM83\nM104 S200\n{block(10, 0.2, 0.4)}{purge}{block(10, 0.6, 0.8)}")
    place = propose_at(path, ResumeTarget(layer=3))
    assert (place.height, place.top) == (0.6, 0.4)
    assert "G1 Z16.2 F600" in place.sequence, "5 mm above the purge, which is the next to be printed"
    assert propose_at(path, ResumeTarget(layer=4)).top == 0.6
    circles = "".join(f";LAYER_CHANGE\nG1 Z{z:g} F600\nG2 I10 J0 E3 F1200\n" for z in (0.2, 0.4, 0.6))
    path = write_file(tmp_path, f"G28\nM83\nM104 S200\nG1 X50 Y50 F6000\n{circles}")
    assert propose_at(path, ResumeTarget(layer=3)).top == 0.4


def test_a_layer_that_is_not_just_above_what_was_printed_is_refused(tmp_path):
    path = write_file(tmp_path, f"G28\nM83\nM104 S200\n{block(10, 0.2, 0.4, 0.6)}{block(60, 0.2, 0.4)}")
    with pytest.raises(NoSuchPlace, match=r"layer 4 .* is at 0.2 mm, but the layer before it is at 0.6 mm"):
        propose_at(path, ResumeTarget(layer=4))  # the first one of the second object
    assert propose_at(path, ResumeTarget(layer=5)).top == 0.2


@pytest.mark.parametrize("shift", [-0.3, -0.2, 0.0, 0.2, 0.3])
def test_a_print_whose_comments_and_moves_differ_in_height_is_refused(tmp_path, shift):
    """Only the moves have the slicer's Z offset, so the part is not as high as the comments say."""
    layers = "".join(
        block(10, z + shift).replace("CHANGE\n", f"CHANGE\n;Z:{z:g}\n;HEIGHT:0.2\n") for z in (0.6, 0.8, 1.0, 1.2)
    )
    path = write_file(tmp_path, f"G28\nM83\nM104 S200\n{layers}")
    if not shift:
        assert propose_at(path, ResumeTarget(layer=4)).top == 1.0
        return
    with pytest.raises(NoSuchPlace, match=r"by the comments of made\.gcode, layer 4 is at 1\.2 mm"):
        propose_at(path, ResumeTarget(layer=4))


def test_in_the_middle_of_a_layer_the_last_extrusion_is_the_top(small):
    line = SMALL.split("\n").index("G1 X40 Y40 E4") + 1
    assert propose_at(small, ResumeTarget(line=line)).top == 0.4


def test_lower_case_commands_are_read(tmp_path):
    place = propose_at(write_file(tmp_path, SMALL), ResumeTarget(layer=2))
    small = "".join(line if line[0] == ";" else line.lower() for line in SMALL.splitlines(keepends=True))
    again = propose_at(write_file(tmp_path, small), ResumeTarget(layer=2))
    assert (again.top, again.at) == (place.top, place.at)
    assert [each.upper() for each in again.sequence] == list(place.sequence)


@pytest.mark.parametrize(("e_mode", "sets"), [("last", "M82"), ("own", "M83"), ("either", "M83"), (None, None)])
def test_g90_affects_the_extruder_as_in_each_firmware(e_mode, sets):
    text = "G28\nM83\nG1 Z0.2 F600\nG1 X10 E1\nG91\nG1 Z1\nG90\nG1 X20 E2\n"
    if sets is None:
        with pytest.raises(NoSuchPlace, match=r"profile\.firmware"):
            place_before(commands_of(text), len(text), None)
        assert place_before(commands_of(text), text.index("G91"), None).modes.relative_e, "until then it is clear"
    else:
        commands = list(start_of(place_before(commands_of(text), len(text), e_mode)))
        assert [each for each in commands if each in ("M82", "M83")][-1] == sets


@pytest.mark.parametrize(
    ("before", "held"),
    [
        (["M200 D1.75", "M92 E400", "M218 T1 X20"], ["M200 D1.75", "M92 E400", "M218 T1 X20"]),
        (["M204 P500", "M204 T900", "M204 P700"], ["M204 T900", "M204 P700"]),  # each holds for itself
        (["M206 X2 Y3", "G10 P1 X20", "G10", "G10 S1"], ["M206 X2 Y3", "G10 P1 X20"]),
        (["M204 P500", "M204 P1 R2"], ["M204 P1 R2"]),
        (["M218 T1 X20", "M218 T2 X40", "M218 T1 X21"], ["M218 T2 X40", "M218 T1 X21"]),
        (["M220 S80", "M220 B", "M220 S30", "M220 R"], ["M220 S80"]),
        (["M106 P2 S99", "M106 P3 S1", "M107 P2"], ["M106 P3 S1", "M107 P2"]),
        (["m900 k0.05", "M900 K.07"], ["M900 K.07"]),
        (["SET_PRESSURE_ADVANCE EXTRUDER=a ADVANCE=1", "SET_PRESSURE_ADVANCE EXTRUDER=b ADVANCE=2"],) * 2,
        (["SET_VELOCITY_LIMIT ACCEL=1", "SET_VELOCITY_LIMIT ACCEL_TO_DECEL=2"],) * 2,
        (["M117 M92 E1", "START_PRINT"], []),
    ],
)
def test_settings_hold_until_they_are_changed(before, held):
    commands = sequence("G28\n" + "".join(f"{each}\n" for each in before) + "G1 X1 E1 F600\n")
    assert [each for each in commands[2:] if each in before] == held


@pytest.mark.parametrize(
    ("before", "held"),
    [
        (["SET_GCODE_OFFSET Z=-0.3", "set_gcode_offset z_adjust=0.1 MOVE=1 MOVE_SPEED=5"], "Z=-0.2"),
        (["SET_GCODE_OFFSET X=20 Y=.5", "SET_GCODE_OFFSET X=0"], "X=0 Y=0.5"),
    ],
)
def test_an_offset_of_klipper_applies_before_the_height_is_set(before, held):
    """The next offset in the file is relative to this one: without it, the nozzle would move into the part."""
    commands = sequence("G28\n" + "".join(f"{each}\n" for each in before) + "G1 X1 Z0.4 E1 F600\n")
    assert commands[commands.index("G92 Z0.4") - 1] == f"SET_GCODE_OFFSET {held}"


@pytest.mark.parametrize("origin", ["G55", "G52 X1", "M428", "G10 L2 P1 X5"])
def test_a_moved_origin_is_refused(origin):
    with pytest.raises(NoSuchPlace, match="moves the origin"):
        sequence(f"G28\n{origin}\nG1 X1 E1 F600\n")


@pytest.mark.parametrize(("start", "problem"), [
    ("START_PRINT BED_TEMP=60 EXTRUDER_TEMP=215", r"temperature of the hotend \(perhaps 'START_PRINT BED_TEMP=60"),
    ("M104 S0", "does not set a temperature of the hotend$"),
    ("M302 P1", None),
    ("M302 P0", "does not set a temperature of the hotend$"),
    ("M302 S170", "does not set a temperature of the hotend$"),
    ("M109 R200", None),
])  # fmt: skip
def test_a_print_without_known_temperatures_is_refused(tmp_path, start, problem):
    path = write_file(tmp_path, f"{start}\nG28\nM83\n{block(10, 0.2, 0.4)}")
    if problem is None:
        assert propose_at(path, ResumeTarget(layer=2))
        return
    with pytest.raises(NoSuchPlace, match=problem):
        propose_at(path, ResumeTarget(layer=2))


def test_a_full_disk_is_reported(small, capsys):
    assert main(["resume-at", str(small), "--layer", "2", "--yes", "--output", "/dev/full"]) == 1
    assert "/dev/full: No space left on device" in capsys.readouterr().err


def test_the_source_is_never_written_to(small, tmp_path, capsys):
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.gcode").symlink_to(small)
    (tmp_path / "hard.gcode").hardlink_to(small)
    for output in ("sub/../part.gcode", "link.gcode", "hard.gcode"):
        assert main(["resume-at", str(small), "--layer", "2", "--yes", "--output", str(tmp_path / output)]) == 1
        assert "is the input file" in capsys.readouterr().err
        assert small.read_text() == SMALL
    assert sorted(each.name for each in tmp_path.iterdir()) == ["hard.gcode", "link.gcode", "part.gcode", "sub"]


def test_a_gap_is_reported(small):
    place = propose_at(small, ResumeTarget(layer=2))
    scripts = Config().scripts
    assert warnings(place, scripts, 1) == []
    (gap,) = warnings(replace(place, layer=9), scripts, 2)
    assert gap == "the print ended in layer 2: what belongs between it and layer 9 would be missing"
    (gap,) = warnings(place, scripts, 0)
    assert gap == "the print ended before its first layer: what belongs below layer 2 would be missing"


@pytest.mark.real_time
async def test_the_daemon_searches_in_a_separate_process(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NOZZLED_API_KEY", KEY)
    part = tmp_path / "part.gcode"
    begin, end = PART.index("\nG1 X", SECOND) + 1, PART.rindex(";LAYER_CHANGE")
    text = PART[:end] + PART[begin:end] * 19 + PART[end:]  # 9 s for the second layer: a busy machine does not miss it
    part.write_text(text)

    async def nozzled(*words: str, code: int = 0) -> str:
        with capture_logs():
            assert await asyncio.to_thread(main, [*words, "--url", url]) == code, words
        output = capsys.readouterr()
        return output.out + output.err

    async with listening(tmp_path / "state", "sim?speed=20") as (service, url):
        await settled(lambda: service.connection.ready)
        assert "nothing has been printed yet" in await nozzled("resume-at", "--yes", code=6)
        await nozzled("files", "upload", str(part), "--print")
        await settled(lambda: service.jobs.progress.offset > SECOND + 99)
        words = ("resume-at", str(part), "--layer", "2", "--yes", "--output", str(tmp_path / "x.gcode"), "--print")
        assert "nothing was uploaded" in await nozzled(*words, code=1)
        await nozzled("job", "cancel")
        await settled(lambda: not service.jobs.active)
        await settled(lambda: service.connection.ready)
        report = await nozzled("resume-at", "--yes", "--output", str(tmp_path / "rest.gcode"))
        assert re.search(r"^part\.gcode: cancelled [-0-9]+ [0-9]+:[0-9]+$", report, re.MULTILINE)
        assert "Printing continues in layer 2 of 3, at 0.4 mm" in report
        why_a_layer = "so printing continues at the start of a layer"
        assert why_a_layer in report
        place = ("resume-at", "--line", str(text[:SECOND].count("\n") + 1))
        assert why_a_layer not in await nozzled(*place, "--yes", "--output", str(tmp_path / "chosen.gcode"))
        assert "tool0 40 °C, bed 30 °C" in report
        assert "just touches the part, 0.20 mm" in report
        assert (tmp_path / "rest.gcode").read_text().endswith(text[SECOND:])
        assert "part-from-layer-2.gcode  (printing)" in await nozzled("resume-at", "--yes")
        assert service.jobs.selected.path == "part-from-layer-2.gcode"
        await nozzled("job", "cancel")
        await settled(lambda: not service.jobs.active)


async def settled(condition) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.02)


def test_a_file_without_a_place_is_refused(small, capsys):
    assert main(["resume-at", str(small)]) == 1
    assert "say where to continue" in capsys.readouterr().err


async def test_a_key_in_the_body_counts_and_a_height_of_any_size_is_answered(tmp_path):
    async with stopped(tmp_path) as host:
        token = (await propose(host)).json["token"]
        assert (await start(host, token, job="k")).headers["Nozzled-Job"]
        again = await start(host, token, job="k")
        assert (again.status, again.headers["Idempotent-Replayed"]) == (204, "true")
        body = b'{"command": "propose", "height": 1%b}' % (b"0" * 400)
        headers = {"Content-Type": "application/json"}
        assert (await host.request("POST", "/api/resume-at", body, headers=headers)).status == 400
