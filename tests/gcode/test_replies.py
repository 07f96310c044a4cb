import re
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode import replies
from gcode.replies import (
    BoardStarted,
    Busy,
    Capability,
    FirmwareError,
    FirmwareInfo,
    HostAction,
    LineSkipped,
    Ok,
    PositionReply,
    Reading,
    Reply,
    Resend,
    SdDone,
    SdIdle,
    SdOpened,
    SdPaused,
    SdProgress,
    SdSelected,
    Targets,
    Temperatures,
    Text,
    UnknownCommand,
    Wait,
    acknowledges,
    decode,
    heaters,
    parse,
)
from support.transcripts import TRANSCRIPTS

RECEIVED = re.compile(r" *\d+\.\d+ <- ?(.*)")
MATTERS = re.compile(
    r"\s*(?:ok\b|resend|rs |error|!!|fatal|start\b|wait\b|T\d?:|B:|//\s*action|(?:echo:)?busy|FIRMWARE_NAME|cap:|X:)"
    r"|.*unknown command",
    re.IGNORECASE,
)

# A change here changes the meaning of the recordings. `test_prefixes_alone_give_the_same_counts` does not parse them.
RECORDED = {
    "klipper.txt": {
        "FirmwareError": 4, "FirmwareInfo": 2, "Ok": 66, "PositionReply": 3, "Temperatures": 138, "Text": 49,
        "UnknownCommand": 12,
    },
    "marlin-2.1-plain-basic.txt": {
        "Busy": 2, "Capability": 36, "FirmwareInfo": 1, "Ok": 51, "PositionReply": 2, "Resend": 1, "BoardStarted": 1,
        "Temperatures": 3, "Text": 43, "UnknownCommand": 10,
    },
    "marlin-2.1-plain-lines.txt": {
        "FirmwareError": 10, "Ok": 33, "Resend": 9, "BoardStarted": 1, "Text": 8,
    },
    "marlin-2.1-plain-motion.txt": {
        "Busy": 5, "FirmwareError": 1, "Ok": 27, "PositionReply": 4, "Resend": 1, "BoardStarted": 1, "Text": 7,
        "UnknownCommand": 2,
    },
    "marlin-advok-basic.txt": {
        "HostAction": 2, "Capability": 31, "FirmwareInfo": 1, "Ok": 49, "PositionReply": 2, "Resend": 1,
        "BoardStarted": 2,
        "Text": 63, "UnknownCommand": 12,
    },
    "marlin-advok-heat.txt": {
        "HostAction": 5, "Busy": 49, "Ok": 23, "BoardStarted": 2, "Temperatures": 111, "Text": 24,
    },
    "marlin-advok-kill2.txt": {
        "HostAction": 2, "Busy": 9, "FirmwareError": 1, "Ok": 17, "PositionReply": 1, "BoardStarted": 2, "Text": 25,
    },
    "marlin-advok-lines.txt": {
        "HostAction": 8, "FirmwareError": 9, "Ok": 44, "Resend": 9, "BoardStarted": 2, "Text": 24, "UnknownCommand": 2,
    },
    "marlin-advok-m410.txt": {"HostAction": 1, "Ok": 12, "PositionReply": 1, "BoardStarted": 2, "Text": 24},
    "marlin-advok-motion.txt": {
        "HostAction": 12, "Busy": 21, "FirmwareError": 1, "Ok": 28, "PositionReply": 4, "BoardStarted": 2, "Text": 32,
    },
    "marlin-plain-basic.txt": {
        "Capability": 31, "FirmwareInfo": 1, "Ok": 50, "PositionReply": 2, "Resend": 1, "BoardStarted": 2, "Text": 56,
        "UnknownCommand": 14,
    },
    "marlin-plain-corrupt.txt": {"FirmwareError": 7, "Ok": 408, "Resend": 7},
    "marlin-plain-kill2.txt": {
        "Busy": 32, "FirmwareError": 1, "Ok": 28, "PositionReply": 1, "BoardStarted": 2, "Text": 25,
    },
    "marlin-plain-lines.txt": {
        "FirmwareError": 9, "Ok": 44, "Resend": 9, "BoardStarted": 2, "Text": 24, "UnknownCommand": 2,
    },
    "marlin-plain-overflow.txt": {"Ok": 26, "BoardStarted": 2, "Text": 24},
    "prusa-3.13.3-basic.txt": {
        "Busy": 3, "Capability": 5, "FirmwareInfo": 1, "Ok": 50, "PositionReply": 1, "SdIdle": 1, "BoardStarted": 1,
        "Temperatures": 3, "Text": 49, "UnknownCommand": 9,
    },
    "prusa-3.13.3-lines.txt": {
        "FirmwareError": 13, "Ok": 35, "Resend": 12, "BoardStarted": 2, "Text": 19,
    },
    "prusa-3.13.3-motion.txt": {
        "Busy": 34, "Ok": 7, "PositionReply": 3, "BoardStarted": 1, "Text": 11,
    },
    "repetier-1.0.4-basic.txt": {
        "Capability": 11, "FirmwareError": 1, "FirmwareInfo": 1, "Ok": 50, "PositionReply": 1, "BoardStarted": 1,
        "Targets": 2, "Temperatures": 4, "Text": 18, "UnknownCommand": 12, "Wait": 12,
    },
    "repetier-1.0.4-lines.txt": {
        "FirmwareError": 12, "Ok": 52, "Resend": 18, "BoardStarted": 2, "LineSkipped": 8, "Temperatures": 15,
        "Text": 29,
        "Wait": 13,
    },
    "repetier-1.0.4-odd.txt": {
        "Ok": 18, "PositionReply": 6, "Temperatures": 2, "LineSkipped": 2, "Text": 7, "Wait": 1,
    },
    "teacup-basic.txt": {
        "Capability": 1, "FirmwareInfo": 1, "Ok": 49, "PositionReply": 2, "BoardStarted": 1, "Temperatures": 8,
        "Text": 4,
        "UnknownCommand": 15,
    },
    "teacup-heat.txt": {"Busy": 6, "Ok": 11, "BoardStarted": 1, "Temperatures": 4, "UnknownCommand": 2},
    "teacup-lines.txt": {"Ok": 27, "Resend": 10, "BoardStarted": 1, "Temperatures": 8},
    "teacup-motion.txt": {"Ok": 29, "PositionReply": 3, "BoardStarted": 1, "Text": 3},
}  # fmt: skip


