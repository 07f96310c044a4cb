"""Recovery: what the host does when the printer requests a line again, or is silent for too long.

Nothing here sends: the outbox sends `probe_bytes`, and the link sends `echo` when `echo_due` is set. An error raised
here ends the conversation.

Theory of operation. The firmware accepts each line number once, and in order. So it always knows which line it wants
next, and the host never guesses: in doubt, it finds out one of three things.

* Which line does the firmware want? (PROBING; REATTACHING if the previous host sent the lines; DOUBTING if the answer
  made no sense.) The probe is an M105 under a number that no print reaches. The firmware refuses it and names the line
  that it expects. Sending the last line again would be a guess: Marlin 2.1 drops a repeat without a word
  (marlin-2.1-plain-lines.txt).
* Have all lines in flight been answered, or vanished? (REWINDING.) More lines may be on the wire behind a refused one.
  Each is refused in turn, or vanishes when the firmware flushes its receive buffer. A line sent too early would vanish
  with them, and a late resend request would look like a new one. So nothing is sent until all of them are answered, or
  the connection has been quiet for longer than the shortest round trip so far. Then the link sends from the requested
  line on.
* Is an `ok` lost, or is the command still running? (ECHOING.) Lines were accepted, but their oks are missing. The link
  sends an M118 after them. Its echo follows all earlier answers. So once the echo has come, a line that still has no
  answer will get none.

Not every resend request is a failure. One that comes before anything was sent again repeats the last one. One that
comes too soon to answer the line that was sent again has crossed with it; the next wait is longer. Only the first
request for a line, and those that answer the line sent again, count towards MAX_REPEATS.

In this module a request is always a resend request. Times are in s, on the clock of the caller.

The dialogues that these rules rest on are in tests/data/transcripts/; docs/link.md lists fault by fault what happens.
"""

from collections import deque
from dataclasses import field
from enum import Enum

from gcode.dialect import Dialect
from gcode.errors import PrinterReset, PrinterSilent, ResendLoop, ResendOutOfReach
from gcode.flight import Flight, Sent
from gcode.framing import frame
from gcode.frozen import mutable
from gcode.outgoing import Ticket

MAX_REPEATS = 10
"""After this many requests for one line without any progress, the conversation ends."""

MAX_DOUBLED_OKS = 16
"""Before line 1 is accepted, doubled oks make fewer than this many lines seem answered. If as many seem answered, a
request for line 1 is damaged, or the board was reset."""

MAX_PROBES = 3
"""Unanswered probes after which the printer counts as silent."""

MAX_DOUBTS = 3
"""At most this many requests for lines out of reach, each for another line, are answered by a probe; a further one ends
the conversation."""

MAX_CROSSED = 200
"""After this many requests for one line that each came too soon to answer the line sent again the conversation ends."""

RESEND_OK_TIMEOUT = 0.5
"""Seconds to wait for the `ok` that belongs to a `Resend`."""

MAX_WAIT_S = 2.0
"""Seconds after which the link sends again even while the request is repeated."""

MAX_ROUND_TRIP_S = 1.0
"""Seconds from a line to its answer that the wire alone may take; longer times are the printer's work."""

MARGIN = 1.25
"""After the shortest round trip times this factor, all answers to what was sent should have come."""


class Phase(Enum):
    """What has to be found out before new lines may go out."""

    CLEAR = "nothing is in doubt"
    REATTACHING = "the conversation is the previous host's, and the printer is probed for the line that it wants"
    PROBING = "the printer is probed for the line that it wants"
    DOUBTING = "the printer wants a line that makes no sense, and is probed again"
    REWINDING = "a line was requested again, and the link waits for the answers to the lines after it"
    ECHOING = "lines were accepted and not answered; an echo shows whether their answers are lost"


_PROBING = frozenset({Phase.REATTACHING, Phase.PROBING, Phase.DOUBTING})

P = Phase

