"""The receiver's fast path for plain lines gives the same as the slow one."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gcode.framing import frame
from hal.simulated.personalities import FIRMWARES
from hal.simulated.receiver import ReceivedLine, Receiver


class TheLongWay(Receiver):
    def _plain_line(self, _raw):
        return None


COMMANDS = st.sampled_from(
    [b"G1 X10", b"G1 X10 ", b" G28", b"M110 N7", b"M117 a*b", b"M118 x;y", b"", b"G1\0X5", b"G4 (no)"]
)
JUMPS = st.sampled_from([0, 0, 0, -1, 1])
DAMAGE = st.tuples(st.integers(0, 200), st.integers(0, 255))
CONFIGS = st.sampled_from([*FIRMWARES.values(), replace(FIRMWARES["marlin"], marlin21=True)])


def damaged(line, damage):
    at, byte = damage
    return line if at >= len(line) - 1 else line[:at] + bytes([byte]) + line[at + 1 :]


def verdicts(receiver, lines):
    results = []
    for line in lines:
        receiver.store(line)
        while (verdict := receiver.take()) is not None:
            results.append((verdict, receiver.last_number))
    return results


@given(CONFIGS, st.lists(st.tuples(JUMPS, COMMANDS, DAMAGE), max_size=12))
def test_a_plain_line_is_read_like_any_other(config, parts):
    lines = [damaged(frame(n + jump, command), damage) for n, (jump, command, damage) in enumerate(parts, 1)]
    assert verdicts(Receiver(config), lines) == verdicts(TheLongWay(config), lines)


def test_a_plain_line_is_read_by_the_fast_path():
    receiver = Receiver(FIRMWARES["marlin"])
    assert receiver._plain_line(b"N1 G1 X10*80") == ReceivedLine(1, "G1 X10")
    assert receiver._plain_line(b"N1 G1 X10*80") is None, "it was there before"