def received(name: str) -> list[bytes]:
    lines = (TRANSCRIPTS / name).read_text("utf-8").splitlines()
    return [match[1].replace("\\r", "\r").encode() for line in lines if (match := RECEIVED.match(line))]


def test_every_recording_is_listed():
    assert {path.name for path in TRANSCRIPTS.glob("*.txt")} == set(RECORDED)


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_dialogue_is_understood(name):
    replies = [parse(line) for line in received(name)]
    assert Counter(type(reply).__name__ for reply in replies) == RECORDED[name]
    overlooked = [reply.line for reply in replies if isinstance(reply, Text) and MATTERS.match(reply.line)]
    assert overlooked == []


@pytest.mark.parametrize("name", RECORDED)
def test_prefixes_alone_give_the_same_counts(name):
    lines, counted = [line.rstrip(b"\r") for line in received(name)], Counter(RECORDED[name])
    klipper = sum(line.startswith(b"ok FIRMWARE_NAME") for line in lines)
    glued = lines.count(b"echo:Active Extruder: 0ok")
    assert sum(line.startswith(b"ok") for line in lines) + glued == counted["Ok"] + klipper
    assert sum(line.startswith((b"Resend:", b"rs ")) for line in lines) == counted["Resend"]
    assert sum(line.startswith((b"Error:", b"!!")) for line in lines) == counted["FirmwareError"]
    assert sum(line in (b"start", b"PowerUp") for line in lines) == counted["BoardStarted"]
    busy = (b"echo:busy:", b"Waiting for target")
    assert sum(line.startswith(busy) for line in lines) == counted["Busy"]


# -- one line each -------------------------------------------------------------------------------------------


def reading(actual, target=None):
    return Reading(actual, target)


