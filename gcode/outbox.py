"""Outbox: which line goes to the firmware next, and in which form.

While the firmware has room, lines go out in this order: lines that were requested again, because their numbers come
first; urgent commands; the line with which numbers start over; other commands; lines of the job.

The firmware has room for `window_lines` lines in its command queue (or as many as ADVANCED_OK reports) and for
`window_bytes` bytes in its receive buffer (`gcode/dialect.py`): Marlin's BUFSIZE and RX_BUFFER_SIZE. Lines count from
the moment they are sent until they are answered. An urgent command needs room in the receive buffer only
(`gcode/wire.py`). A buffer that overruns loses bytes silently: see marlin-plain-overflow.txt in
tests/data/transcripts/.
"""

from collections import deque
from collections.abc import Callable
from sys import maxsize

from gcode.answers import code_word
from gcode.dialect import Dialect
from gcode.flight import HARMLESS, HISTORY, RENUMBER, Flight, Sent, command_with_checksum
from gcode.framing import bare_frame, dense_frame, frame
from gcode.modes import Modes
from gcode.outgoing import Line, Ticket
from gcode.packing import FRAMING, Packer, text_of
from gcode.patience import Patience
from gcode.recovery import Recovery
from gcode.wire import Wire

Pull = Callable[[], Line | None]
"""Returns the next line of the job, or None if there is none yet."""

Permission = Callable[[Ticket, int], bool]
"""Takes a command and the number of waiting commands; tells whether that command may go between the lines of a job now.
If not, the function sees to it that the command goes later: it calls `reserve_numbers`, or has `data_to_send` called
as soon as the command may go."""

LineRecorder = Callable[[Sent, int, Modes | None], None]
"""Records a line before it is on the wire, the number of the last line answered, and the modes in force after the new
line; None: the modes have not changed."""


