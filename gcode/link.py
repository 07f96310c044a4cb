"""HostLink: the host's end of the link protocol, without I/O.

As in h11, bytes come in by `receive` and go out by `data_to_send`, and time is an argument. The link numbers and frames
lines, keeps as many in flight as the dialect allows, counts answers, and rewinds on a resend request. Nothing here
waits: `deadline` says when to call `tick`. `gcode/outbox.py` holds what has to be sent and frames it, `gcode/flight.py`
holds the lines in flight, and `gcode/recovery.py` decides what to do about resend requests and silence. This module
reads the replies and passes on what they mean.

    pull() ───────────┐
                      ├─▶ number, frame ─▶ flight (sent, unanswered) ─▶ acknowledged
    send(ticket) ─────┘         ▲                 │
                                └── history ◀─────┘ Resend: n

The rules rest on dialogues with real firmware (`tests/data/transcripts/`):

* Each accepted line gets one `ok`, in order, when it has been executed (marlin-plain-lines.txt). Repetier acknowledges
  on receipt: `gcode/answers.py`.
* `Resend: n` is followed at once by an `ok` of its own; the `ok`s of lines accepted earlier come after that.
* A bad line makes Marlin flush its receive buffer. Lines behind it vanish, or each causes another `Resend: n`. So the
  link stops, waits until all are answered or the connection is quiet, and then sends from n on.
* Marlin answers a line with an impossible number (the probe) with the number that it expects. So the link learns
  whether an `ok` was lost. Repeating a line would not show that: Marlin 2.1 drops a repeat without a word.
"""

from collections.abc import Sequence
from dataclasses import replace

from gcode.answers import Answers, code_word, may_answer
from gcode.chatter import Chatter
from gcode.dialect import UNKNOWN, Dialect
from gcode.error_tracker import ErrorTracker
from gcode.errors import LinkError, PrinterReset, PrinterSilent, QueueFull
from gcode.flight import HARMLESS, HISTORY, Flight, LinkSnapshot, Sent, command_with_checksum, plain_command
from gcode.modes import Modes
from gcode.outbox import LineRecorder, Outbox, Permission, Pull
from gcode.outgoing import Counters, JobPlace, LinkNotice, RefusedLine, Ticket
from gcode.packing import RESET, DecoderState, Packer, decoder_state
from gcode.patience import Patience, max_silence
from gcode.recovery import Phase, Recovery
from gcode.replies import (
    MAX_LINE,
    BoardStarted,
    Busy,
    FirmwareError,
    LineSkipped,
    Ok,
    Reply,
    Resend,
    SdIdle,
    SdPaused,
    SdProgress,
    Temperatures,
    Text,
    UnknownCommand,
    Wait,
    acknowledges,
)
from gcode.wire import Wire

__all__ = [
    "HISTORY",
    "LineRecorder",
    "LinkSnapshot",
    "Permission",
    "Pull",
    "Sent",
]  # for mypy: these names may be imported from here too

MAX_QUEUED = 256
"""Commands of clients that may wait for the printer; a job waits for the answer to each of its own."""

WAIT_AGE_S = 1.0
"""Seconds after which a `wait` from the firmware cannot have crossed with the last line sent."""

MAX_REFUSALS = 3
"""Refusals after which a line with one of the DISPENSABLE code words is left out."""

DISPENSABLE = frozenset({"M73", "M117", "M118", "M486"})
"""Code words of lines that a print can do without."""

_REPORTS_BY_OKS = frozenset({"M303"})
"""Code words of commands that report temperatures in lines that begin with `ok` but acknowledge nothing (PID_autotune
of Marlin 1.0)."""

_MOVES = frozenset({"G0", "G1", "G2", "G3"})

_MIN_PLANNER = 7
"""Moves that the smallest planner holds: BLOCK_BUFFER_SIZE is a power of two, at least 8, and one block stays empty."""

_DECODER_HEAD = 8
"""Bytes at the start of a line that have `[MP]` in them if it is about the decoder; Prusa puts blanks in front."""

_OKS = frozenset(b"ok\n" * count for count in range(1, 9))

LinkEvent = Reply | Ticket | RefusedLine | LinkNotice | DecoderState