LINES = [
    (b"ok", Ok("ok")),
    (b"ok ", Ok("ok ")),
    (b"ok P15 B3", Ok("ok P15 B3", None, 15, 3)),
    (b"ok N10 P15 B3", Ok("ok N10 P15 B3", 10, 15, 3)),
    (b"ok C: X:0.00 Y:0.00", PositionReply("ok C: X:0.00 Y:0.00", {"X": 0.0, "Y": 0.0}, ok=True)),
    (b"ok WCS: X:1.0 Y:nan Z:3.0", PositionReply("ok WCS: X:1.0 Y:nan Z:3.0", {"X": 1.0, "Z": 3.0}, ok=True)),
    (b"ok N:7395", Ok("ok N:7395", 7395)),
    (b"ok B3", Ok("ok B3", buffer=3)),
    (b"ok N5", Ok("ok N5", 5)),
    (b"ok N0 P15 B15", Ok("ok N0 P15 B15", None, 15, 15)),
    (b"ok B:60.0 /60.0 P5", Ok("ok B:60.0 /60.0 P5", planner=5, heaters={"bed": Reading(60.0, 60.0)})),
    (b"ok 0", Ok("ok 0", last=0)),
    (b"ok 65538", Ok("ok 65538", last=65538)),
    (b"okok", Ok("okok")),
    (b"ok - ignored", Ok("ok - ignored")),
    (b"\xffok", Ok("\ufffdok")),
    (b"echo:Active Extruder: 0ok", Ok("echo:Active Extruder: 0ok", glued=True)),
    (b"T:20.0 /0.0ok", Ok("T:20.0 /0.0ok", heaters={"tool0": Reading(20.0, 0.0)}, glued=True)),
    (b"okT:20.0 /0.0", Ok("okT:20.0 /0.0", heaters={"tool0": Reading(20.0, 0.0)})),
    (b"bedtemp: 28.53 : 0.014ok", Ok("bedtemp: 28.53 : 0.014ok", glued=True)),
    (b"o3 N23153 P63 B7", Ok("o3 N23153 P63 B7", 23153, 63, 7)),
    (b" k N5 P1 B2", Ok(" k N5 P1 B2", 5, 1, 2)),
    (b"o3", Text("o3")),
    (b"//action:notification took 10ok", HostAction("//action:notification took 10ok", "notification", "took 10ok")),
    (b"Current file: x 10ok", Text("Current file: x 10ok")),
    (b"echo:Layer 10ok x", Text("echo:Layer 10ok x")),
    (b"echo:book", Text("echo:book")),
    (b"echo:Page 3 of the book", Text("echo:Page 3 of the book")),
    (b"echo:all is ok", Text("echo:all is ok")),
    (b'echo:enqueueing "M117 ok"', Text('echo:enqueueing "M117 ok"')),
    (b"echo:Now fresh file: 10ok", Text("echo:Now fresh file: 10ok")),
    (b"part10ok", Text("part10ok")),
    (
        b"ok T:19.37 /0.00 B:19.37 /0.00 @:0 B@:0",
        Ok("ok T:19.37 /0.00 B:19.37 /0.00 @:0 B@:0", heaters={"tool0": reading(19.37, 0), "bed": reading(19.37, 0)}),
    ),
    (b"okay", Text("okay")),
    (b"Resend: 5", Resend("Resend: 5", 5)),
    (b"Resend:5", Resend("Resend:5", 5)),
    (b"Resend:N5", Resend("Resend:N5", 5)),
    (b"Resend: N5", Resend("Resend: N5", 5)),
    (b"Resend: N: 5", Resend("Resend: N: 5", 5)),
    (b"Resend: 5ok", Resend("Resend: 5ok", 5)),
    (b"Error:checksum mismatch, Last Line: 4Resend: 5", Resend("Error:checksum mismatch, Last Line: 4Resend: 5", 5)),
    (b"resend 5", Resend("resend 5", 5)),
    (b"rs N5", Resend("rs N5", 5)),
    (b"rs 5", Resend("rs 5", 5)),
    (b"RS485 at 115200 baud", Text("RS485 at 115200 baud")),
    (b"rs N3 Expected checksum 36", Resend("rs N3 Expected checksum 36", 3)),
    (b"start", BoardStarted("start")),
    (b"\xff\xfe\x00start", BoardStarted("\ufffd\ufffdstart")),
    (b"PowerUp", BoardStarted("PowerUp")),
    (b" External Reset", BoardStarted(" External Reset")),
    (b"Info:Watchdog Reset", BoardStarted("Info:Watchdog Reset")),
    (b"restart", Text("restart")),
    (b"Flostart", Text("Flostart")),
    (b"start now", Text("start now")),
    (b"wait", Wait("wait")),
    (b"skip 57599", LineSkipped("skip 57599", 57599)),
    (b"skip it", Text("skip it")),
    (b"echo:busy: processing", Busy("echo:busy: processing", "processing")),
    (b"echo: busy: paused for user", Busy("echo: busy: paused for user", "paused for user")),
    (b"busy: paused for input", Busy("busy: paused for input", "paused for input")),
    (b"Cap:EEPROM:1", Capability("Cap:EEPROM:1", "EEPROM", enabled=True)),
    (b"cap:AUTOREPORT_TEMP:0", Capability("cap:AUTOREPORT_TEMP:0", "AUTOREPORT_TEMP", enabled=False)),
    (b"//action:pause", HostAction("//action:pause", "pause")),
    (b"// action:cancel", HostAction("// action:cancel", "cancel")),
    (b"//action:notification Hi there", HostAction("//action:notification Hi there", "notification", "Hi there")),
    (b"//  action:  paused", HostAction("//  action:  paused", "paused")),
    (b"// a comment", Text("// a comment")),
    (b'echo:Unknown command: "M9999"', UnknownCommand('echo:Unknown command: "M9999"', "M9999")),
    (b'echo:Unknown command: ""', UnknownCommand('echo:Unknown command: ""', "")),
    (b'// Unknown command:"M108"', UnknownCommand('// Unknown command:"M108"', "M108")),
    (b"Unknown command: G99", UnknownCommand("Unknown command: G99", "G99")),
    (b"Unknown M code: M9999", UnknownCommand("Unknown M code: M9999", "M9999")),
    (b"Unknown command:N30 M73 P1.00 ", UnknownCommand("Unknown command:N30 M73 P1.00 ", "M73 P1.00")),
    (b'echo:Unknown command: "N30 M73 P10*45"', UnknownCommand('echo:Unknown command: "N30 M73 P10*45"', "M73 P10")),
    (b'echo:Unknown command: "X1"(2)', UnknownCommand('echo:Unknown command: "X1"(2)', "X1")),
    (b'echo:Unknown command: "M118 say "x""', UnknownCommand('echo:Unknown command: "M118 say "x""', 'M118 say "x"')),
    (b"E: Bad M-code 109", UnknownCommand("E: Bad M-code 109", "M109")),
    (
        b"X:1.00 Y:-2.50 Z:0.20 E:0.00 Count X:80 Y:-200 Z:80",
        PositionReply(
            "X:1.00 Y:-2.50 Z:0.20 E:0.00 Count X:80 Y:-200 Z:80", {"X": 1.0, "Y": -2.5, "Z": 0.2, "E": 0.0}
        ),
    ),
    (b"X:1.00Y:2.00Z:3.00E:4.00 Count X: 1.00Y:2.00Z:3.00",
        PositionReply("X:1.00Y:2.00Z:3.00E:4.00 Count X: 1.00Y:2.00Z:3.00", {"X": 1.0, "Y": 2.0, "Z": 3.0, "E": 4.0})),
    (b"X:1.0 Y:2.0 Z:3.0 B:4.0 E:0.0", PositionReply("X:1.0 Y:2.0 Z:3.0 B:4.0 E:0.0",
        {"X": 1.0, "Y": 2.0, "Z": 3.0, "B": 4.0, "E": 0.0})),
    (b"Raw:     X: 0.000 Y: 0.000 Z: 0.000", Text("Raw:     X: 0.000 Y: 0.000 Z: 0.000")),
    (
        b"X:0.000,Y:0.000,Z:0.000,E:0.000,F:50",
        PositionReply("X:0.000,Y:0.000,Z:0.000,E:0.000,F:50", {"X": 0.0, "Y": 0.0, "Z": 0.0, "E": 0.0}),
    ),
    (b"SD printing byte 123/4567", SdProgress("SD printing byte 123/4567", 123, 4567)),
    (b"SD printing byte 1/", Text("SD printing byte 1/")),
    (b"Not SD printing", SdIdle("Not SD printing")),
    (b"Not SD printing.", SdIdle("Not SD printing.")),
    (b"SD print paused", SdPaused("SD print paused")),
    (b"Done printing file", SdDone("Done printing file")),
    (b"echo:Now fresh file: CUBE.GCO", Text("echo:Now fresh file: CUBE.GCO")),
    (b"File opened: CUBE.GCO Size: 4567", SdOpened("File opened: CUBE.GCO Size: 4567", "CUBE.GCO", 4567)),
    (b"File opened:/sd/a b.g Size:12", SdOpened("File opened:/sd/a b.g Size:12", "/sd/a b.g", 12)),
    (b"File opened: CUBE.GCO", Text("File opened: CUBE.GCO")),
    (b"File selected", SdSelected("File selected")),
    (b"TargetExtr0:205", Targets("TargetExtr0:205", {"tool0": 205.0})),
    (b"TargetExtr1:0 TargetBed:60.5", Targets("TargetExtr1:0 TargetBed:60.5", {"tool1": 0.0, "bed": 60.5})),
    (b"echo: cold extrusion prevented", Text("echo: cold extrusion prevented")),
    (b"", Text("")),
    (b"   ", Text("   ")),
]  # fmt: skip


