import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.host_commands import (
    CancelJob,
    DwellUnlessKnown,
    HeatAndWait,
    LeaveOut,
    PauseJob,
    PauseUnlessKnown,
    PrinterPauses,
    SendInstead,
    WaitForAll,
    meaning,
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"M109 S215", HeatAndWait(b"M104 S215", "tool", 215.0, waits_for_cooling=False, file_command=b"M109 S215")),
        (
            b"M109 T1 S215.5",
            HeatAndWait(b"M104 T1 S215.5", "tool1", 215.5, waits_for_cooling=False, file_command=b"M109 T1 S215.5"),
        ),
        (b"M109 R50", HeatAndWait(b"M104 S50", "tool", 50.0, waits_for_cooling=True, file_command=b"M109 R50")),
        (b"m190 s60", HeatAndWait(b"M140 S60", "bed", 60.0, waits_for_cooling=False, file_command=b"m190 s60")),
        (
            b"M109 S215 T1 P0",
            HeatAndWait(b"M104 S215 T1 P0", "tool1", 215.0, waits_for_cooling=False, file_command=b"M109 S215 T1 P0"),
        ),
        (
            b"M109 R180 I",
            HeatAndWait(b"M104 S180 I", "tool", 180.0, waits_for_cooling=True, file_command=b"M109 R180 I"),
        ),
        (b"M191 S40", HeatAndWait(b"M141 S40", "chamber", 40.0, waits_for_cooling=False, file_command=b"M191 S40")),
        (
            b"M 0109 S215",
            HeatAndWait(b"M104 S215", "tool", 215.0, waits_for_cooling=False, file_command=b"M 0109 S215"),
        ),
        (b"M190.1 S60", HeatAndWait(b"M140 S60", "bed", 60.0, waits_for_cooling=False, file_command=b"M190.1 S60")),
        (b"M109", None),
    ],
)
def test_waits_for_heat_belong_to_the_host(line, expected):
    assert meaning(line, host_waits=True) == expected
    assert meaning(line, host_waits=False) is None


@pytest.mark.parametrize(("line", "host"), [(b"M109 R200", True), (b"M190 R60", True), (b"M109 S200", False)])
def test_a_wait_with_r_belongs_to_the_host_if_the_firmware_lacks_it(line, host):
    assert (meaning(line, host_waits=False, reads_r=False) is not None) == host


@pytest.mark.parametrize(
    "line",
    [
        b"M0",
        b"M1 Press",
        b"m25",
        b"M226",
        b"M00",
        b"M0 S0",
        b"M0Step",
        b"M0 Step 2",
        b"M1 Part 3",
        b"M 01",
        b"@pause",
        b"@PAUSE now",
    ],
)
def test_a_file_can_pause(line):
    assert isinstance(meaning(line, host_waits=False), PauseJob)


@pytest.mark.parametrize("line", [b"@cancel", b"@abort"])
def test_a_file_can_cancel(line):
    assert isinstance(meaning(line, host_waits=False), CancelJob)


@pytest.mark.parametrize(
    "line", [b"M112", b"M110 N5", b"M28 x.g", b"M29", b"M575 P0", b"M999", b"@timelapse", b"@", b"@@pause", b"m112"]
)
def test_commands_that_a_file_may_not_send_are_left_out(line):
    assert isinstance(meaning(line, host_waits=False), LeaveOut)


@pytest.mark.parametrize(
    "line",
    [
        b"M104 S0",
        b"M106",
        b"M1120",
        b"M1090 S1",
        b"M10",
        b"M117 M112",
        b"G28",
        b"T0",
        b"M226 P1",
        b"M226 S-1 P30",
        b"m226 S1P30",
        b"M226P30",
        b"hello",
    ],
)
def test_other_commands_go_to_the_printer(line):
    assert meaning(line, host_waits=True) is None


@given(st.binary(min_size=1) | st.from_regex(rb"[GMTgmt@] ?0?(?:109|190|191|0|25)[ -~]*", fullmatch=True))
def test_any_line_has_a_meaning(line):
    meaning(line, host_waits=True)


@pytest.mark.parametrize("line", [b"M113 S0", b"m155 s60", b"M0155 S2 C7"])
def test_commands_about_reports_belong_to_the_host(line):
    assert isinstance(meaning(line, host_waits=False), LeaveOut)


def test_a_wait_for_all_heaters_belongs_to_a_waiting_host():
    assert meaning(b"M116 P1", host_waits=True) == WaitForAll(b"M116 P1")
    assert meaning(b"M116", host_waits=False) is None


def test_a_wait_with_a_time_becomes_a_dwell_if_the_firmware_lacks_it():
    unknown = {"M0", "M1", "M226"}
    assert meaning(b"M0 S2.5 Look", host_waits=False, unknown=unknown) == SendInstead(b"G4 P2500")  # Klipper reads no S
    assert meaning(b"M1 p1500", host_waits=False, unknown=unknown) == SendInstead(b"G4 P1500")
    assert meaning(b"M0S2", host_waits=False, unknown=unknown) == SendInstead(b"G4 P2000")
    assert isinstance(meaning(b"M226 P3", host_waits=False, unknown=unknown), PauseJob)
    sent = meaning(b"M01 P1500 Look", host_waits=False)
    assert sent == DwellUnlessKnown(b"M01 P1500 Look", b"G4 P1500")
    assert sent.word == "M1"


@pytest.mark.parametrize("word", ["M600", "M601"])
def test_a_pause_belongs_to_the_host_if_the_firmware_lacks_it(word):
    line = word.encode()
    assert isinstance(meaning(line, host_waits=False, unknown={word}), PauseJob)
    assert meaning(line, host_waits=False) == PauseUnlessKnown(line)
    assert PauseUnlessKnown(line + b" B2").word == word


def test_a_firmware_that_can_resume_pauses_itself():
    assert meaning(b"M601", host_waits=False, resumes=True) == PrinterPauses(b"M601")
    assert meaning(b"M600", host_waits=False, resumes=True) == PauseUnlessKnown(b"M600")
