"""`nozzled replay`: exit code and output."""

import asyncio
import re
from dataclasses import replace

import pytest

from daemon.cli import main
from hal.recorder import describe, dump
from hal.session_file import HOST, PRINTER, Record, SessionEncoder
from hal.simulated import clock
from support.recordings import NOON, RecordedPrinter, transcript
from support.transcripts import TRANSCRIPTS


def written(path, session):
    encoder = SessionEncoder()
    path.write_bytes(encoder.header(session.header) + encoder.records(session.records) + encoder.end())
    return str(path)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    async def record():
        async with RecordedPrinter(tmp_path_factory.mktemp("recorded")) as recording:
            await recording.print([b"G28", *(b"G1 X%d F6000" % n for n in range(50))])
            await asyncio.sleep(5)
        return recording.session()

    return clock.run(record())


@pytest.fixture
def altered(recorded):
    at = next(n for n, record in enumerate(recorded.records) if b"N30 " in record.data)
    records = list(recorded.records)
    records[at] = records[at]._replace(data=records[at].data.replace(b"N30 ", b"N31 "))
    return replace(recorded, records=records), at


def test_no_difference_exits_0(tmp_path, recorded, capsys):
    assert main(["replay", written(tmp_path / "a", recorded)]) == 0
    total = len(recorded.records)
    assert capsys.readouterr().out == (
        f"sim, 2026-11-22T12:00:00+00:00, nozzled 0\nno difference in {total} of {total} records "
        "(51 commands of users and jobs)\n"
    )


def test_the_first_difference_is_shown_with_both_sides(tmp_path, altered, capsys):
    session, at = altered
    assert main(["replay", written(tmp_path / "a", session)]) == 1
    _, difference, gone = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        rf"first difference at record {at}, at \d+\.\d+ s: "
        r"the recording has -> 'N31 .*', the host sent -> 'N30 .*'",
        difference,
    )
    assert gone.startswith(f"replayed: {at} of {len(session.records)} records")


def test_lenient_continues_and_still_fails(tmp_path, altered, capsys):
    session, at = altered
    assert main(["replay", "--lenient", written(tmp_path / "a", session)]) == 1
    out = capsys.readouterr().out
    total = len(session.records)
    assert f"first difference at record {at}, " in out
    assert f"replayed: {total} of {total} records" in out


def test_parts_are_replayed_as_one(tmp_path, recorded):
    first, second = replace(recorded, records=recorded.records[:40]), replace(recorded, records=recorded.records[40:])
    second = replace(second, header=replace(recorded.header, part=2))
    files = [written(tmp_path / "1", first), written(tmp_path / "2", second)]
    assert main(["replay", *files]) == 0


def test_a_later_part_alone_is_shown_but_not_replayed(tmp_path, recorded, capsys):
    part = replace(recorded, header=replace(recorded.header, part=2), records=recorded.records[40:])
    file = written(tmp_path / "2", part)
    assert main(["replay", file]) == 1
    assert "begins in the middle of a conversation" in capsys.readouterr().err
    assert main(["replay", "--show", file]) == 0


def test_show_prints_a_dialogue_in_the_format_of_transcripts(tmp_path, capsys):
    assert main(["replay", "--show", written(tmp_path / "a", transcript("klipper.txt"))]) == 0
    about, opened, *lines = capsys.readouterr().out.splitlines()
    assert about == "serial:/dev/ttyACM0 at 115200 baud, 2026-11-22T12:00:00+00:00, nozzled 0.1.0"
    assert opened == "    0.000 -- open"
    entries = [
        line for line in (TRANSCRIPTS / "klipper.txt").read_text().splitlines() if re.match(r" +\d.*(->|<-) \S", line)
    ]
    plain = [line for line in entries if "b'" not in line]
    assert len(plain) > 20
    assert [line for line in lines if line in plain] == plain


def test_show_escapes_control_characters(tmp_path, recorded, capsys):
    evil = [Record(0.0, PRINTER, b"\x1b]0;title\x07ok\x9b2J\n"), Record(0.1, HOST, b"M117 \x1b[31mred\n")]
    header = replace(recorded.header, address="\x1b[2Jsim")
    assert main(["replay", "--show", written(tmp_path / "a", replace(recorded, header=header, records=evil))]) == 0
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


def test_a_header_that_is_no_unicode_is_shown(tmp_path, recorded, capsys):
    header = replace(recorded.header, address="\udcff")
    assert main(["replay", "--show", written(tmp_path / "a", replace(recorded, header=header))]) == 0
    assert capsys.readouterr().out.startswith("?, 2026")


FAULT = [Record(0.0, HOST, b"N1 G28*18\n"), Record(1.25, PRINTER, b"Error:Printer halted\n")]


def test_a_fault_is_shown(tmp_path, capsys):
    file = dump(tmp_path, describe("sim", None, NOON, "0", {}), FAULT)
    assert main(["replay", "--show", str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "    0.000 -> N1 G28*18",
        "    1.250 <- Error:Printer halted",
    ]


def test_a_truncated_file_is_reported(tmp_path, recorded, capsys):
    path = tmp_path / "a"
    written(path, recorded)
    whole = path.read_bytes()
    encoder = SessionEncoder()
    begun = encoder.header(recorded.header) + encoder.records(recorded.records[:40])
    path.write_bytes(begun)
    assert len(begun) < len(whole)
    assert main(["replay", str(path)]) == 0
    assert "; the file ends too early\nno difference in 40 of 40 records" in capsys.readouterr().out


def test_a_file_that_is_no_recording_is_an_error_with_its_name(tmp_path, capsys):
    path = tmp_path / "print.gcode"
    path.write_text("G28\n")
    assert main(["replay", str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"nozzled: {path}: not a recording")