@pytest.mark.parametrize(("line", "reply"), LINES, ids=[repr(line) for line, _ in LINES])
def test_each_reply_is_understood(line, reply):
    assert parse(line) == reply


ERRORS = [
    ("Error:checksum mismatch, Last Line: 2", "communication"),
    ("Error:Line Number is not Last Line Number+1, Last Line: 3", "communication"),
    ("Error:No Checksum with line number, Last Line: 3", "communication"),
    ("Error:Format error", "communication"),
    ("Serial Error: Line Number is not Last Line Number+1, Last Line:3", "communication"),
    ("Error:expected line 5 got 7", "communication"),
    ("Error:volume.init failed", "sd"),
    ("Error:openRoot failed", "sd"),
    ("Error:workDir open failed", "sd"),
    ("Error:No SD card", "sd"),
    ("Error:cold extrusion prevented", "recoverable"),
    ("!! Must home axis first: 1.000 0.000 0.000 [0.000]", "recoverable"),
    ("!! Extrude below minimum temp", "recoverable"),
    ("Error:Printer halted. kill() called!", "fatal"),
    ("Error:MINTEMP triggered, system stopped! Heater_ID: 0", "fatal"),
    ("Error:Thermal Runaway, system stopped! Heater_ID: bed", "fatal"),
    ("error:lower case too", "fatal"),
    ("fatal: heater decoupled", "fatal"),
    ("Error: G0/G1: insufficient axes homed", "recoverable"),
    ("Error: M23: file a.g not found", "recoverable"),
    ("Error:G is for gone", "fatal"),
    ("!! Shutdown due to M112 command", "fatal"),
    ("!! Lost communication with MCU 'mcu'", "fatal"),
]


