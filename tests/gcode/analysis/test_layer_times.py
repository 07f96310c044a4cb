"""The time of each layer, against the clock of the simulated printer.

The sliced files tell a total and no time of a layer, so the printer is the reference: a layer lasts from its first
move to the first of the next one. Both get the same limits; heating and homing are left out of both.
"""

import pytest

from gcode.analysis.machine import Machine
from hal.simulated.oracle import Oracle
from support.analysed import analyse, limits_of, sliced
from support.printer_bench import PrinterBench

_LEFT_OUT = (b"M104", b"M109", b"M140", b"M190", b"G28")
_MARK = b";LAYER_CHANGE"


class _Begins(Oracle):
    """Keeps when each move began."""

    def __init__(self):
        super().__init__(keep=0)
        self.began = []

    def record_move(self, move, began, tool):
        super().record_move(move, began, tool)
        self.began.append(began)


def _printed(lines, limits):
    """Print the lines; return how long each layer took."""
    clock = _Begins()
    printer = PrinterBench(oracle=clock, limits=limits)
    planner, layer, layer_of = printer.board.planner, 0, []
    add = planner.add

    def noted(*arguments):
        move = add(*arguments)
        if move is not None:
            layer_of.append(layer)
        return move

    planner.add = noted
    for line in lines:
        layer += line.startswith(_MARK)
        if command := line.partition(b";")[0].strip():
            assert printer.tell(command.decode()) == []
    printer.finish()
    assert len(clock.began) == len(layer_of)
    firsts = [clock.began[layer_of.index(number)] for number in range(1, layer + 1)]
    return [end - begin for begin, end in zip(firsts, [*firsts[1:], printer.now], strict=True)]


@pytest.mark.parametrize(
    "name", ["cube20", pytest.param("knob", marks=pytest.mark.nightly), pytest.param("vase", marks=pytest.mark.nightly)]
)
def test_each_layer_takes_as_long_as_on_the_simulated_printer(name):
    data = sliced(name)
    lines = [line for line in data.splitlines() if not line.startswith(_LEFT_OUT)]
    analysis = analyse(b"\n".join(lines), Machine(limits=limits_of(data)))
    printed = _printed(lines, limits_of(data))
    assert len(printed) == len(analysis.layers) > 50
    for layer, seconds in zip(analysis.layers, printed, strict=True):
        assert layer.duration_s == pytest.approx(seconds, rel=0.03)
