"""The core's counters for companions that keep records."""

import pytest

from daemon.bridge.questions import TURNAROUNDS
from daemon.bridge.words import JobState
from daemon.core.core_tally import _by_bounds
from daemon.core.job.tally import Tally
from gcode.histogram import Histogram


def test_a_lost_connection_is_counted_by_its_outcome():
    tally = Tally()
    for state in (
        JobState.PRINTING, JobState.REATTACHING, JobState.PRINTING, JobState.REATTACHING, JobState.PAUSING,
        JobState.REATTACHING, JobState.INTERRUPTED, JobState.STARTING, JobState.PRINTING, JobState.COMPLETED,
    ):  # fmt: skip
        tally.on_job(state)
    assert tally.reattachments == {"line_resumed": 2, "line_ended": 1}


def test_a_print_of_the_previous_host_is_counted_separately():
    tally = Tally()
    tally.note_loss("restart")
    tally.on_job(JobState.PRINTING)
    tally.note_loss("restart")
    tally.on_job(JobState.CANCELLING)
    tally.on_job(JobState.CANCELLED)
    assert tally.reattachments == {"restart_resumed": 1, "restart_ended": 1}


@pytest.mark.parametrize(
    ("took", "bound"),
    [(0.00001, 0), (0.00009, 0), (0.00011, 1), (0.00049, 2), (0.0011, 4), (0.0199, 7), (0.0201, 8), (3.0, 8)],
)
def test_turnarounds_are_counted_in_buckets(took, bound):
    histogram = Histogram()
    histogram.add(took)
    counts = _by_bounds(histogram)
    assert counts == [int(number == bound) for number in range(len(TURNAROUNDS) + 1)]
