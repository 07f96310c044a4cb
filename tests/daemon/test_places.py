"""The note of a print's place on the disk: place in the file for a line number, and the position there."""

import asyncio
import json
import os
from types import SimpleNamespace

import pytest

from daemon.bridge.words import JobState, Selection
from daemon.core.job import after_reboot
from daemon.core.job.after_reboot import ReattachedPlace, _correct_filament, find_head
from daemon.core.job.job import Job
from daemon.core.job.job_snapshot import JobSnapshot
from daemon.core.job.machine import JobMachine
from daemon.core.job.parking import plain_modes
from daemon.core.job.places import Places, StoredPlace
from daemon.core.job.steps import Steps
from gcode.dialect import MARLIN, REPETIER
from gcode.flight import LinkEstimate
from gcode.framing import frame
from gcode.modes import Modes
from gcode.outgoing import JobPlace, Ticket
from gcode.reader import Reader
from hal.logbook import Logbook

LINE = b"G1 X1"


@pytest.mark.parametrize(
    ("offset", "lines"), [(813, 0), (814, 1), (820, 7), (821, 7), (823, 7), (824, 8), (831, 15), (832, 15), (833, 16)]
)
def test_line_numbers_not_of_the_file_are_left_out(offset, lines):
    noted = StoredPlace({"a": 1}, number=812, gaps=[(820, 3), (831, 1)])
    assert noted.lines_before(offset) == lines


def test_numbers_beyond_the_end_of_the_file_are_not_counted():
    noted = StoredPlace({"a": 1}, number=812, gaps=[(813, 2)], end_number=817)
    assert {noted.lines_before(offset) for offset in (817, 900)} == {2}


def test_a_number_modulo_65536_means_the_nearest_line():
    assert LinkEstimate(70_000, Modes()).snapshot(70_010 % 65536, REPETIER).answered == 70_009
    assert LinkEstimate(65_530, Modes()).snapshot(3, REPETIER).answered == 65_538
    assert LinkEstimate(70_000, Modes()).snapshot(70_010, MARLIN).answered == 70_009


def noted_in(book: Logbook, number: int, offset: int, of_job: bool, answered: int) -> None:
    ticket = None if of_job else Ticket(b"M117 x")
    book.note((number, frame(number, LINE), offset if of_job else -1, offset if of_job else -1, ticket), answered, None)


def test_the_place_is_known_if_only_lines_of_the_file_are_in_flight():
    book = Logbook()
    assert book.anchor(0) is None
    for number in range(1, 10):
        noted_in(book, number, number * 10, number != 6, number - 1)
    assert book.anchor(5) is None, "the sixth is none of the file's"
    anchor = book.anchor(6)
    assert (anchor.number, anchor.place) == (6, JobPlace(50, 50)), "the file's next is the seventh"
    assert book.anchor(9).place.offset == 90


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("G1 X1 Y2 Z3\n", {"X": 1, "Y": 2, "Z": 3}),
        ("G28\nG1 X1\n", {"X": 1}),
        ("G28\n", {}),
        ("G1 X1 Y2 Z3\nG91\nG1 X-0.5\nG90\nM106 S3\n", {"X": 0.5, "Y": 2, "Z": 3}),
        ("G20\nG1 X1\n", {"X": 25.4}),
        ("G1 X1 Y2 Z3\nT1\n", {}),
        ("G92 E0\nG1 X1 E5\nG1 E4.2 F1800\n", {"X": 1, "E": 4.2}),
        ("M83\nG1 X1 E5\n", {"X": 1}),
        ("G1 X1 Y2 Z3\nMACRO A=1\nG1 Y4\n", {"Y": 4}),
        ("G1 X5\nG92 X0\nG2 X3 Y4 I1 J1\n", {"X": 3, "Y": 4}),
        ("; nothing\n" * 200_000 + "G1 X1 Y2\n", {"X": 1, "Y": 2}),
        ("G1 Z0.3\n" + "; nothing\n" * 300_000 + "G1 X1 Y2\n", {"X": 1, "Y": 2, "Z": 0.3}),
    ],
)
def test_the_expected_position_is_read_from_the_file(tmp_path, text, expected):
    path = tmp_path / "part.gcode"
    path.write_text(text + "G1 X99 Y99 Z99\n")
    fd = os.open(path, os.O_RDONLY)
    try:
        before = text.rstrip("\n").rfind("\n") + 1
        assert find_head(fd, ReattachedPlace(JobPlace(1, before), Modes(relative_e="M83" in text))) == pytest.approx(
            expected
        )
    finally:
        os.close(fd)


def test_the_last_line_of_the_file_leads_the_head_even_without_a_line_end(tmp_path):
    path = tmp_path / "part.gcode"
    path.write_text("G1 X1 Y2 Z3\nG1 X10 E5")
    fd = os.open(path, os.O_RDONLY)
    try:
        assert find_head(fd, ReattachedPlace(JobPlace(2, 12), Modes())) == {"X": 10.0, "Y": 2.0, "Z": 3.0, "E": 5.0}
    finally:
        os.close(fd)