# (trigger, phases in which it counts, the next phase); in any other phase, a trigger changes nothing.
TRANSITIONS: tuple[tuple[str, tuple[Phase, ...], Phase], ...] = (
    ("reattached", (P.CLEAR,), P.REATTACHING),
    ("silence", (P.CLEAR, P.PROBING, P.ECHOING), P.PROBING),
    ("probe due", (P.CLEAR,), P.PROBING),
    ("resend request", (P.CLEAR, P.REATTACHING, P.PROBING, P.DOUBTING, P.REWINDING, P.ECHOING), P.REWINDING),
    ("implausible resend request", (P.CLEAR, P.REATTACHING, P.PROBING, P.REWINDING, P.ECHOING), P.DOUBTING),
    ("probe executed", (P.REATTACHING, P.PROBING, P.DOUBTING), P.CLEAR),
    ("quiet", (P.REWINDING,), P.CLEAR),
    ("quiet, answers missing", (P.REWINDING,), P.ECHOING),
    ("quiet, request crossed", (P.REWINDING,), P.PROBING),
    ("echo", (P.ECHOING,), P.CLEAR),
)
_NEXT = {(phase, trigger): target for trigger, phases, target in TRANSITIONS for phase in phases}


@mutable
class _Request:
    """The resend request that the link acts on."""

    target: int = 0  # the number of the requested line
    unanswered: int = 0  # lines after it that may still cause a request of their own
    until: float = 0.0  # when these lines count as vanished
    first_came: float = 0.0
    end: int = 0  # one more than the highest number sent before the request
    early: int = 0  # oks that found no line in flight: some lines from `target` to `end` were accepted after all