@pytest.mark.parametrize(("line", "kind"), ERRORS)
def test_errors_have_a_kind(line, kind):
    reply = parse(line.encode())
    assert isinstance(reply, FirmwareError)
    assert reply.kind == kind
    assert line.endswith(reply.text)


@pytest.mark.parametrize(
    "line",
    [
        b"Error:checksum mismatch, Last Line: 12",
        b"Error:Line Number is not Last Line Number+1, Last Line: 12",
        b"Error:No Checksum with line number, Last Line: 12",
    ],
)
@given(data=st.data())
def test_a_damaged_reason_of_a_resend_request_is_no_fatal_error(line, data):
    at, byte = data.draw(st.integers(0, len(line) - 1)), data.draw(st.integers(32, 126))
    reply = parse(line[:at] + bytes((byte,)) + line[at + 1 :])
    assert not isinstance(reply, FirmwareError) or reply.kind == "communication"


def test_an_unknown_command_that_reads_like_an_error_is_none():
    assert isinstance(parse(b'echo:Unknown command: "error:"'), UnknownCommand)


HEATERS = [
    ("T:200.0 /210.0 B:60 /60", {"tool0": reading(200, 210), "bed": reading(60, 60)}),
    ("T:19.0", {"tool0": reading(19)}),
    (" T:59.18 /200.00 B:19.37 /0.00 @:127 B@:0 W:?", {"tool0": reading(59.18, 200), "bed": reading(19.37, 0)}),
    ("T:200 E:0 W:9", {"tool0": reading(200)}),
    ("T:21.50/0.0 B:21.50/0.0", {"tool0": reading(21.5, 0), "bed": reading(21.5, 0)}),
    (
        "T:20.0 /0.0 T0:20.0 /0.0 T1:21.0 /5.0 B:22.0 /0.0",
        {"tool0": reading(20, 0), "tool1": reading(21, 5), "bed": reading(22, 0)},
    ),
    ("==T:32.3 /0.0 ==B:60.1 /60.0 @:0 B@:0", {"tool0": reading(32.3, 0), "bed": reading(60.1, 60)}),
    ("T:nan /210.0 B:60.1 /60.0", {"bed": reading(60.1, 60)}),
    ("T:-nan /210.0 B:60.1 /inf", {"bed": reading(60.1)}),
    ("T:2.1.0 /0 B:60.1 /60.0", {"bed": reading(60.1, 60)}),
    ("T:123456789012 /0 B:60.1 /60.0", {"bed": reading(60.1, 60)}),
    ("N8 P15 B15 T:20.0 /0.0 B:21.0 /0.0 T0:20.0 /0.0 @:0", {"tool0": reading(20, 0), "bed": reading(21, 0)}),
    ("k T:20.0 /0.0 B:21.0 /0.0", {"tool0": reading(20, 0), "bed": reading(21, 0)}),
    ("T:170.0/170.0 B:85.0/85.0 X:40.2/36.0 A:49.3/0.0 @:89 B@:97 C@:39.7 HBR@:0",
        {"tool0": reading(170, 170), "bed": reading(85, 85), "X": reading(40.2, 36), "A": reading(49.3, 0)}),
    ("T:22.22 /0 B:60.70 /0 B@:0 @:0", {"tool0": reading(22.22, 0), "bed": reading(60.7, 0)}),
    ("T:195.0 /195.0 188.6 /190.0 B:60.0 /60.0",
        {"tool0": reading(195, 195), "tool1": reading(188.6, 190), "bed": reading(60, 60)}),
    ("==T:32.32 /-28416.00 ==B:33.07 /0.00 @:0 B@:0", {"tool0": reading(32.32), "bed": reading(33.07, 0)}),
    ("T:2213.9 /200.0 B:60.0 /60.0", {"bed": reading(60, 60)}),
    ("T:23.98 /0 (15658) B:25.09 /0 (15629) @:0 B@:0", {"tool0": reading(23.98, 0), "bed": reading(25.09, 0)}),
    ("T:-46.76 /0 B:24.31 /0 B@:0 @:0 T0:-46.76 /0 @0:0 T1:33.58 /30 @1:0",
        {"tool0": reading(-46.76, 0), "tool1": reading(33.58, 30), "bed": reading(24.31, 0)}),
    ("T:20.0 /0.0 T1:21.0 /0.0", {"tool0": reading(20, 0), "tool1": reading(21, 0)}),
    ("B:22.0 /0.0 T0:23.0 /1.0", {"bed": reading(22, 0), "tool0": reading(23, 1)}),
    ("T:20 /0 B:20 /0 C:30 /40", {"tool0": reading(20, 0), "bed": reading(20, 0), "chamber": reading(30, 40)}),
    ("T:20 /0 R:25 P:33.5 A:40", {"tool0": reading(20, 0), "R": reading(25), "P": reading(33.5), "A": reading(40)}),
    ("T:-15.0 /0.0", {"tool0": reading(-15, 0)}),
    ("T : 20.0 / 0.0", {"tool0": reading(20, 0)}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), HEATERS)