def test_the_last_command_of_the_file_may_set_the_next_target_without_a_line_end(tmp_path):
    path = tmp_path / "part.gcode"
    path.write_text("G1 X1 Y2 Z3\nM140 S60")
    fd = os.open(path, os.O_RDONLY)
    try:
        assert after_reboot._next_targets(fd, ReattachedPlace(JobPlace(1, 0), Modes())) == {"bed": 60.0}
    finally:
        os.close(fd)


def test_the_expected_position_takes_one_look_back_at_the_file(tmp_path, monkeypatch):
    path = tmp_path / "part.gcode"
    path.write_text("G1 X10 Y20 Z0.2\n" + "; more\n" * 1000)
    fd, starts = os.open(path, os.O_RDONLY), []
    monkeypatch.setattr(after_reboot, "Reader", lambda start: (starts.append(start), Reader(start))[1])
    try:
        place = ReattachedPlace(JobPlace(1, 0), Modes())
        assert find_head(fd, place) == {"X": 10.0, "Y": 20.0, "Z": 0.2}
    finally:
        os.close(fd)
    assert starts == [0]


@pytest.mark.parametrize(("inches", "sent"), [(False, ["G92 E25.40000"]), (True, ["G92 E1.00000"])])
async def test_filament_is_corrected_in_the_units_of_the_file(inches, sent):
    commands = []

    async def send(command):
        commands.append(command)

    await _correct_filament(SimpleNamespace(send=send), Modes(inches=inches), {"E": 25.4}, {"E": 55.4})
    assert commands == sent
    await _correct_filament(SimpleNamespace(send=send), Modes(inches=inches), {"E": 25.4}, {"E": 25.45})
    assert commands == sent, "a difference below the decimals of the report is not corrected"


class Disk:
    """A disk that has written at once."""

    def __init__(self, text=None):
        self.text = text

    async def get(self):
        return self.text

    async def put(self, text):
        self.text = text


async def test_closing_waits_only_for_the_current_write():
    """Even in the turn of the loop in which it was written, before the link knows."""
    connection = SimpleNamespace(printer=None, subscribe=lambda _: None)
    for turns in range(4):
        places = Places(Disk(), connection, Logbook())
        places._store(StoredPlace({"a": turns}))
        for _ in range(turns):
            await asyncio.sleep(0)
        await places.close()
        assert places._on_disk.snapshot == {"a": turns}


async def test_the_content_of_the_disk_has_the_names_that_other_versions_know():
    connection = SimpleNamespace(printer=None, subscribe=lambda _: None)
    modes = plain_modes(Modes())
    disk = Disk()
    stored = StoredPlace({"job": 7}, number=812, lines=800, offset=30_112, gaps=[(840, 1)], modes=modes)
    places = Places(disk, connection, Logbook())
    places._store(stored)
    await places.close()
    names = "page why number lines offset least gaps until modes heat clock hot_printer"
    assert sorted(json.loads(disk.text)) == sorted(names.split())
    written = {"page": {"job": 7}, "number": 812, "lines": 800, "offset": 30_112, "gaps": [[840, 1]], "modes": modes}
    for text in (disk.text, json.dumps(written | {"later": 1}).encode()):
        assert await Places(Disk(text), connection, Logbook()).snapshot() == stored


class HangingDisk(Disk):
    async def put(self, _text):
        await asyncio.Event().wait()


async def test_the_next_print_does_not_wait_for_a_write_that_hangs_for_ever():
    printer = SimpleNamespace(
        dialect=MARLIN, modes=Modes(), heaters={}, next_on_wire=7, next_number=7, place=JobPlace(),
        reserve_numbers=lambda *_: None, wake=lambda: None,
    )  # fmt: skip
    connection = SimpleNamespace(printer=printer, subscribe=lambda _: None)
    selection = Selection("a.gcode", "a.gcode", 1, 0)
    places = Places(HangingDisk(b""), connection, Logbook())
    for _ in range(2):
        snapshot = JobSnapshot(selection, 0.0, boot="", address="sim")
        job = Job(snapshot, printer, JobMachine(lambda *_: None, JobState.PRINTING), Steps(snapshot, lambda: None))
        places.begin(job)
        async with asyncio.timeout(60):
            await places.announce_lines(job)
        assert places.may_go(Ticket(b"M105"), 1)
    places._task.cancel()
    places._retract_task.cancel()


class SlowDisk(Disk):
    """A disk that takes a second, and that fails so many times first."""

    def __init__(self, failures=0):
        super().__init__()
        self.failures = failures

    async def put(self, text):
        await asyncio.sleep(1)
        self.failures -= 1
        if self.failures >= 0:
            raise OSError("the disk fails")
        self.text = text


@pytest.mark.parametrize("failures", [0, 1])
async def test_heaters_that_may_be_on_are_noted_even_if_the_disk_fails_once(failures):
    """Without a failure the caller waits for the note: after that it records how the print ended."""
    disk = SlowDisk(failures)
    places = Places(disk, SimpleNamespace(printer=None, subscribe=lambda _: None), Logbook())
    await places.forget("serial:/dev/ttyACM0")
    assert (disk.text is None) == (failures > 0), "a disk that fails is not waited for"
    await asyncio.sleep(10)
    assert json.loads(disk.text)["hot_printer"] == "serial:/dev/ttyACM0"