@mutable
class Recovery:
    """The state of a conversation in which something went wrong, and the rules that set it right.

    Attributes:
        phase: what has to be found out; CLEAR: nothing.
        clear: the phase is CLEAR. This attribute, `probing` and `rewinding` follow from `phase`, and are faster to
            read.
        probing: a probe was sent, or is about to be.
        rewinding: a line was requested, and nothing is sent until all lines after it are answered or have vanished.
        probe_bytes: a probe to send before anything else.
        echo: the M118 whose echo the link awaits.
        echo_due: that M118 has to be sent: after lines that were requested again, before all others.
        owed_ok: the `ok` that belongs to a request has not come yet.
        foreign_ok: the next `ok` answers none of our lines, but an empty line, or the tail of a cut line that the
            firmware took for a command.
        all_accepted_before: the number of the next new line, once it is known that all lines before it were accepted,
            or if the printer executes lines in any order; 0: not known.
        round_trip: the shortest time from a line to its answer so far, in s.
        refused: the firmware has reported a line that it did not understand; see `_has_crossed`.
        answered_early: how many of the oldest lines in flight got their `ok` while they counted as refused.
    """

    phase: Phase = Phase.CLEAR
    clear: bool = True
    probing: bool = False
    rewinding: bool = False
    probe_bytes: bytes = b""
    echo: Ticket | None = None
    echo_due: bool = False
    owed_ok: bool = False
    foreign_ok: bool = False
    all_accepted_before: int = 0
    round_trip: float = MAX_ROUND_TRIP_S
    refused: bool = False
    answered_early: int = 0
    _reattached_at: int | None = None  # while reattaching: the last line that the previous host knew to be answered
    _request: _Request = field(default_factory=_Request)
    _requested: int = 0  # the highest line requested
    _repeats: int = 0  # requests since then for that line or an earlier one
    _crossings: int = 0  # requests for that line that came too soon
    _wait: float = 0.0  # s to wait at least before sending again: answers take longer than the shortest round trip
    _doubted: int | None = None  # the number in the last request that made no sense
    _doubts: int = 0
    _probes: int = 0
    _probed_at: float = -1.0  # when the last probe went out
    _echoes: int = 0

    def _enter(self, trigger: str) -> None:
        self.phase = _NEXT.get((self.phase, trigger), self.phase)
        self.clear = self.phase is Phase.CLEAR
        self.probing = self.phase in _PROBING
        self.rewinding = self.phase is Phase.REWINDING

    @property
    def settled(self) -> bool:
        """No rewind and no reattaching is under way, and no probe waits to be sent."""
        return not (self.phase is Phase.REWINDING or self.probe_bytes or self._reattached_at is not None)

    # -- requests ------------------------------------------------------------------------------------------

    def reattach(self, answered: int, flight: Flight, dialect: Dialect) -> None:
        """Probe for what became of the lines after `answered`, the last one known to be answered."""
        self._reattached_at = answered
        self._enter("reattached")
        self._set_probe(flight, dialect)

    def on_request(self, number: int, flight: Flight, dialect: Dialect, now: float, wire_free: float) -> None:
        """Act on a request for a line.

        Args:
            number: of the requested line.
            flight: the lines in flight.
            dialect: of the firmware.
            now: the time.
            wire_free: when the last byte sent will have left.

        Raises:
            RemoteProtocolError: the conversation cannot continue from that line.
        """
        self.owed_ok = dialect.ok_after_resend  # `Resend: 3`, `ok`: this ok answers no line (marlin-plain-lines.txt)
        self.answered_early = 0
        if self._reattached_at is not None and number <= self._reattached_at:
            raise PrinterReset(
                f"the printer requests line {number - flight.base}, but it has already answered line "
                f"{self._reattached_at - flight.base}: its board was reset"
            )
        # a board that was reset requests line 1; a damaged `Resend: 123` may read the same
        first_again = number - flight.base == 1 and flight.first_unanswered > MAX_DOUBLED_OKS
        if first_again or not flight.first_in_history <= number <= flight.next:
            self._doubt(number, flight, dialect)
            return
        self.all_accepted_before = number if number == flight.next else 0
        quiet_at = self._answers_due(dialect, now, wire_free)
        if self.rewinding and self._request.target == number:
            self._request.unanswered -= 1
            self._request.early = 0  # so the stray oks answered no lines from `target` on
            self._request.until = min(max(self._request.until, quiet_at), self._request.first_came + MAX_WAIT_S)
        else:
            self._count_request(number, flight, now, wire_free, repeats=dialect.repeat_interval > 0)
            self._rewind(number, flight, now, max(quiet_at, now + self._wait), executes=dialect.ok_at == "execution")
        self.end_rewind_if_answered()

    def _answers_due(self, dialect: Dialect, now: float, wire_free: float) -> float:
        """Return when the last answer to the lines sent so far should have come."""
        round_trip = self.round_trip if self.round_trip < MAX_ROUND_TRIP_S else 0.0
        return max(now, wire_free + MARGIN * round_trip) + dialect.vanish_timeout

    def _doubt(self, number: int, flight: Flight, dialect: Dialect) -> None:
        """Probe before ending the conversation: `Resend: 1` may be a damaged `Resend: 123`."""
        probed = self.phase is Phase.DOUBTING and not self.probe_bytes
        if probed and (number == self._doubted or self._doubts >= MAX_DOUBTS):
            on_wire = number - flight.base
            first, last = flight.first_in_history - flight.base, flight.next_on_wire - 1
            if on_wire == 1:
                raise PrinterReset(f"the printer requests line 1 after line {last}: its board was reset")
            raise ResendOutOfReach(
                f"the printer requests line {on_wire}, but only lines {first} to {last} can be sent again"
            )
        self._doubts += probed or self._doubted is None  # a repeat that crosses with the probe does not count
        self._doubted = number
        self._enter("implausible resend request")
        self._set_probe(flight, dialect)

    def _has_crossed(self, same: bool, now: float, wire_free: float, *, repeats: bool) -> bool:
        """Tell whether a request for the line that was sent again came too soon to answer it.

        If a firmware that repeats its requests (Repetier) refuses the line once more, it reports an error first. A
        request without an error may be a late repeat (repetier-1.0.4-lines.txt).
        """
        refused, self.refused = self.refused, False
        soon = now < wire_free + self.round_trip and self.round_trip < MAX_ROUND_TRIP_S
        return same and (soon or (repeats and not refused))

    def _count_request(self, number: int, flight: Flight, now: float, wire_free: float, *, repeats: bool) -> None:
        """Count how often the line was sent in vain; a request that only repeats the last one does not count.

        Raises:
            ResendLoop: the printer requests the line again and again.
        """
        if number > self._requested:
            self._requested, self._repeats = number, 1
            self._crossings, self._wait = 0, 0.0
        elif flight.replay == number:
            return  # nothing was sent in between: a repeat (every 200 ms in repetier-1.0.4-lines.txt)
        elif self._has_crossed(number == self._requested, now, wire_free, repeats=repeats):
            self._crossings += 1  # it crossed with the line, or answers now take longer
            self._wait = min(max(2 * self._wait, self.round_trip, 0.01), MAX_ROUND_TRIP_S)
        else:
            self._repeats += 1
        if self._repeats >= MAX_REPEATS or self._crossings >= MAX_CROSSED:
            times = self._repeats if self._repeats >= MAX_REPEATS else self._crossings
            raise ResendLoop(f"the printer requested line {number - flight.base} {times} times in a row")

    def _rewind(self, number: int, flight: Flight, now: float, until: float, *, executes: bool) -> None:
        """Take the lines from `number` on out of the flight; those before it were accepted and stay.

        Args:
            number: of the requested line.
            flight: the lines in flight.
            now: the time.
            until: when the lines in flight after the requested one count as vanished.
            executes: lines are answered when they are executed, so the oks of accepted lines may still come.
        """
        self._reattached_at = self._doubted = None
        self._doubts = 0
        previous, end = self._request, max(self._request.end, flight.replay)
        lost = flight.rewind(number)  # each but the first may be refused too (marlin-plain-lines.txt, 12 lines at once)
        again = (
            sum(previous.target <= each < previous.end for each, _, _, _, _ in flight.lines) if previous.early else 0
        )
        self.answered_early = min(previous.early, again)
        self._request = _Request(number, lost - 1, until, now, end)
        if self.probing and len(flight.lines) > self.answered_early and executes and not self._echo_is_unsent(flight):
            self._ask_for_echo()
        self._enter("resend request")

    @property
    def refusals(self) -> int:
        """How often the requested line was sent in vain."""
        return self._repeats if self._request.target == self._requested and self._doubted is None else 0

    def end_rewind_if_answered(self) -> None:
        """End the rewind if every line after the requested one has been answered."""
        if self.rewinding and self._request.unanswered <= 0 and not self.owed_ok:
            self._end_rewind()

    def _end_rewind(self) -> None:
        self._enter("quiet" if self.echo is None else "quiet, answers missing")

    # -- silence -------------------------------------------------------------------------------------------

    @property
    def quiet_at(self) -> float:
        """When the lines after the requested one count as vanished."""
        return self._request.until + (RESEND_OK_TIMEOUT if self.owed_ok else 0.0)

    def on_quiet(self, flight: Flight, dialect: Dialect) -> None:
        """End the rewind: nothing came before `quiet_at`."""
        self.owed_ok = False
        if self._request.early:  # the request had crossed with lines sent again, so the firmware may want a later one
            self._enter("quiet, request crossed")
            self._set_probe(flight, dialect)
        else:
            self._end_rewind()

    def on_stray_ok(self, flight: Flight) -> None:
        """Note an `ok` while no line is in flight."""
        self._request.early += flight.replaying

    def probe(self, flight: Flight, dialect: Dialect) -> None:
        """Probe without waiting for a silence: the firmware says that it is idle, or the link has to be sure."""
        self._enter("probe due")
        self._set_probe(flight, dialect)

    def on_sign_of_life(self) -> None:
        """Note a sign of life."""
        self._probes = 0
        self._probed_at = -1.0

    def on_silence(self, oldest: str, since: float, now: float, flight: Flight, dialect: Dialect) -> None:
        """Probe after a silence.

        Args:
            oldest: the oldest command in flight, for the error message; empty: no line is in flight.
            since: when the silence began: at the last sign of life, or with the last probe.
            now: the time.
            flight: the lines in flight.
            dialect: of the firmware; without line numbers it cannot be probed.

        Raises:
            PrinterSilent: MAX_PROBES probes had no answer, or a printer that cannot be probed was silent for as long as
                that takes.
        """
        self._probes = self._probes + 1 if since == self._probed_at else 1
        self._probed_at = now
        if self._probes > MAX_PROBES:
            if not oldest:
                raise PrinterSilent("no answer to any of the probes")
            rest = f"nor to {MAX_PROBES} probes" if dialect.counts_lines else "and no other sign of life"
            raise PrinterSilent(f"no answer to {oldest!r}, {rest}")
        if dialect.counts_lines:
            self._enter("silence")
            self._set_probe(flight, dialect)

    def _set_probe(self, flight: Flight, dialect: Dialect) -> None:
        """Set a probe to be sent; its line feed ends any noise in the firmware's buffer.

        Recorded under "impossible number" in *-lines.txt: Marlin and Prusa-Firmware refuse the probe and request the
        next line at once. Repetier says `skip` and requests it 1.3 s later. Smoothieware answers the empty line with an
        `ok` (GcodeDispatch.cpp).
        """
        self.probe_bytes = b"\n" + frame(dialect.impossible_number(flight.next_on_wire - 1), b"M105")
        self.foreign_ok = dialect.answers_blank

    def on_probe_executed(self, flight: Flight, dialect: Dialect) -> None:
        """Note that the firmware has executed the probe as a command, because it executes lines in any order.

        RepRapFirmware does: its StringParser.cpp checks the checksum of a line, not the order of numbers.
        """
        self.all_accepted_before = flight.next
        if not dialect.enforces_order:  # otherwise this was a late answer to an M105, and a request is still to come
            self._reattached_at = None
        self._enter("probe executed")

    # -- echoes --------------------------------------------------------------------------------------------

    def _ask_for_echo(self) -> None:
        """Set an M118 to be sent after lines that were accepted but have no `ok`, which may be lost or still to come.

        A firmware that does not know M118 quotes it in an error, which serves as well.
        """
        self._echoes += 1
        self.echo = Ticket(b"M118 nozzled sync %d" % self._echoes)
        self.echo_due = True

    def make_one_word_echo(self) -> Ticket:
        """Return an M118 of a single word: Repetier, which acknowledges on receipt, echoes only the first word."""
        self._echoes += 1
        return Ticket(b"M118 nozzled-%d" % self._echoes)

    def _echo_is_unsent(self, flight: Flight) -> bool:
        """Tell whether an M118 has yet to be sent. One in flight does not help: it precedes lines without an answer."""
        return self.echo is not None and all(ticket is not self.echo for _, _, _, _, ticket in flight.lines)

    def is_echo(self, line: str) -> bool:
        """Tell whether this line is the awaited echo."""
        return self.echo is not None and self.echo.command[5:].decode() in line

    def count_unanswered(self, lines: deque[Sent]) -> int:
        """Return how many lines before the M118 have no answer; once its echo has come, these answers are lost."""
        return next((at for at, (_, _, _, _, ticket) in enumerate(lines) if ticket is self.echo), len(lines))

    def end_echo(self) -> None:
        """Stop awaiting an echo: it has come, it is not needed any more, or it is not sent any more."""
        self.echo = None
        self.echo_due = False
        self._enter("echo")