def test_temperatures_of_every_firmware_are_read(line, expected):
    assert heaters(line) == expected
    reply = parse(line.encode())
    assert isinstance(reply, Temperatures)
    assert reply.heaters == expected
    assert reply.waiting == ("W:" in line or "E:" in line)
    answered = parse(f"ok {line}".encode())
    assert isinstance(answered, Ok)
    assert answered.heaters == expected


@pytest.mark.parametrize(("line", "expected"), [
    ("TT::124.72124.72  //0.000.00  BB::46.2846.28  //50.0050.00  @@::00  BB@@::127127",
        {"tool0": reading(124.72, 0), "bed": reading(46.28, 50)}),
    ("TT::22.1122.11  //200.00200.00  BB::5.005.00  //0.000.00  @@::9393  BB@@::2222",
        {"tool0": reading(22.11, 200), "bed": reading(5, 0)}),
    ("OOOOOOOOOOOOOOT:199.8 /200.0 B:60.0 /60.0 T0:199.8 /200.0 @:64 B@:38 P:0.0",
        {"tool0": reading(199.8, 200), "bed": reading(60, 60), "P": reading(0)}),
    ("TT::-5.00-5.00  //0.000.00", {"tool0": reading(-5, 0)}),
])  # fmt: skip
def test_malformed_reports_of_some_firmwares_are_read(line, expected):
    """Creality prints each character and each number twice; Prusa says O instead of the answer of an MMU."""
    reply = parse(line.encode())
    assert isinstance(reply, Temperatures)
    assert reply.heaters == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ok T:213.9 /:./T4./5.0 @: B@:53", {}),
        ("ok T:5. /5.0 B:", {}),
        ("ok T:199.", {}),
        ("ok T:230.B@:47", {}),
        ("ok T:230.4 /230.0 B:60.1 /60.0 T0:230.4 /", {"tool0": reading(230.4, 230), "bed": reading(60.1, 60)}),
        ("ok T:2T:199.9 /200.0 B:60.0 /60.0", {"bed": reading(60, 60)}),
    ],
)
def test_a_cut_report_is_no_temperature(line, expected):
    assert parse(line.encode()).heaters == expected


