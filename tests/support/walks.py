"""Runs of a link that tests share: over a poor connection, and with hosts that are killed one after the other."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from gcode.errors import RemoteProtocolError
from gcode.flight import HISTORY, LinkSnapshot
from gcode.link import HostLink
from gcode.modes import Modes
from gcode.outgoing import JobPlace, job_line
from support.marlin import MarlinModel
from support.poor_connection import FAULTS, USES, PoorConnection

MAX_STEPS = 5_000


def check_arrived_once(connection: PoorConnection, file: list[bytes], prefix: bytes) -> None:
    """Check that no line of the file is missing, repeated or out of order; all begin with `prefix`."""
    assert [number for number, _ in connection.accepted] == list(range(1, len(connection.accepted) + 1))
    sent = [connection.sent[number] for number, _ in connection.accepted]
    job = [command for command in sent if command.startswith(prefix)]
    if connection.link.error is None:
        assert job == file
        assert connection.link.place.lines == len(file)
        users = [command for command in (*sent, *connection.left_out.values()) if command.startswith(b"M117 user")]
        assert sorted(users) == sorted(ticket.command for ticket in connection.commands), (
            "each command of a user arrives once too"
        )
        assert all(ticket.done for ticket in connection.commands)
    else:
        assert isinstance(connection.link.error, RemoteProtocolError)
        assert job == file[: len(job)], "even a failed print has no gap and no repeat"


def count_walks(walks: Iterator[tuple[int, Callable[[], PoorConnection]]]) -> Counter[str]:
    """Take all walks, and return totals; a failure names the seed of its walk."""
    totals: Counter[str] = Counter()
    for seed, walk in walks:
        try:
            connection = walk()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        totals["lines sent"] += connection.link.counters.lines_sent
        totals["lines accepted"] += len(connection.accepted)
        totals["pieces damaged"] += connection.damaged
        totals["wrong, with a valid checksum"] += len(connection.wrong)
        totals["tails executed"] += len(connection.model.executed_tails)
        totals[type(connection.link.error).__name__ if connection.link.error else "through"] += 1
    return totals


def count_nightly(
    part: int, mixture: Callable[[random.Random], PoorConnection], record_property: Callable
) -> Counter[str]:
    """Take one of twenty parts of a million lines; the totals are in the nightly summary."""
    seeds = range(1000 * (part + 1), 1000 * (part + 1) + 800)
    totals = count_walks((seed, partial(mixture, random.Random(seed))) for seed in seeds)
    record_property("measured", f"part {part}: {dict(totals)}")
    assert totals["lines accepted"] > 50_000, "twenty parts are a million"
    return totals


def any_rates(chances: random.Random, faults: tuple[float, ...] = (0.0, 0.01, 0.1)) -> dict[str, float]:
    """Return rates of all faults and uses, each chosen at random."""
    rates = {fault: chances.choice(faults) for fault in FAULTS}
    return rates | {use: chances.choice((0.0, 0.01, 0.05)) for use in USES}


def feed(link: HostLink, commands: Sequence[bytes], **options: bool) -> HostLink:
    """Feed a job of these commands; return the link."""
    source = iter(map(job_line, range(len(commands)), commands))
    link.feed(lambda: next(source, None), **options)
    return link


class FakeLogbook:
    """A logbook in memory."""

    def __init__(self):
        self.sent, self.answered = {}, 0

    def note(self, sent, answered, _modes):
        number, raw, *_ = sent
        assert type(raw) is bytes, "frames are kept as text: the next host may not pack"
        self.sent[number], self.answered = sent, answered

    def snapshot(self):
        numbers = sorted(self.sent)[-HISTORY:]
        places = [(ordinal, offset) for _, _, ordinal, offset, ticket in map(self.sent.get, numbers) if ticket is None]
        place = JobPlace(*places[-1])
        return LinkSnapshot([self.sent[n] for n in numbers], self.answered, JobPlace(), place, Modes())


class Hosts:
    """Hosts that are killed in the middle of a write; each next host reattaches and continues the file.

    Args:
        model: the firmware.
        file: its lines.
        link: of the first host.
        logbook: in which each host notes what it sends.
        begin: makes the link of the next host, before it reattaches.
        ready: called with an idle link that has reattached, before it feeds lines.
    """

    def __init__(
        self,
        model: MarlinModel,
        file: list[bytes],
        link: HostLink,
        logbook: FakeLogbook,
        begin: Callable[[], HostLink],
        ready: Callable[[HostLink], None] | None = None,
    ) -> None:
        self.model, self.file, self.link, self.logbook, self._begin = model, file, link, logbook, begin
        self.ready = ready
        self.fed = 0
        link.feed(self._pull, keep_place=True)

    def _pull(self):
        if self.fed == len(self.file):
            return None
        self.fed += 1
        return job_line(self.fed - 1, self.file[self.fed - 1])

    def walk(self, kills: list[tuple[int, int, bool]], *, late: bool) -> None:
        """Run until the file has been sent.

        Args:
            kills: for each host the turns until its last write, the bytes of that write, and whether the next host
                calls `ready`.
            late: the firmware executes a command before the next host reattaches.
        """
        now, turns, waits, steps = 0.0, 0, False, 0
        while not self.link.idle or self.fed < len(self.file):
            steps += 1
            assert steps < MAX_STEPS, "a livelock: neither sent nor failed"
            now += 0.01
            if waits and self.link.idle:
                self.ready(self.link)
                self.link.feed(self._pull, keep_place=True)
                waits = False
            out = self.link.data_to_send(now)
            turns += 1
            if kills and turns > kills[0][0] and out:
                _, cut, waits = kills.pop(0)
                turns = 0
                self.model.receive(out[:cut])
                if late:
                    self.model.execute_one()
                snapshot = self.logbook.snapshot()
                self.fed = snapshot.fed.offset + 1
                self.link = self._begin()
                self.link.reattach(snapshot, now)
                if not waits:
                    self.link.feed(self._pull, keep_place=True)
                self.model.out.clear()
                continue
            self.model.receive(out)
            self.model.execute_one()
            reply, self.model.out = bytes(self.model.out), bytearray()
            self.link.receive(reply, now)
            if (deadline := self.link.deadline) is not None and not (reply or out):
                now = max(now, deadline)
                self.link.tick(now)
            assert self.link.error is None
        assert [command for command in self.model.accepted if command.startswith(b"G1")] == self.file
