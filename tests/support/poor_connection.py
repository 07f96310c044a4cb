"""PoorConnection: a HostLink and a MarlinModel at the two ends of a slow connection that damages data.

Bytes arrive one after the other, at 115200 baud, so the flush of an error may fall into the middle of a line; the
printer reads, executes and is slow at random; replies come late and in pieces, but never out of order. All random
numbers come from one seeded generator: the seed reproduces a run.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable

from gcode.link import HostLink
from gcode.outgoing import Ticket, job_line
from support.marlin import MarlinModel

FRAME_FAULTS = ("flip", "drop", "double", "delay")
REPLY_FAULTS = ("lose reply", "double reply", "delay reply")
FAULTS = (*FRAME_FAULTS, *REPLY_FAULTS, "slow printer")
USES = ("command", "urgent", "hold", "report", "busy")
"""What comes between the lines of a job without being a fault; as rates per step."""

BYTE_TIME = 10 / 115200
_STEP = 0.002
_STEPS_PER_LINE = 400

Damage = Callable[[bytes, random.Random], bytes]


def alter(line: bytes, chances: random.Random, count: int = 1) -> bytes:
    """Return the line with `count` neighbouring bytes altered, each to another value."""
    at = chances.randrange(max(1, len(line) - count + 1))
    noise = bytes(byte ^ chances.randrange(1, 256) for byte in line[at : at + count])
    return line[:at] + noise + line[at + count :]


def shorten(line: bytes, chances: random.Random, count: int = 2) -> bytes:
    """Return the line without `count` of its bytes, anywhere."""
    gone = set(chances.sample(range(len(line)), min(count, len(line))))
    return bytes(byte for at, byte in enumerate(line) if at not in gone)


def moves(count: int, chances: random.Random) -> list[bytes]:
    """Return so many commands as slicers write them, no two alike."""
    return [b"G1 X%d.%03d Y%d.%03d E%d.%05d" % (chances.randrange(220), chances.randrange(1000),
            chances.randrange(220), chances.randrange(1000), n // 20, n % 20 * 5000 + chances.randrange(5000))
            for n in range(count)]  # fmt: skip


class PoorConnection:
    """Both ends, and the connection between them.

    Args:
        link: the host's end.
        model: the firmware's end.
        rates: probabilities of faults and uses, per line, reply or step.
        chances: the random numbers.
        damage: the effect of a flip on a line.
    """

    def __init__(
        self, link: HostLink, model: MarlinModel, rates: dict[str, float], chances: random.Random,
        damage: Damage = alter,
    ) -> None:  # fmt: skip
        self.link = link
        self.model = model
        self.commands: list[Ticket] = []  # of users, in order
        self.sent: dict[int, bytes] = {}  # number → command, as the link first framed it
        self.left_out: dict[int, bytes] = {}  # number → text that was refused repeatedly
        self.damaged = 0
        self.now = 0.0
        self._rates = rates
        self._chances = chances
        self._damage_bytes = damage
        self._wire: deque[tuple[float, bytes]] = deque()  # (earliest start, bytes), towards the printer
        self._wire_free = 0.0
        self._replies: deque[tuple[float, bytes]] = deque()  # (due, bytes), towards the host
        self._late = 0.0
        self._slow_until = 0.0
        self._held_until = 0.0
        self._most_commands = 0

    def print(self, lines: list[bytes]) -> None:
        """Run both ends until the file has been sent or the link has failed.

        As after every real file, M400 comes last, and then what a host sends of its own accord: an ok too many may
        have hidden the loss of the last lines, and only a line after them reveals it.
        """
        source, closing = (
            iter(map(job_line, range(len(lines)), lines)),
            deque((Ticket(b"M400"), Ticket(b"M84"), Ticket(b"M105"))),
        )
        self._most_commands = len(lines)  # more would keep the job waiting
        self.link.feed(lambda: next(source, None))
        for _ in range(_STEPS_PER_LINE * len(lines) + 10_000):
            self._step()
            is_over = self.link.idle and self._quiet and not self._held_until
            if self.link.error is not None or (is_over and not closing):
                return
            if is_over:
                self._most_commands = 0
                self.link.send(closing.popleft())
        raise AssertionError("a livelock: neither sent nor failed")

    @property
    def _quiet(self) -> bool:
        return not (self._wire or self._replies or self.model.busy or self.model.waiting)

    def _happens(self, what: str) -> bool:
        rate = self._rates.get(what, 0.0)
        return rate > 0.0 and self._chances.random() < rate

    def _step(self) -> None:
        self.now += self._chances.random() * _STEP
        self.model.now = self.now
        self._use()
        self._send(self.link.data_to_send(self.now))
        self.model.arrive(self._arrived())
        self._let_printer_work()
        self._listen()
        self.link.tick(self.now)
        if self._quiet and not self._held_until and (deadline := self.link.deadline) is not None:
            if self._rates.get("report"):  # automatic reports go on, and are no answer
                self.link.receive(b" T:200.00 /200.00 B:60.00 /60.00 @:64 B@:20\n", self.now)
            self.now = max(self.now, deadline)
            self.link.tick(self.now)

    @property
    def accepted(self) -> list[tuple[int, bytes]]:
        """The numbers and commands that the printer has accepted by number."""
        pairs = zip(self.model.numbers, self.model.accepted, strict=True)
        return [(number, command) for number, command in pairs if number is not None]

    @property
    def wrong(self) -> list[bytes]:
        """The lines that the printer has accepted by number, although no such command was sent under it."""
        accepted = zip(self.model.numbers, self.model.accepted, self.model.lines, strict=True)
        return [
            line
            for number, command, line in accepted
            if number is not None and command not in (self.sent[number], self.left_out.get(number))
        ]

    # -- users -----------------------------------------------------------------------------------------------

    def _use(self) -> None:
        if self._held_until and self.now > self._held_until:
            self._held_until = 0.0
            self.link.release()
        for what in ("command", "urgent"):
            if len(self.commands) < self._most_commands and self._happens(what):
                ticket = Ticket(b"M117 user %d" % len(self.commands), urgent=what == "urgent")
                self.commands.append(ticket)
                self.link.send(ticket)
        if not self._held_until and self._happens("hold"):
            self._held_until = self.now + 0.05 * self._chances.random()
            self.link.hold()

    # -- towards the printer ---------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        for line in data.splitlines(keepends=True):
            self._note(line)
            for piece in self._damage(line):
                pause = 0.03 * self._chances.random() if self._happens("delay") else 0.0
                at = self._chances.randrange(len(piece)) if pause else len(piece)
                self._wire.append((self.now, piece[:at]))
                self._wire.append((self.now + pause, piece[at:]))

    def _note(self, line: bytes) -> None:
        if line.startswith(b"N") and not line.startswith(b"N99999999 "):
            number, _, command = line[1:].rpartition(b"*")[0].partition(b" ")
            before = self.sent.get(int(number), b"")
            if command == b"M105" and before.startswith((b"M117 ", b"M118 ")):
                self.left_out[int(number)] = self.sent.pop(int(number))  # a text that was damaged three times
            assert self.sent.setdefault(int(number), command) == command, "a number means one command, always"

    def _damage(self, line: bytes) -> Iterable[bytes]:
        if self._happens("drop"):
            self.damaged += 1
            return ()
        if self._happens("flip"):
            self.damaged += 1
            line = self._damage_bytes(line, self._chances)
        return (line, line) if self._happens("double") else (line,)

    def _arrived(self) -> bytes:
        """Return the bytes that the wire has carried by now."""
        out = b""
        while self._wire:
            start, data = self._wire[0]
            start = max(start, self._wire_free)
            count = min(len(data), int((self.now - start) / BYTE_TIME))
            if start > self.now or (data and count <= 0):
                break
            out += data[:count]
            self._wire_free = start + count * BYTE_TIME
            self._wire.popleft()
            if count < len(data):
                self._wire.appendleft((start, data[count:]))
                break
        return out

    def _let_printer_work(self) -> None:
        if self._happens("slow printer"):
            self._slow_until = self.now + 0.03 * self._chances.random()
        if self.now < self._slow_until:
            return
        self.model.read()
        if self.model.busy and self._chances.random() < 0.6:
            self.model.execute_one()
        if not self._quiet and self._happens("report"):
            self.model.report()
        if self.model.busy and self._happens("busy"):
            self.model.say_busy()

    # -- towards the host ------------------------------------------------------------------------------------

    def _listen(self) -> None:
        replies, self.model.out = bytes(self.model.out), bytearray()
        for line in replies.splitlines(keepends=True):
            self._carry_reply(line)
        arrived = b""
        while self._replies and self._replies[0][0] <= self.now:
            arrived += self._replies.popleft()[1]
        if arrived:
            at = self._chances.randrange(len(arrived) + 1)
            for piece in (arrived[:at], arrived[at:]):  # reads do not end at line ends
                if piece:
                    self.link.receive(piece, self.now)
                    self._send(self.link.data_to_send(self.now))

    def _carry_reply(self, line: bytes) -> None:
        if self._happens("lose reply"):
            return
        delay = 0.05 * self._chances.random() if self._happens("delay reply") else 0.0
        self._late = max(self._late, self.now + delay)
        self._replies.append((self._late, line))
        if self._happens("double reply"):
            self._replies.append((self._late, line))