def test_an_ok_after_a_truncated_report_is_an_ok():
    line = "T:190.2 /190.0 B:59.9 /60.0 @:64 @N7531ok N7531 P0 B3"
    heaters = {"tool0": reading(190.2, 190), "bed": reading(59.9, 60)}
    assert parse(line.encode()) == Ok(line, 7531, 0, 3, heaters, glued=True)


def test_stepper_counts_are_not_a_chamber():
    for line in ("C: X:1.00 Y:2.00 Z:3.00 E:0.00", "X:1.00 Y:2.00 Count X:3 Y:4", "X:1.00 Y:2.00 C:40 Z:3.00"):
        reply = parse(line.encode())
        assert isinstance(reply, PositionReply)
        assert reply.axes["X"] == 1.0


def test_identities_are_read():
    marlin = parse(b"FIRMWARE_NAME:Marlin 2.0 (Jun 5) SOURCE_CODE_URL:github.com/x EXTRUDER_COUNT:1 UUID:ce-1")
    assert isinstance(marlin, FirmwareInfo)
    assert not marlin.ok
    assert marlin.fields == {
        "FIRMWARE_NAME": "Marlin 2.0 (Jun 5)", "SOURCE_CODE_URL": "github.com/x", "EXTRUDER_COUNT": "1", "UUID": "ce-1",
    }  # fmt: skip
    reprap = parse(b"FIRMWARE_NAME: RepRapFirmware for Duet 2 WiFi FIRMWARE_VERSION: 3.4.5 ELECTRONICS: Duet WiFi 1.02")
    assert reprap.fields == {
        "FIRMWARE_NAME": "RepRapFirmware for Duet 2 WiFi", "FIRMWARE_VERSION": "3.4.5", "ELECTRONICS": "Duet WiFi 1.02",
    }  # fmt: skip
    for line in (b"NAME. Malyan VER: 3.7 MODEL: M200", b"NAME: Malyan\tVER: 3.7\tMODEL:M200"):
        assert parse(line).fields == {"FIRMWARE_NAME": "Malyan", "VER": "3.7", "MODEL": "M200"}
    klipper = parse(b"ok FIRMWARE_NAME:Klipper FIRMWARE_VERSION:?")
    assert isinstance(klipper, FirmwareInfo)
    assert klipper.ok
    assert klipper.fields == {"FIRMWARE_NAME": "Klipper", "FIRMWARE_VERSION": "?"}


