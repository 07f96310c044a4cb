"""A print without progress is reported, one with a reason to wait is not."""

import pytest

from daemon.bridge.words import JobState as S
from daemon.core.job.no_progress import NoProgress
from gcode.outgoing import JobPlace
from gcode.replies import Reading
from hal.printer import ConnectionState, Prompt


class Printer:
    """One whose lines are not acknowledged."""

    def __init__(self):
        self.state, self.busy, self.prompt = ConnectionState.READY, False, None
        self.heaters, self.place = {"tool0": Reading(210.0, 210.0)}, JobPlace(7, 70)


def looked_at(printer, state=S.PRINTING, *, patience=900.0, until=3600):
    watch = NoProgress(patience)
    return [(now, watch.trouble) for now in range(0, until, 5) if watch.check(state, printer, float(now))]


def test_a_stalled_print_is_reported_once_and_in_time():
    [(at, trouble)] = looked_at(Printer())
    assert 900 <= at <= 905
    assert "no progress for 15 min" in trouble


@pytest.mark.parametrize(
    "reason",
    [
        {"busy": True},
        {"heaters": {"bed": Reading(40.0, 60.0)}},
        {"prompt": Prompt("Nozzle parked", ("Continue",))},
        {"state": ConnectionState.FAULT},
    ],
)
def test_a_stall_with_an_explanation_is_not_reported(reason):
    printer = Printer()
    for name, value in reason.items():
        setattr(printer, name, value)
    assert not looked_at(printer)


@pytest.mark.parametrize("state", [S.PAUSED, S.PAUSING, S.CANCELLING, S.REATTACHING])
def test_a_job_that_does_not_print_is_not_reported(state):
    assert not looked_at(Printer(), state)


def test_the_report_can_be_switched_off():
    assert not looked_at(Printer(), patience=0.0)


def test_an_acknowledged_line_ends_the_stall():
    printer, watch = Printer(), NoProgress(60.0)
    assert not watch.check(S.PRINTING, printer, 0.0)
    assert watch.check(S.PRINTING, printer, 100.0)
    printer.place = JobPlace(8, 80)
    assert watch.check(S.PRINTING, printer, 105.0)
    assert watch.trouble is None