class Outbox:
    """The lines to send, and the frames that they become.

    Attributes:
        dialect: of the firmware.
        packer: the form of frames on the wire.
        queue: waiting commands.
        urgent: waiting commands that go first.
        modes: those in force after the last line sent.
        job_lines_sent: how many lines of the job were sent.
        held: lines of the job are held back for now.
        lone_number: the number of a line after which nothing is sent until it is answered; 0: none.
        slots: how many lines the firmware's command queue holds, as ADVANCED_OK reports; 0: not reported.
    """

    def __init__(
        self,
        flight: Flight,
        recovery: Recovery,
        patience: Patience,
        wire: Wire,
        record_line: LineRecorder | None,
        permits: Permission,
    ) -> None:
        self.packer = Packer()
        self.queue: deque[Ticket] = deque()
        self.urgent: deque[Ticket] = deque()
        self.modes = Modes()
        self.job_lines_sent = 0
        self.held = False
        self.lone_number = 0
        self.slots = 0
        self._flight = flight
        self._recovery = recovery
        self._patience = patience
        self._wire = wire
        self._record_line = record_line
        self._permits = permits
        self._pull: Pull | None = None
        self._lookahead: Line | None = None
        # numbers from `_reserved` to `_reserved_end` - 1 are for commands, and for no line of the job
        self._reserved = self._reserved_end = maxsize

    @property
    def dialect(self) -> Dialect:
        """The firmware's dialect."""
        return self._dialect

    @dialect.setter
    def dialect(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.modes.e_mode = dialect.e_mode
        dense = frame if dialect.compact is None else dense_frame
        self._make_frame = dense if dialect.counts_lines else bare_frame

    # -- what waits ----------------------------------------------------------------------------------------

    def feed(self, pull: Pull | None) -> None:
        """Take the lines of a job from `pull` from now on; None ends the job."""
        self._pull = pull
        self._lookahead = None

    def reserve_numbers(self, number: int, count: int) -> None:
        """Reserve `count` numbers from `number` on for commands: no line of the job gets one."""
        self._reserved, self._reserved_end = number, number + count

    def discard(self) -> list[Ticket]:
        """Drop everything not sent yet; return the dropped commands."""
        dropped = [*self.urgent, *self.queue]
        self.urgent.clear()
        self.queue.clear()
        self.feed(None)
        return dropped

    def send_only(self, ticket: Ticket) -> None:
        """Send this command first, and after it only urgent ones; drop the job and all waiting commands."""
        self.feed(None)
        self.queue.clear()
        self.urgent.appendleft(ticket)

    def send_instead(self, sent: Sent, command: bytes) -> None:
        """Replace a line in the history by this command, which goes out when that number is sent again."""
        number, _, ordinal, offset, ticket = sent
        sent = (number, frame(number - self._flight.base, command), ordinal, offset, ticket)
        self._flight.history[number % HISTORY] = sent
        if self._record_line is not None:
            answered = self._flight.first_unanswered - 1
            self._record_line(sent, answered, None)
            if (last := self._last_of_job()) is not None:  # the recorder takes the job's place from the last line noted
                self._record_line(last, answered, None)

    def _last_of_job(self) -> Sent | None:
        """Return the last line of the job that was sent, as text; None: the history has none."""
        flight = self._flight
        for number in range(flight.next - 1, flight.first_in_history - 1, -1):
            _, raw, ordinal, offset, ticket = flight.line(number)
            if ticket is None:
                return number, text_of(raw), ordinal, offset, ticket
        return None

    @property
    def has_more(self) -> bool:
        """A command that is not urgent, or a line of the job, waits to be sent."""
        if self._pull is not None and not self.held:
            self._lookahead = self._lookahead or self._pull()
            return bool(self.queue) or self._lookahead is not None
        return bool(self.queue)

    # -- what goes out -------------------------------------------------------------------------------------

    def take(self, now: float) -> bytes:
        """Return the bytes that may go on the wire now; they count as sent."""
        flight = self._flight
        was_idle, number = not flight.lines, flight.next
        if (
            self.urgent
            or self.queue
            or not self._recovery.clear
            or flight.replay < number
            or number >= flight.next_renumbering
        ):
            # a repeat measures no round trip: what seems to answer it may answer the line as it was sent before
            was_idle = was_idle and not flight.replaying
            out = self._take_all(now)
        elif self._pull is not None and not self.held:
            out = self._take_lines(self._pull)
        else:
            return b""
        if out:
            if was_idle:
                flight.idle_until = now
            wire = self._wire
            free = wire.free_at
            wire.free_at = (free if free > now else now) + len(out) * wire.byte_time  # noqa: FURB136 - once a line
        if self.urgent:
            self._wire.set_room_at(now)
        return out

    def _take_all(self, now: float) -> bytes:
        """Return the bytes that may go now, if more than lines of the job waits, or something is in doubt."""
        flight, recovery = self._flight, self._recovery
        out = self._probe() if recovery.probe_bytes else b""
        if self.urgent:
            window = self.slots or self._dialect.window_lines
            self._wire.estimate_unread(flight, window, now, all_read=recovery.echo is not None)
        if recovery.rewinding:
            return out
        while sent := self._take_before_job():
            flight.add(sent)
            _, raw, _, _, _ = sent
            out += raw
        if recovery.probe_bytes:  # `_take_before_job` has begun a probe: nothing may follow it
            out += self._probe()
        waits = flight.replaying or recovery.probing or flight.next >= flight.next_renumbering or self._waits_for_room
        return out if waits or self.held or self._pull is None else out + self._take_lines(self._pull)

    @property
    def _waits_for_room(self) -> bool:
        """The first command waits for room, and the job has to wait too. A command without permission delays no job."""
        first = self.urgent or self.queue
        return bool(first) and self._may_go(first[0])

    def _may_go(self, ticket: Ticket) -> bool:
        return self._permits(ticket, len(self.urgent) + len(self.queue))

    def _probe(self) -> bytes:
        raw, self._recovery.probe_bytes = self._recovery.probe_bytes, b""
        return self.packer.probe(raw)

    def _take_before_job(self) -> Sent | None:
        """Return the next line that goes before the job's: requested again, urgent, renumbering, or a command."""
        flight, recovery = self._flight, self._recovery
        if self.urgent and not flight.replaying and self._may_go(self.urgent[0]):
            return self._take_urgent()
        if self.lone_number and self._is_lone_in_flight():
            return None
        if recovery.probing:
            return None  # the firmware refuses the probe and flushes its buffer, and with it any line behind the probe
        if flight.replaying and recovery.echo is not None:
            return self._repeat()  # only oks are missing: the firmware has read the lines in flight, so it has room
        if len(flight.lines) >= (self.slots or self._dialect.window_lines):
            return None
        if flight.replaying:
            return self._repeat()
        if flight.next >= flight.next_renumbering and self._renumbers():
            return self._take_renumbering()
        return self._take_queued()

    def _renumbers(self) -> bool:
        """Tell whether a line has to go out for numbers to start over.

        If the firmware counts modulo or not at all, none has to: `Flight.wrap` does it without a line.
        """
        counting = self._dialect.counting
        if self._dialect.counts_lines and counting.modulo is None:
            return self._flight.check_renumbering()
        self._flight.wrap(counting.modulo if self._dialect.counts_lines else None)
        return False

    def _take_renumbering(self) -> Sent | None:
        """Return RENUMBER, with which numbers start over, or one of the harmless lines after it.

        Each goes out alone, because the firmware may act on RENUMBER late and then accept the lines after it twice. It
        accepts RENUMBER even if lines before it are missing, so the link first probes whether all have arrived.
        """
        flight, recovery = self._flight, self._recovery
        if flight.lines:
            return None
        if not flight.just_renumbered and recovery.all_accepted_before != flight.next:
            recovery.probe(flight, self._dialect)
            self._patience.is_short = True
            return None
        ticket = Ticket(HARMLESS if flight.just_renumbered else RENUMBER)
        if not self._may_go(ticket):
            return None
        if not flight.just_renumbered:
            flight.renumber()
            self._patience.is_short = False
        return self._frame(ticket, changes_modes=False)

    def _take_urgent(self) -> Sent | None:
        """Return the next urgent command if the receive buffer has room, however many lines are in flight."""
        if not self._wire.take_room(
            self.packer.size_unpacked(self.urgent[0].command), self._flight, self._dialect.window_bytes
        ):
            return None
        ticket = self.urgent.popleft()
        return self._frame(ticket, changes_modes=True)

    def _take_queued(self) -> Sent | None:
        """Return the next waiting command if it fits and may go."""
        if not self.queue or not self._fits(self.packer.size(self.queue[0].command)):
            return None
        if not self._may_go(self.queue[0]):
            return None
        ticket = self.queue.popleft()
        return self._frame(ticket, changes_modes=True)

    def _take_lines(self, pull: Pull) -> bytes:
        """Return as many lines of the job as fit.

        This is the hot path: it runs for each `ok` of a print. So it repeats the code of `_frame`.
        """
        if self.lone_number and self._is_lone_in_flight():
            return b""
        flight, dialect, packer, record_line = self._flight, self._dialect, self.packer, self._record_line
        lines, number, taken, has_decoder, out = flight.lines, flight.next, flight.bytes, packer.has_decoder, b""
        limit, window = self.slots or dialect.window_lines, dialect.window_bytes
        if number + limit > self._reserved:
            limit = self._up_to_reserved(limit)
        while len(lines) < limit:
            line = self._lookahead or pull()
            if line is None:
                break
            offset, command, command_checksum, changes_modes = line
            fits = packer.fits(command, taken, window) if has_decoder else taken + len(command) + FRAMING <= window
            if not fits and lines:
                self._lookahead = line
                break
            self._lookahead = None
            self.job_lines_sent = ordinal = self.job_lines_sent + 1
            raw = self._make_frame(number - flight.base, command, command_checksum)
            sent: Sent = number, raw, ordinal, offset, None
            if changes_modes:
                self._follow(number, command)
            if record_line is not None:
                record_line(sent, (lines[0][0] if lines else number) - 1, self.modes if changes_modes else None)
            if has_decoder:
                sent = self._on_wire(sent)
                _, raw, _, _, _ = sent
            flight.history[number % HISTORY] = sent
            lines.append(sent)
            flight.next = flight.replay = number = number + 1
            flight.bytes = taken = taken + len(raw)
            out += raw
            if self.lone_number:
                break
        return out

    def _up_to_reserved(self, limit: int) -> int:
        """Return how many lines may be in flight before the next one gets a reserved number; at most `limit`."""
        flight = self._flight
        if flight.next >= self._reserved_end:
            self._reserved = self._reserved_end = maxsize
            return limit
        return min(limit, len(flight.lines) + max(0, self._reserved - flight.next))

    def _is_lone_in_flight(self) -> bool:
        """Tell whether the line that goes alone is still in flight; if not, forget that line."""
        lines = self._flight.lines
        if not lines or lines[0][0] > self.lone_number:
            self.lone_number = 0
        return self.lone_number != 0

    def _fits(self, size: int) -> bool:
        flight = self._flight
        return not flight.lines or flight.bytes + size <= self._dialect.window_bytes

    def _frame(self, ticket: Ticket, *, changes_modes: bool) -> Sent:
        """Return a command as a line, which counts as sent."""
        flight, command = self._flight, ticket.command
        number = flight.next
        sent: Sent = (number, self._make_frame(number - flight.base, command), -1, -1, ticket)
        if changes_modes:
            self._follow(number, command)
        if self._record_line is not None:
            answered = (flight.lines[0][0] if flight.lines else number) - 1
            self._record_line(sent, answered, self.modes if changes_modes else None)
        if self.packer.has_decoder:
            sent = self._on_wire(sent)
        flight.history[number % HISTORY] = sent
        flight.next = flight.replay = number + 1
        return sent

    def _follow(self, number: int, command: bytes) -> None:
        """Note the modes that a line changes, and whether it has to go alone."""
        self.modes.note(command)
        if self._dialect.lone_words and code_word(command) in self._dialect.lone_words:
            self.lone_number = number

    def _on_wire(self, sent: Sent) -> Sent:
        """Return a line in its form on the wire."""
        number, raw, ordinal, offset, ticket = sent
        text = text_of(raw)
        # EMERGENCY_PARSER sees only unpacked bytes
        plain = ticket is not None and ticket.urgent and code_word(ticket.command) in self._dialect.urgent_if_parser
        return number, self.packer.frame_unpacked(text) if plain else self.packer.frame(text), ordinal, offset, ticket

    def _repeat(self) -> Sent | None:
        """Return the next line to send again if it fits."""
        number = self._flight.replay
        sent = self._flight.line(number)
        _, raw, _, _, _ = sent
        has_decoder = self.packer.has_decoder
        size = self.packer.size(command_with_checksum(sent)) if has_decoder else len(raw)
        if self._recovery.echo is None and not self._fits(size):
            return None
        if has_decoder:
            sent = self._flight.history[number % HISTORY] = self._on_wire(sent)
        self._flight.replay += 1
        if self._dialect.lone_words and code_word(command_with_checksum(sent)) in self._dialect.lone_words:
            self.lone_number = number
        return sent
