import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.histogram import WIDTH_S, Histogram


def test_an_empty_histogram_has_no_quantiles():
    assert Histogram().quantile(0.99) == Histogram().total == 0


@given(st.lists(st.floats(0, 0.019), min_size=1), st.floats(0, 1))
def test_a_quantile_is_exact_to_a_bucket(durations, share):
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    exact = sorted(durations)[max(0, min(len(durations) - 1, int(share * len(durations) + 0.999999) - 1))]
    assert exact - WIDTH_S <= histogram.quantile(share) <= exact + WIDTH_S + 1e-12
    assert histogram.total == len(durations)
    assert histogram.longest == max(durations)


def test_durations_beyond_the_buckets_are_counted():
    histogram = Histogram()
    for duration in (0.0001, 3.0, -1e-9):
        histogram.add(duration)
    assert histogram.quantile(1.0) == pytest.approx(3.0)
