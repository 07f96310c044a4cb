"""Every recorded firmware is simulated with the same answers to a host's lines, apart from numbers other than line
numbers.

A line is sent when as many commands have been answered as when it was sent in the recording. Of what repeats while a
command takes time (busy, temperatures) the first counts: how often it comes depends on how fast the machine is.
"""

import re
from dataclasses import replace

import pytest

from hal.simulated.firmware import Firmware
from hal.simulated.personalities import FIRMWARES
from support.transcripts import experiments, to_bytes

TIMEOUT = 400.0  # s, device time: longer than any recorded command
_ASKED = re.compile(r"\r,Resend:\d+\r,ok\r\Z")
_WITH_LINE_NUMBER = re.compile(r"Error:|Resend|rs N|skip|ok \d")
_REPEATS = re.compile(r"(echo:busy|Waiting for|ok? ?T:|ok? ?B:| T:|T:|B:)")

# Experiments whose answers the model does not give, and why; docs/simulator.md lists them.
_LEFT_OUT = {
    ("marlin-plain-basic.txt", "'M114 D'"): "debugging detail of one build",
    ("marlin-advok-basic.txt", "'M114 D'"): "debugging detail of one build",
    ("klipper.txt", "'HELP'"): "the list of one installation's commands",
    ("teacup-basic.txt", "'M155 S1'"): "its seconds are counted from boot",
    ("teacup-basic.txt", "two commands on one line"): "it executes the last one",
    ("teacup-motion.txt", "G1 X10 F6000; X200 F600 x2 ; M114 while moving"): "M114 tells of the queue too",
    ("repetier-1.0.4-odd.txt", ""): "begins in the middle of a line",
    ("marlin-2.1-plain-motion.txt", "overflow: 30 lines at once"): "what is lost depends on the adapter's buffers",
}

# Experiments whose recording ends while the board was still to answer: it ran slower than the clock beside it.
_ENDS_EARLY = {("prusa-3.13.3-lines.txt", "M112")}

# Lines of one build's configuration, and of the way in which it was reset.
_OF_THE_BUILD = re.compile(r"Z jerk was too low|Info:External Reset")

# Experiments that end before all their answers have come.
_GOES_ON = {"", "M410 quickstop in the middle of a long move"}


class Dialogue:
    """A host that goes by the number of answers."""

    def __init__(self, firmware):
        # the recordings' bridge held bytes back
        self.firmware = Firmware(replace(FIRMWARES[firmware], flow_control=True))
        self.firmware.reset(0.0)
        self.now, self.output, self.answered = 0.0, b"", 0

    def until_answered(self, count, at_least):
        end = self.now + at_least
        limit = end + TIMEOUT
        while self.now < end or (self._oks() < count and self.now < limit):
            due = self.firmware.next_event()
            self.now = min(limit if due is None else max(due, self.now), end if self.now < end else limit)
            self.output += self.firmware.advance(self.now)

    def _oks(self):
        return len(re.findall(rb"^ok", self.output, re.MULTILINE))

    def send(self, data):
        self.firmware.receive(data, self.now)

    def lines(self):
        output, self.output = self.output, b""
        return output.decode().split("\n")[:-1]


def normal(lines):
    """Return lines without dates, repetitions and numbers, except those of lines; Repetier repeats its requests."""
    result = []
    for line in lines:
        bare = re.sub(r"\((?:Nov|Jun) .*?\)|Compiled: .*", "DATE", line.replace("\\r", "\r"))
        if not _WITH_LINE_NUMBER.match(bare):
            bare = re.sub(r"-?\d+(\.\d+)?", "#", bare).replace("W:?", "W:#")
        if bare == "wait\r" or _OF_THE_BUILD.match(bare) or (_REPEATS.match(bare) and bare in result):
            continue
        result.append(bare)
        if _ASKED.match(",".join(result[-3:])) and not (len(result) > 3 and result[-4].startswith("Error:")):
            del result[-3:]
    return result


def play(dialogue, entries):
    """Replay one experiment; return the simulated and the recorded answers."""
    oks, sent_at = 0, entries[0][2]
    for sent, text, at in entries:
        if sent:
            dialogue.until_answered(oks, min(at - sent_at, 20.0))
            dialogue.send(to_bytes(text))
            sent_at = at
        elif text.startswith("ok"):
            oks += 1
    dialogue.until_answered(oks, max(0.14, min(entries[-1][2] - sent_at, 20.0)))
    return normal(dialogue.lines()), normal(text for sent, text, _ in entries if not sent)


def joined(experiments):
    """Yield experiments; one that continues in the next is joined with it."""
    name, before = None, []
    for title, entries in experiments:
        if before and not (title.startswith("…") or (name in _GOES_ON and (name or title == "boot"))):
            yield name, before
            before = []
        name = name if title.startswith("…") else title
        before = before + entries
    yield name, before


@pytest.mark.parametrize(
    ("firmware", "name"),
    [
        ("marlin", "marlin-plain-basic.txt"),
        ("marlin", "marlin-plain-lines.txt"),
        ("marlin", "marlin-plain-kill2.txt"),
        ("marlin-advok", "marlin-advok-basic.txt"),
        ("marlin-advok", "marlin-advok-lines.txt"),
        ("marlin-advok", "marlin-advok-heat.txt"),
        ("marlin-advok", "marlin-advok-motion.txt"),
        ("marlin-advok", "marlin-advok-m410.txt"),
        ("teacup", "teacup-basic.txt"),
        ("teacup", "teacup-lines.txt"),
        ("teacup", "teacup-motion.txt"),
        ("teacup", "teacup-heat.txt"),
        ("klipper", "klipper.txt"),
        ("marlin2.1", "marlin-2.1-plain-basic.txt"),
        ("marlin2.1", "marlin-2.1-plain-lines.txt"),
        ("marlin2.1", "marlin-2.1-plain-motion.txt"),
        ("prusa-no-card", "prusa-3.13.3-basic.txt"),
        ("prusa-no-card", "prusa-3.13.3-lines.txt"),
        ("prusa-no-card", "prusa-3.13.3-motion.txt"),
        ("repetier", "repetier-1.0.4-basic.txt"),
        ("repetier", "repetier-1.0.4-lines.txt"),
        ("repetier", "repetier-1.0.4-odd.txt"),
    ],
)
def test_a_recorded_host_gets_the_recorded_answers(firmware, name):
    dialogue, compared = Dialogue(firmware), 0
    for title, entries in joined(experiments(name)):
        if not compared and entries[0][0]:  # the host came to a board that had booted
            dialogue.until_answered(0, 1.0)
            dialogue.lines()
        replies, recorded = play(dialogue, entries)
        if (name, title) in _ENDS_EARLY:
            del replies[len(recorded) :]
        if (name, title) not in _LEFT_OUT:
            assert replies == recorded, title
            compared += 1
    assert compared


def test_omitted_lines_are_in_the_recordings():
    for name, title in {*_LEFT_OUT, *_ENDS_EARLY}:
        assert title in dict(experiments(name))