# -- untrusted text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b"a\x1b[2Jb\x07", "a[2Jb"), (b"\x00ok\r", "ok"), (b"tab\tstays", "tab\tstays"), (b"\x7f\xc2\x9bx", "x"),
     (b"\xff", "\ufffd"), ("°C".encode(), "°C"), ("a\u202eb\u2028c\u2066d".encode(), "abcd"), (b"ok\xe9", "ok\ufffd")],
)  # fmt: skip
def test_control_characters_are_removed(raw, text):
    assert decode(raw) == text


@given(st.binary(max_size=300))
def test_any_bytes_are_a_reply(raw):
    reply = parse(raw)
    assert isinstance(reply, Reply)
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", reply.line)


HEADS = ["", "ok ", "// action:", "File opened:", "FIRMWARE_NAME:", "Unknown command:", 'echo:Unknown command: "',
         "NAME.", "echo:Active Extruder:", "Error:", "!! ", "RepRapFirmware ", "T:1 ", "X:1 ", "X:1 Y", "Resend",
         "echo:", "busy:", "Target", "Error: G0/", "TT::", "OO", "Request"]  # fmt: skip
PIECES = [" ", "A", "AB ", "T", "T:", "0", "T0", "T0 ", "N", "N5", ":", " :", "/", "/ ", '"', "M1/", "X:1 ", "a:", "ok",
          "ok ", "=", "K:", "K: ", "1.", "Size:", "Resend:", "start", "*", "Count", "\ufffd", "T :", "T: 1 /",
          "-"]  # fmt: skip


def cpu(work, text):
    best = float("inf")
    for _ in range(2):
        began = time.process_time()
        work(text)
        best = min(best, time.process_time() - began)
    return best


@pytest.mark.parametrize("head", HEADS)
def test_a_line_is_read_in_linear_time(head, monkeypatch):
    monkeypatch.setattr(replies, "MAX_LINE", 1 << 20)
    for piece in PIECES:
        text = (head + piece * (6000 // len(piece))).encode(), (head + piece * (24_000 // len(piece)) + "!").encode()
        if (long := cpu(parse, text[1])) > 0.02:
            assert long < 8 * cpu(parse, text[0]), f"{head!r} and then {piece!r}"


def test_a_line_is_read_only_up_to_a_realistic_length():
    assert len(parse(b"x" * 100_000).line) == replies.MAX_LINE


@pytest.mark.parametrize(
    ("line", "ends"),
    [("ok", True), ("ok T:20 /0", True), ("ok FIRMWARE_NAME:Klipper", True), ("ok C: X:1 Y:2", True),
     ("echo:Active Extruder: 0ok", True), ("X:1 Y:2 Z:3ok", True),
     ("X:1 Y:2", False), ("FIRMWARE_NAME:Marlin", False), ("T:20 /0", False), ("wait", False)],
)  # fmt: skip
def test_replies_that_end_a_command_are_recognised(line, ends):
    assert acknowledges(parse(line.encode())) is ends


@pytest.mark.parametrize(
    ("line", "word"),
    [('echo:Unknown command: "m9999 S1"', "M9999"), ("Unknown command:N30 M73 P1.00", "M73"),
     ("Unknown command: G29.1", "G29.1"), ('echo:Unknown command: ""', ""), ("Unknown command: 125", "")],
)  # fmt: skip
def test_the_name_of_an_unknown_command_is_read(line, word):
    assert parse(line.encode()).word == word


@given(st.text("okResendrs:N0123456789 TB/.-WX", max_size=60))
def test_any_text_like_a_reply_is_a_reply(text):
    assert isinstance(parse(text.encode()), Reply)


def test_an_ok_before_a_damaged_name_of_the_firmware_counts():
    reply = parse(b"ok xFIRMWARE_NAME:")
    assert isinstance(reply, FirmwareInfo)
    assert acknowledges(reply)
    assert reply.fields == {}