class HostLink:
    """The host's end of the conversation. Once `error` is set, the link does nothing more; the first error stays."""

    def __init__(
        self,
        dialect: Dialect = UNKNOWN,
        byte_time: float = 0.0,
        record_line: LineRecorder | None = None,
        permits: Permission = lambda _ticket, _waiting: True,
    ) -> None:
        """Start with line 1.

        Args:
            dialect: of the firmware; it may be replaced while nothing is in flight.
            byte_time: seconds that one byte takes on the wire, 10 / baudrate; 0: no time.
            record_line: called with each frame before it is sent, so that the next host can reattach.
            permits: called before a command goes out between the lines of the job; those lines need no permission.
        """
        self.error: LinkError | None = None
        self._counters = Counters()
        self.place = JobPlace()
        self.first_number = 1  # of the lines that this link itself sent
        self._wire = Wire(byte_time)
        self._flight = Flight()
        self._recovery = Recovery()
        self._patience = Patience()
        self._outbox = Outbox(self._flight, self._recovery, self._patience, self._wire, record_line, permits)
        self._chatter = Chatter()
        self._answers = Answers()
        self._errors = ErrorTracker()
        self._alive_at = 0.0  # when the printer gave its last sign of life
        self._partial = b""  # a reply line that is not complete
        self._plain = True  # `_partial` is empty and `_ok_is_plain` holds
        self._reason = ""  # the firmware's last communication error: the reason for the resend request that follows
        self._planner_size = _MIN_PLANNER  # moves that the planner holds, by the most free blocks that were reported
        self.dialect = dialect

    @property
    def dialect(self) -> Dialect:
        """The firmware's dialect."""
        return self._dialect

    @dialect.setter
    def dialect(self, dialect: Dialect) -> None:
        self._dialect = self._outbox.dialect = dialect

    @property
    def counters(self) -> Counters:
        """The counts of this conversation."""
        self._counters.lines_sent = self._flight.next - self.first_number
        return self._counters

    @property
    def modes(self) -> Modes:
        """The modes in force after the last line sent."""
        return self._outbox.modes

    # -- packing (gcode/packing.py) ------------------------------------------------------------------------

    def pack(self) -> None:
        """Send packed lines from now on; the firmware has just reported that its decoder is ready for them."""
        self._outbox.packer = Packer(packs=True)

    def assume_packing(self) -> None:
        """Note that the decoder may be waiting for packed bytes because of the previous host or a lost order."""
        self._outbox.packer = Packer(packs=False)

    @property
    def decoder_reset(self) -> bytes:
        """The bytes to write before any that bypass the link; empty unless a decoder may be waiting for packed ones."""
        return RESET if self._outbox.packer.has_decoder else b""

    # -- the job and commands ------------------------------------------------------------------------------

    def feed(self, pull: Pull | None, *, keep_place: bool = False) -> None:
        """Take the lines of a job from `pull` from now on; None ends the job.

        Args:
            pull: returns the next line, or None if there is none yet.
            keep_place: the job continues after the last line sent; otherwise `place` counts from zero.
        """
        self._outbox.feed(pull)
        if pull is not None and not keep_place:
            self._flight.renumber_soon()
            self._outbox.job_lines_sent = 0
            self.place = JobPlace()

    def reattach(self, snapshot: LinkSnapshot, now: float) -> None:
        """Reattach to the conversation of an earlier link; this one must not have sent anything yet.

        If that link has sent packed lines, call `assume_packing` first.

        The link probes for the line that the printer wants next. If answers are missing, it also awaits an echo, which
        comes when the printer has executed all lines. Both are done when the link is `idle`. If the answer fits none of
        the lines, `error` is set.
        """
        self._flight.reattach(snapshot)
        self.first_number = self._flight.next
        self._outbox.job_lines_sent = snapshot.fed.lines
        self._outbox.modes = replace(snapshot.modes, e_mode=self._dialect.e_mode)
        self.place = replace(snapshot.place)
        self._alive_at = now
        self._recovery.reattach(snapshot.answered, self._flight, self._dialect)
        self._plain = self._ok_is_plain

    def hold(self) -> None:
        """Send no more lines of the job."""
        self._outbox.held = True

    def release(self) -> None:
        """Let lines of the job go: `hold` is over."""
        self._outbox.held = False

    def probe_soon(self) -> None:
        """Probe after SHORT_SILENCE_S, once: a user waits for the answers to the lines in flight."""
        self._patience.is_short = True

    def send(self, ticket: Ticket) -> None:
        """Queue a checked command; it goes out before the next line of the job.

        An urgent command goes before the others and beyond the window, but never beyond the receive buffer. A line
        sent less than SETTLED_S seconds ago may still be in that buffer; the command queue has as many of the older
        ones as it holds.
        """
        (self._outbox.urgent if ticket.urgent else self._outbox.queue).append(ticket)

    def submit(self, tickets: Sequence[Ticket]) -> None:
        """Queue commands of a client, all or none.

        Raises:
            QueueFull: more than MAX_QUEUED of them would wait.
        """
        waiting = sum(ticket.from_client for ticket in self._outbox.queue)
        if waiting + len(tickets) > MAX_QUEUED:
            raise QueueFull(
                f"cannot queue {len(tickets)} more commands: {waiting} are waiting, and at most {MAX_QUEUED} may wait; "
                "try again later"
            )
        self._outbox.queue.extend(tickets)

    def discard(self) -> list[Ticket]:
        """Drop everything not sent yet; return the dropped commands."""
        dropped = self._outbox.discard()
        self._recovery.end_echo()
        return dropped

    @property
    def idle(self) -> bool:
        """Every line sent has been answered, and no command waits."""
        flight, outbox = self._flight, self._outbox
        busy = flight.lines or outbox.urgent or outbox.queue or self._answers or flight.replaying
        return not busy and self._recovery.settled

    @property
    def answered(self) -> int:
        """The number up to which every line has been answered."""
        return self._flight.first_unanswered - 1

    def set_place(self, fed: JobPlace, modes: Modes) -> None:
        """Set the job's place and the modes at the last line sent, if the snapshot for `reattach` did not have them."""
        self._outbox.job_lines_sent = fed.lines
        self._outbox.modes = replace(modes, e_mode=self._dialect.e_mode)
        self.place = replace(fed)

    def reserve_numbers(self, number: int, count: int) -> None:
        """Reserve `count` numbers from `number` on for commands that wait: no line of the job gets one."""
        self._outbox.reserve_numbers(number, count)

    @property
    def job_in_flight(self) -> bool:
        """A line of the job is in flight, or lines have to be sent again."""
        return self._flight.replaying or any(ticket is None for _, _, _, _, ticket in self._flight.lines)

    @property
    def next_number(self) -> int:
        """The number of the next new line of this conversation."""
        return self._flight.next

    @property
    def next_on_wire(self) -> int:
        """The number on the wire of the next new line."""
        return self._flight.next_on_wire

    # -- bytes out -----------------------------------------------------------------------------------------

    def data_to_send(self, now: float) -> bytes:
        """Return the bytes that may go on the wire now; they count as sent."""
        return self._outbox.take(now) if self.error is None else b""

    # -- bytes in ------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> list[LinkEvent]:
        """Take bytes from the printer; return all replies but plain oks, and the tickets that are done."""
        if self.error is not None:
            return []
        events: list[LinkEvent] = []
        if self._plain:  # the hot path: 99 of 100 replies in a print end here
            if data == b"ok\n":
                return self._acknowledge("ok", now, events)
            if data in _OKS:
                for _ in range(len(data) // 3):
                    self._acknowledge("ok", now, events)
                return events
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()[-MAX_LINE:]
        try:
            for line in lines:
                if line == b"ok" and self._ok_is_plain:
                    self._acknowledge("ok", now, events)
                elif (line := line.strip(b"\r\0")) and not self._take_decoder_state(line, now, events):
                    self._handle(self._errors.parse(line[:MAX_LINE]), now, events)
        except LinkError as error:
            self.fail(error)
        self._plain = self._ok_is_plain and not self._partial
        return events

    @property
    def _ok_is_plain(self) -> bool:
        """The next `ok` answers the oldest line and does nothing else."""
        return not (self._recovery.owed_ok or self._recovery.foreign_ok or self._errors.refusal)

    def _handle(self, reply: Reply, now: float, events: list[LinkEvent]) -> None:
        if (refusal := self._errors.settle(reply)) is not None:
            events.append(refusal)
        events.append(reply)
        if self._may_be_echo(reply) and self._is_echo(reply):
            reply = Text(reply.line)
        elif query := self._errors.note(reply, self._dialect, self._answered_line(reply), now):
            self._outbox.send_only(Ticket(query, urgent=True))
        match reply:
            case _ if acknowledges(reply):
                self._on_ok(reply, now, events)
                return
            case Resend(number=number):
                self._on_resend(number, now, events)
                return
            case Temperatures(waiting=False) | SdProgress() | SdIdle() | SdPaused():
                pass  # the firmware reports these unasked: no sign that it works on a command
            case BoardStarted():
                raise PrinterReset("the board restarted: position, temperatures and line number are gone")
            case Wait():
                self._on_wait(now, events)
            case Busy() | Temperatures():
                self._patience.note(reply)
                self._note_sign_of_life(now)
            case _:
                self._on_text(reply, now, events)
        self._collect(reply, now, events)

    def _take_decoder_state(self, line: bytes, now: float, events: list[LinkEvent]) -> bool:
        """Take a line that reports the state of the firmware's decoder, and answers nothing; tell whether it is one."""
        if b"[MP]" not in line[:_DECODER_HEAD] or (state := decoder_state(line)) is None:
            return False
        events.append(state)
        self._outbox.packer.note(state, now)
        return True

    def _on_text(self, reply: Reply, now: float, events: list[LinkEvent]) -> None:
        if self._patience.may_be_silent(self._flight, self._dialect) or not self._chatter.is_chatter(
            reply.line, self._counters.lines_acknowledged
        ):
            self._note_sign_of_life(now)
        if isinstance(reply, FirmwareError) and reply.kind == "communication":
            self._reason = reply.text.lower()
            self._patience.is_short = True  # Marlin 1.0 sends no resend request for a line without its number
            self._recovery.refused = True
        self._note_answer(reply, now, events)

    def _answered_line(self, reply: Reply) -> tuple[bytes, int] | None:
        """Return command and file offset of the job's line that an error or text refers to; None: it refers to none."""
        if not isinstance(reply, FirmwareError | Text):
            return None
        flight = self._flight
        sent = flight.lines[0] if flight.lines else None
        if self._dialect.ok_at == "receipt":
            sent = flight.find(flight.first_unanswered - 1)
        if sent is None:
            return None
        _, _, _, offset, ticket = sent
        return (plain_command(sent), offset) if ticket is None else None

    def _may_be_echo(self, reply: Reply) -> bool:
        return isinstance(reply, BoardStarted | FirmwareError | Text | Resend) or (
            isinstance(reply, Ok) and reply.glued
        )

    def _is_echo(self, reply: Reply) -> bool:
        """Tell whether a reply only echoes the text of an M118, and so is no reset, error or `ok`."""
        if self._answers.is_echo(reply.line):
            return True
        if not self._flight.lines:
            return False
        command = command_with_checksum(self._flight.lines[0])
        return command[:4].upper() == b"M118" and reply.line.strip().encode() in command

    def _collect(self, reply: Reply, now: float, events: list[LinkEvent]) -> None:
        """Add a text to the answer of the command that is being executed: the oldest one in flight."""
        if isinstance(reply, Busy | Wait):
            return
        ticket = self._flight.oldest_ticket
        if self._answers and (done := self._answers.assign(reply, now, ticket)) is not None:
            events += done
            return
        if ticket is not None and (self._dialect.ok_at == "execution" or may_answer(reply, ticket)):
            ticket.answer(reply.line)

    def _note_sign_of_life(self, now: float) -> None:
        self._alive_at = now
        self._recovery.on_sign_of_life()

    def _note_answer(self, reply: Reply, now: float, events: list[LinkEvent]) -> None:
        if self._recovery.is_echo(reply.line):
            for _ in range(self._recovery.count_unanswered(self._flight.lines)):
                self._acknowledge("ok", now, events)
            self._recovery.end_echo()
        elif isinstance(reply, UnknownCommand):
            # A flush has cut a line, and the firmware took the tail for a command: the ok for that answers no line.
            # A firmware without line numbers flushes nothing (and Teacup quotes M400 as M144); one that
            # acknowledges on receipt has already sent that ok.
            flushes = self._dialect.counts_lines and self._dialect.ok_at == "execution"
            is_ours = self._flight.has_code_word(reply.word) or self._flight.has_command(reply.command)
            self._recovery.foreign_ok = flushes and not is_ours
        elif isinstance(reply, LineSkipped):
            # repetier-1.0.4-lines.txt: it skips a line that it already has, or one after the line that it waits for
            number = self._flight.line_number(reply.number, self._dialect.counting.modulo)
            self._recovery.foreign_ok = not self._flight.lines or self._flight.first_unanswered != number

    def _note_planner(self, free: int) -> None:
        """Count a move, and whether it found the planner empty: then there is room for all moves but this one.

        If there is room for all moves, this one moved nothing: `G1 F3000`, or a cold extrusion
        (marlin-advok-motion.txt).
        """
        self._planner_size = max(self._planner_size, (1 << free.bit_length()) - 1)
        if free < self._planner_size:
            self._counters.planner_reports += 1
            self._counters.planner_empty += free == self._planner_size - 1

    def _on_ok(self, reply: Reply, now: float, events: list[LinkEvent]) -> None:
        recovery, lines = self._recovery, self._flight.lines
        number = self._answered_number(reply) if isinstance(reply, Ok) else None
        if isinstance(reply, Ok) and reply.buffer is not None and len(lines) == 1 and self._dialect.learns_window:
            self._outbox.slots = reply.buffer + 1  # the free slots, and that of the line just answered
        word = code_word(command_with_checksum(lines[0])) if lines else ""
        if isinstance(reply, Ok) and reply.planner is not None and word in _MOVES:
            self._note_planner(reply.planner)
        if isinstance(reply, Ok) and reply.heaters and word in _REPORTS_BY_OKS:
            self._note_sign_of_life(now)
        elif recovery.probing and isinstance(reply, Ok) and reply.heaters and not self._flight.has_code_word("M105"):
            self._on_probe_executed(now)
        elif number is None and recovery.owed_ok:
            recovery.owed_ok = False
            self._note_sign_of_life(now)
            recovery.end_rewind_if_answered()
        elif number is None and recovery.foreign_ok:
            recovery.foreign_ok = False
            # if that was the tail of the only line in flight, no resend request will come: the link has to probe
            self._patience.is_short = self._patience.is_short or (len(lines) == 1 and not recovery.probing)
        elif number is not None and lines:
            # ADVANCED_OK names the answered line: lines before it have lost their oks, and an ok for a line that was
            # already answered changes nothing
            while lines and self._flight.first_unanswered <= number:
                self._acknowledge(reply.line, now, events)
        else:
            was_lone = bool(lines) and self._flight.first_unanswered == self._outbox.lone_number
            self._acknowledge(reply.line, now, events)
            if was_lone and lines:  # an urgent line has followed it all the same, so the firmware answers it twice
                recovery.foreign_ok = True

    def _answered_number(self, ok: Ok) -> int | None:
        """Return the number of the line that an ok names; None: it names none, or one never sent (Malyan: N0)."""
        on_wire = ok.number if ok.number is not None else ok.last
        if not on_wire:
            return None
        number = self._flight.line_number(on_wire, self._dialect.counting.modulo)
        return number if number < self._flight.next else None

    def _on_probe_executed(self, now: float) -> None:
        """Act on the answer to a probe that RepRapFirmware executed as an M105, as it takes lines in any order."""
        self._recovery.on_probe_executed(self._flight, self._dialect)
        self._note_sign_of_life(now)
        if self._flight.lines:
            raise PrinterSilent(
                f"no answer to {self._flight.oldest!r}, and this firmware cannot say whether it has read that command"
            )

    def _acknowledge(self, line: str, now: float, events: list[LinkEvent]) -> list[LinkEvent]:
        """Take the oldest line out of the flight; return `events`, with the line's ticket added if it has one."""
        flight = self._flight
        lines = flight.lines
        self._alive_at = now
        if not lines:
            self._counters.stray_oks += 1
            self._recovery.on_stray_ok(flight)
            return events
        _, raw, ordinal, offset, ticket = lines.popleft()
        flight.bytes -= len(raw)
        if not lines and now - flight.idle_until < self._recovery.round_trip:
            self._recovery.round_trip = now - flight.idle_until
        self._counters.lines_acknowledged += 1
        if ticket is None:
            self.place.lines = ordinal
            self.place.offset = offset
        elif ticket is self._recovery.echo:
            self._recovery.end_echo()  # the echo was lost, but this ok shows that all lines before it are answered
        elif not ticket.done:
            self._patience.note_answer(ticket.command)
            if self._dialect.ok_at == "receipt":
                self._on_receipt(ticket, line, now, events)
            else:
                ticket.replies.append(line)
                ticket.done = True
                events.append(ticket)
        return events

    def _on_receipt(self, ticket: Ticket, ok: str, now: float, events: list[LinkEvent]) -> None:
        """Await the answer to a command that was received; a long command may have none, so an echo follows it."""
        usual = self._dialect.answer_timeout
        long_silence = max_silence(ticket.command, 0.0, self._dialect.long_commands)
        events += self._answers.on_ok(ticket, ok, now, long_silence or usual, lasts=long_silence > 0.0)
        if long_silence:
            self._outbox.queue.append(self._recovery.make_one_word_echo())

    def _on_wait(self, now: float, events: list[LinkEvent]) -> None:
        """Act on `wait`: the firmware has nothing to do, so lines in flight have lost their oks.

        Anycubic's Marlin says `wait` even while it heats. So a firmware that counts lines is probed.
        """
        if now - self._silent_since <= WAIT_AGE_S:
            return
        events += self._answers.end_all()
        if not self._dialect.counts_lines:
            while self._flight.lines:
                self._acknowledge("ok", now, events)
        elif self._flight.lines and self._recovery.phase is Phase.CLEAR:
            self._recovery.probe(self._flight, self._dialect)
            self._alive_at = now

    def _on_resend(self, number: int, now: float, events: list[LinkEvent]) -> None:
        self._count_resend()
        self._note_sign_of_life(now)
        self._patience.is_short = False
        line = self._flight.line_number(number, self._dialect.counting.modulo)
        ends_pause = self._ends_pause(line)
        self._recovery.on_request(line, self._flight, self._dialect, now, self._wire.free_at)
        self._recovery.foreign_ok = self._recovery.foreign_ok or ends_pause
        for _ in range(self._recovery.answered_early):
            self._acknowledge("ok", now, events)
        if self._dialect.ok_at == "receipt":  # a request for this line shows that all before it were received
            while self._flight.lines and self._flight.first_unanswered < line <= self._flight.next:
                self._acknowledge("ok", now, events)
        if self._dialect.repeat_interval and line == self._flight.next and not self._outbox.has_more:
            # the firmware repeats the request until a line comes, but none waits
            self._outbox.queue.append(Ticket(HARMLESS))
        packer = self._outbox.packer
        if packer.packs:
            packer.on_resend(self._recovery.refusals, self._counters.lines_acknowledged)
            events += packer.notices()
        elif self._recovery.refusals >= MAX_REFUSALS:
            self._leave_out(line, events)
        packer.lose_step()
        self._send_echo()

    def _count_resend(self) -> None:
        """Count a resend request by its reason, which the firmware gave in the line before."""
        counters, reason, self._reason = self._counters, self._reason, ""
        counters.resends += 1
        if "checksum" in reason:
            counters.bad_checksums += 1
        elif "number" in reason:
            counters.wrong_numbers += 1

    def _ends_pause(self, number: int) -> bool:
        """Tell whether this request ends a pause that the firmware began itself (Prusa's M602).

        The firmware then requests the lines that it dropped at the pause. The command that ended the pause is one of
        them, although it also gets an ok.
        """
        sent = self._flight.lines[0] if self._flight.lines else None
        return (
            sent is not None
            and number <= self._flight.first_unanswered
            and plain_command(sent).strip() == self._dialect.resume_command
        )

    def _leave_out(self, number: int, events: list[LinkEvent]) -> None:
        """Leave out a line that the firmware keeps refusing, if it is dispensable: send HARMLESS under its number."""
        sent = self._flight.line(number)
        if code_word(command_with_checksum(sent)) in DISPENSABLE:
            text = f"a line was left out because the firmware kept refusing it: {plain_command(sent).decode()}"
            events.append(LinkNotice(text))
            self._outbox.send_instead(sent, HARMLESS)

    def _send_echo(self) -> None:
        if self._recovery.echo_due and self._recovery.echo is not None:
            self._recovery.echo_due = False
            self._outbox.urgent.appendleft(self._recovery.echo)

    # -- silence -------------------------------------------------------------------------------------------

    @property
    def may_be_due_earlier(self) -> bool:
        """`deadline` may be earlier now than when the caller set its timer."""
        return (
            self._recovery.rewinding
            or bool(self._outbox.urgent or self._answers)
            or self._outbox.packer.doubt_due is not None
            or self._errors.reason_due is not None
        )

    @property
    def deadline(self) -> float | None:
        """When to call `tick` if nothing arrives before; None: nothing is awaited."""
        deadline = self._answer_deadline()
        waits = self._outbox.urgent and not (self._recovery.rewinding or self._flight.replaying)
        if waits and deadline is not None and self._wire.room_at is not None:
            deadline = min(deadline, self._wire.room_at)  # urgent commands find room then, or when an answer comes
        if (doubt := self._outbox.packer.doubt_due) is not None and self.error is None:
            deadline = doubt if deadline is None else min(deadline, doubt)
        if self._answers and self.error is None:
            return self._answers.due if deadline is None else min(deadline, self._answers.due)
        return deadline

    def _answer_deadline(self) -> float | None:
        """When the wait for an answer or a sign of life ends; None: nothing is awaited."""
        if self.error is not None:
            return None
        if self._errors.reason_due is not None:
            return self._errors.reason_due
        if self._recovery.rewinding:
            return self._recovery.quiet_at
        if self._flight.lines or self._recovery.probing:
            return self._silent_since + self._patience.seconds(self._flight, self._dialect)
        return None

    @property
    def _silent_since(self) -> float:
        """When the wait for a sign of life began."""
        return max(self._alive_at, self._flight.idle_until)

    def tick(self, now: float) -> list[LinkEvent]:
        """Act on a deadline that has passed; return events as `receive` does. An early call is harmless."""
        events: list[LinkEvent] = []
        if self._answers and self.error is None:
            events += self._answers.tick(now)
        if self.error is None:
            self._check_decoder(now, events)
        deadline = self._answer_deadline()
        if deadline is None or now < deadline:
            return events
        if self._errors.reason_due is not None:
            self.fail(self._errors.error_without_reason(self._dialect))
        elif self._recovery.rewinding:
            self._recovery.on_quiet(self._flight, self._dialect)
            self._patience.is_short = self._patience.is_short or self._recovery.probing
        else:
            self._on_silence(now)
        self._plain = self._ok_is_plain and not self._partial
        return events

    def _check_decoder(self, now: float, events: list[LinkEvent]) -> None:
        """Probe if the decoder has been in the wrong state for too long: lines in flight may be lost."""
        flight, packer = self._flight, self._outbox.packer
        runs_long = bool(flight.lines) and self._patience.may_be_silent(flight, self._dialect)
        if not packer.check_step(now, may_be_silent=runs_long):
            return
        events += packer.notices()
        if flight.lines and self._recovery.clear:
            self._recovery.probe(flight, self._dialect)
            self._alive_at = now
            self._patience.is_short = True

    def _on_silence(self, now: float) -> None:
        self._counters.timeouts += 1
        self._patience.is_short = False
        try:
            self._recovery.on_silence(self._flight.oldest, self._silent_since, now, self._flight, self._dialect)
        except LinkError as error:
            self.fail(error)
        self._alive_at = now

    def fail(self, error: LinkError) -> None:
        """End the conversation; the first error stays."""
        if self.error is None:
            self.error = error
