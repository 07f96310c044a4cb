"""The link against a firmware model on a bad line: the file arrives exactly once, or a named error says why not."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.dialect import MARLIN, UNKNOWN, Dialect
from gcode.errors import RemoteProtocolError
from gcode.link import HostLink, Ticket
from support.marlin import MarlinModel

# a seed rather than each draw from hypothesis: a print makes thousands of them
SEEDS = st.integers(0, 2**32).map(random.Random)
FAULTS = ("flip", "drop", "double", "lose ok", "double ok")


class Wire:
    """Both directions of a line that damages what it carries, by a seeded generator of chances."""

    def __init__(self, chances: random.Random, rates: dict[str, float]) -> None:
        self._chances = chances
        self._rates = rates
        self.damaged = 0

    def _happens(self, fault: str) -> bool:
        happens = self._chances.random() < self._rates.get(fault, 0.0)
        self.damaged += happens
        return happens

    def to_printer(self, data: bytes) -> bytes:
        return b"".join(self._frame(line) for line in data.splitlines(keepends=True))

    def _frame(self, line: bytes) -> bytes:
        if self._happens("drop"):
            return b""
        if self._happens("flip"):
            at = self._chances.randrange(len(line))
            other = self._chances.randrange(1, 256)
            line = line[:at] + bytes([line[at] ^ other]) + line[at + 1 :]
        return line + line if self._happens("double") else line

    def to_host(self, data: bytes) -> bytes:
        return b"".join(self._reply(line) for line in data.splitlines(keepends=True))

    def _reply(self, line: bytes) -> bytes:
        if line.startswith(b"ok"):
            if self._happens("lose ok"):
                return b""
            if self._happens("double ok"):
                return line + line
        return line


def print_file(link: HostLink, model: MarlinModel, wire: Wire, lines: list[bytes], chances: random.Random) -> None:
    """Run both ends until the file is through or the link gives up; time passes only when nothing moves.

    As after every real file, M400 comes last: an extra ok may have hidden the loss of the line before it.
    """
    now, source, last = 0.0, iter(enumerate(lines)), Ticket(b"M400")
    link.feed(lambda: next(source, None))
    for _ in range(400 * len(lines) + 10_000):
        if data := link.data_to_send(now):
            model.receive(wire.to_printer(data))
        if model.busy and chances.random() < 0.7:
            model.execute_one()
        replies, model.out = wire.to_host(bytes(model.out)), bytearray()
        if replies:
            link.receive(replies, now)
        elif not model.busy:
            if link.error is not None or (link.idle and last.done):
                return
            if link.idle:
                link.send(last)
                continue
            assert link.deadline is not None, "the link waits for nothing, yet the file is not through"
            now = max(now, link.deadline)
            link.tick(now)
        now += 0.001
    raise AssertionError("neither through nor given up: a livelock")


def check(dialect: Dialect, rates: dict[str, float], chances: random.Random, *, lines: int = 60, **model_options: bool):
    link, model, wire = HostLink(dialect, 10 / 115200), MarlinModel(**model_options), Wire(chances, rates)
    file = [b"G1 X%d.%03d Y%d E%d" % (n, chances.randrange(1000), chances.randrange(200), n) for n in range(lines)]
    print_file(link, model, wire, file, chances)
    job = [command for command, number in zip(model.accepted, model.numbers, strict=True) if number is not None]
    job = [command for command in job if not command.startswith((b"M118", b"M400"))]
    if link.error is None:
        assert job == file
        assert link.position.lines == lines
    else:
        assert isinstance(link.error, RemoteProtocolError)
        assert job == file[: len(job)], "even a print that fails has no gap and no repeat"
    return link


@pytest.mark.parametrize("dialect", [UNKNOWN, MARLIN], ids=["one line", "window"])
@pytest.mark.parametrize("fault", FAULTS)
@given(chances=SEEDS)
def test_one_kind_of_fault_is_healed(dialect: Dialect, fault: str, chances: random.Random):
    assert check(dialect, {fault: 0.05}, chances).error is None


@given(
    chances=SEEDS,
    rates=st.fixed_dictionaries({fault: st.sampled_from([0.0, 0.01, 0.1]) for fault in FAULTS}),
    advanced_ok=st.booleans(),
    silent_repeats=st.booleans(),
    window=st.integers(1, 4),
)
def test_any_mixture_of_faults_arrives_once_or_fails_by_name(chances, rates, advanced_ok, silent_repeats, window):
    dialect = Dialect("any", window_lines=window)
    check(dialect, rates, chances, advanced_ok=advanced_ok, silent_repeats=silent_repeats)


def test_a_clean_line_costs_no_resend_and_never_overruns_the_buffer():
    chances = random.Random(1)
    link, model = HostLink(MARLIN, 10 / 115200), MarlinModel()
    print_file(link, model, Wire(chances, {}), [b"G1 X%d Y%d E%d.5" % (n, n, n) for n in range(500)], chances)
    assert link.counters.resends == link.counters.timeouts == link.counters.stray_oks == 0
    assert model.lost == 0
    assert link.position.lines == 500
    assert link.counters.lines_acknowledged == 501  # M400 comes last
