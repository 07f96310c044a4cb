"""Walks of a link that several tests take: on a bad line, and with hosts that are killed one after the other."""

from collections import Counter
from collections.abc import Callable, Iterator

from gcode.errors import RemoteProtocolError
from gcode.flight import HISTORY, LinkSnapshot
from gcode.link import HostLink
from gcode.modes import Modes
from gcode.outgoing import JobPlace, job_line
from support.bad_line import BadLine
from support.marlin import MarlinModel

MOST_STEPS = 5_000


def arrived_once(line: BadLine, file: list[bytes], of_file: bytes) -> None:
    """Hold that no line of the file is missing, repeated or out of order; `of_file` is what its lines begin with."""
    assert [number for number, _ in line.accepted] == list(range(1, len(line.accepted) + 1))
    sent = [line.sent[number] for number, _ in line.accepted]
    job = [command for command in sent if command.startswith(of_file)]
    if line.link.error is None:
        assert job == file
        assert line.link.place.lines == len(file)
        users = [command for command in (*sent, *line.left_out) if command.startswith(b"M117 user")]
        assert sorted(users) == sorted(ticket.command for ticket in line.commands), "commands of users came once too"
        assert all(ticket.done for ticket in line.commands)
    else:
        assert isinstance(line.link.error, RemoteProtocolError)
        assert job == file[: len(job)], "even a print that fails has no gap and no repeat"


def counted(walks: Iterator[tuple[int, Callable[[], BadLine]]]) -> Counter[str]:
    """Take walks, each with its seed, and count what happened; a failure names its seed."""
    found: Counter[str] = Counter()
    for seed, walk in walks:
        try:
            line = walk()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        found["lines sent"] += line.link.counters.lines_sent
        found["lines accepted"] += len(line.accepted)
        found["pieces damaged"] += line.damaged
        found["wrong, with a valid checksum"] += len(line.wrong)
        found["tails executed"] += len(line.model.executed_tails)
        found[type(line.link.error).__name__ if line.link.error else "through"] += 1
    return found


class Ring:
    """What a logbook keeps."""

    def __init__(self):
        self.sent, self.answered = {}, 0

    def note(self, sent, answered, _modes):
        assert type(sent[1]) is bytes, "a frame is kept as text, for a host that knows nothing of packing"
        self.sent[sent[0]], self.answered = sent, answered

    def snapshot(self):
        numbers = sorted(self.sent)[-HISTORY:]
        last = max((self.sent[n] for n in numbers if self.sent[n][4] is None), key=lambda sent: sent[0])
        place = JobPlace(last[2], last[3])
        return LinkSnapshot([self.sent[n] for n in numbers], self.answered, JobPlace(), place, Modes())


class Hosts:
    """Hosts that are killed in the middle of what they write; each next one goes on with the file.

    Args:
        model: the firmware.
        file: its lines.
        link: the first host's.
        begin: makes the next one's, which is told where it was left.
        ready: called when a host that has come back is idle, before it feeds its lines.
    """

    def __init__(
        self,
        model: MarlinModel,
        file: list[bytes],
        link: HostLink,
        ring: Ring,
        begin: Callable[[], HostLink],
        ready: Callable[[HostLink], None] | None = None,
    ) -> None:
        self.model, self.file, self.link, self.ring, self._begin = model, file, link, ring, begin
        self.ready = ready
        self.fed = 0
        link.feed(self._pull, keep_place=True)

    def _pull(self):
        if self.fed == len(self.file):
            return None
        self.fed += 1
        return job_line(self.fed - 1, self.file[self.fed - 1])

    def walk(self, kills: list[tuple[int, int, bool]], *, late: bool) -> None:
        """Kill each behind so many turns and bytes of a write; the last part of each says whether to be `ready` then.

        The firmware may have acted upon what it got by then: `late`.
        """
        now, turns, waits, steps = 0.0, 0, False, 0
        while not self.link.idle or self.fed < len(self.file):
            steps += 1
            assert steps < MOST_STEPS, "neither through nor given up: a livelock"
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
                snapshot = self.ring.snapshot()
                self.fed = snapshot.fed.offset + 1
                self.link = self._begin()
                self.link.reattach(snapshot, now)
                if not waits:
                    self.link.feed(self._pull, keep_place=True)
                self.model.out.clear()
                continue
            self.model.receive(out)
            self.model.execute_one()
            said, self.model.out = bytes(self.model.out), bytearray()
            self.link.receive(said, now)
            if (deadline := self.link.deadline) is not None and not (said or out):
                now = max(now, deadline)
                self.link.tick(now)
            assert self.link.error is None
        assert [command for command in self.model.accepted if command.startswith(b"G1")] == self.file
