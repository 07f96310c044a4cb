"""The simulated Marlin answers what the real one answered in recorded dialogues, apart from readings and dates."""

import re

import pytest

from hal.simulated.firmware import Firmware, FirmwareConfig
from support.transcripts import experiments, to_bytes

PLAIN = FirmwareConfig(flow_control=True)  # the recording's bridge held bytes back
ADVOK = FirmwareConfig(flow_control=True, emergency_parser=True, advanced_ok=True, host_actions=True)

# Answers that the model does not try to give.
_LEFT_OUT = {
    ("marlin-advok-basic.txt", "'M114 D'"),  # debugging detail of one build
    # M410 ran twice there, so that its ok came after M108 had been sent
    ("marlin-plain-basic.txt", "'M410'"),
    ("marlin-plain-basic.txt", "'M108'"),
}


def _normal(line):
    """Blank out readings, dates and versions; counters of the protocol stay."""
    line = re.sub(r"\((?:Nov|Jun) .*?\)|Compiled: .*", "DATE", line.replace("\\r", "\r"))
    if "T:" in line and "B:" in line:
        line = re.sub(r"\d+(\.\d+)?", "#", line)
    return line


class Dialogue:
    """Plays a host's lines at their recorded times, so that the firmware is as busy as it was."""

    def __init__(self, config):
        self.firmware = Firmware(config)
        self.firmware.reset(0.0)
        self.now = 0.0

    def play(self, entries):
        output, answered = b"", True
        for sent, text, at in entries:
            if sent:
                if answered:  # what was sent without waiting was sent at once
                    output += self.advance(max(at, self.now))
                self.firmware.receive(to_bytes(text), self.now)
            answered = not sent
        output += self.advance(self.now + 0.14)  # less than the pause before the next experiment
        return [_normal(line) for line in output.decode().split("\n")[:-1]]

    def advance(self, until):
        output = b""
        while (due := self.firmware.next_event()) is not None and due <= until:
            output += self.firmware.advance(due)
        self.now = until
        return output + self.firmware.advance(until)


def _expected(entries):
    return [_normal(text) for sent, text, _ in entries if not sent]


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("marlin-plain-lines.txt", PLAIN),
        ("marlin-advok-lines.txt", ADVOK),
        ("marlin-plain-basic.txt", PLAIN),
        ("marlin-advok-basic.txt", ADVOK),
    ],
)
def test_the_dialogue_is_the_recorded_one(name, config):
    dialogue, compared = Dialogue(config), 0
    for title, entries in experiments(name):
        answer = dialogue.play(entries)
        if title == "'M410'":  # the machine stands still for a second first
            answer += dialogue.advance(dialogue.now + 1.0).decode().splitlines()
        if (name, title) in _LEFT_OUT:
            continue
        assert answer == _expected(entries), title
        compared += len(entries)
    assert compared > 80


@pytest.mark.parametrize("config", [PLAIN, ADVOK])
def test_m112_stops_everything_until_a_reset(config):
    dialogue = Dialogue(config)
    dialogue.play([(True, "M104 S200", 1.0), (True, "G1 X100 F600", 1.0)])
    answer = dialogue.play([(True, "M112", 2.0), (True, "M105", 3.0), (True, "M999", 4.0), (True, "M115", 5.0)])
    recorded = ["echo:M112 Shutdown", "Error:Printer halted. kill() called!", "//action:poweroff"]
    assert answer == (recorded if config is ADVOK else recorded[:2])
    assert dialogue.firmware.halted
    assert dialogue.firmware.board.hotend.target == 0
    dialogue.firmware.reset(6.0)
    assert dialogue.advance(7.0).startswith(b"start\n")
    assert not dialogue.firmware.halted


def _behind_moves(config):
    """G28, then 30 slow moves and M112 a second later, as recorded; returns (times of oks, time of the halt)."""
    dialogue = Dialogue(config)
    dialogue.advance(1.0)
    dialogue.firmware.receive(b"G28\n", 1.0)
    dialogue.advance(20.0)
    moves = "".join(f"G1 X{10 if n % 2 == 0 else 30} F300\n" for n in range(30)).encode()
    dialogue.firmware.receive(moves, 20.0)
    answer = dialogue.advance(20.0)
    dialogue.advance(21.0)
    dialogue.firmware.receive(b"M112\n", 21.0)
    while not dialogue.firmware.halted:
        dialogue.advance(dialogue.firmware.next_event())
    return answer.count(b"ok"), dialogue.now - 21.0


def test_m112_waits_behind_queued_moves_without_an_emergency_parser():
    oks, late = _behind_moves(PLAIN)
    assert oks == 15  # the planner's places
    assert late == pytest.approx(45.7, abs=1.5)


def test_m112_waits_for_room_in_the_receive_buffer_with_an_emergency_parser():
    oks, late = _behind_moves(ADVOK)
    assert oks == 15
    assert late < 5


def test_lines_beyond_the_buffers_are_lost_silently():
    dialogue = Dialogue(FirmwareConfig(baudrate=115200))
    entries = next(e for title, e in experiments("marlin-plain-overflow.txt") if "30 numbered" in title)
    answer = dialogue.play(entries) + dialogue.advance(dialogue.now + 60).decode().splitlines()
    oks = answer.count("ok")
    assert 24 <= oks <= 27  # 26 recorded, M110's included
    assert dialogue.firmware.oracle.counters.overruns > 0
    assert not [line for line in answer if line.startswith(("Error", "Resend"))]
