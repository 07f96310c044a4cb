"""What may differ from firmware to firmware: the fields of a dialect.

Link, driver and job act on most of them; the others are for the tables of docs/firmware.md and for the tests.
"""

from dataclasses import field
from typing import Literal

from gcode.frozen import frozen

FIXED_FRAME = 6
"""Bytes of a numbered line without its command and its number: `N`, a blank, `*` and three digits."""

EMode = Literal["last", "either", "own"]
"""When coordinates of E are relative. `last`: by the last of G90, G91, M82 and M83; `either`: if G91 or M83 is active;
`own`: if M83 is active."""

NO_LIMIT = 16 * 1024
"""Bytes of a command if the firmware has no limit that matters; nothing longer is G-code."""

IMPOSSIBLE_NUMBER = 99_999_999
"""A line number that no print reaches."""

WARNINGS = (
    "extrusion prevented", "invalid extruder", "hotend too cold", "lower than expected", "filament slipping",
    "filament detector has detected", "warning:",
)  # fmt: skip
"""Pieces of warnings of Marlin, Prusa-Firmware, Repetier, Smoothieware and RepRapFirmware, in lower case."""


@frozen
class Counting:
    """How a firmware counts lines.

    Attributes:
        highest: the highest number that it can tell from the next one.
        modulo: it compares numbers modulo this; None: it compares whole numbers.
        repeats: how many numbers below the expected one count as repeats, which it acknowledges without executing.
    """

    highest: int = 2**31 - 2
    modulo: int | None = None
    repeats: int = 0


@frozen
class Errors:
    """How a firmware reports that something is wrong. Texts are parts of lines, in lower case.

    Attributes:
        halt_errors: texts of errors after which it executes no command.
        halt_lines: texts of any line with the same meaning.
        bangs_halt: a line `!!` alone has the same meaning.
        harmless_errors: texts of errors after which it continues by itself.
        refusal_lines: texts of lines that are no errors, though the command was not executed.
        warning_lines: texts of lines that the user should see, though nothing was refused.
        revival: the command after which a halted firmware obeys again; None: only a reset helps.
        acknowledges_halted: while halted it still says `ok` to each command, and executes none.
        reason_query: a command that it answers with the reason of a halt, if it halts without giving one.
        halt_test: a command without effect that it answers with an error while halted, although it still answers M115;
            None: the answer to M115 already shows whether it is halted.
    """

    halt_errors: tuple[str, ...] = ()
    halt_lines: tuple[str, ...] = ()
    bangs_halt: bool = False
    harmless_errors: tuple[str, ...] = ()
    refusal_lines: tuple[str, ...] = ()
    warning_lines: tuple[str, ...] = WARNINGS
    revival: bytes | None = None
    acknowledges_halted: bool = False
    reason_query: bytes | None = None
    halt_test: bytes | None = None

    @property
    def remedy(self) -> str:
        """Advice to add to the reason of a halt; empty unless the firmware stays halted when the host reconnects."""
        if self.revival is None or self.halt_test is None:
            return ""
        return f"; send {self.revival.decode()} or connect again"


@frozen
class Texts:
    """What a text for the display or the host (M117, M118) must not contain: the firmware would misread it.

    Attributes:
        end_characters: characters that end a line or its text.
        command_letters: upper-case letters that begin a command even within a text.
        all_left_out: no text may be sent: letters of either case begin a command in it.
    """

    end_characters: str = ""
    command_letters: str = ""
    all_left_out: bool = False


@frozen
class HeatTraits:
    """How a firmware heats, and how it waits for heat.

    Attributes:
        min_extrude: °C below which it extrudes nothing, by default; None: no limit.
        reads_r: M109 and M190 know R, with which they wait for cooling too.
        s_waits_for_cooling: with S they wait for cooling too.
        cooling_stall: (°C, s): a wait for cooling ends if the heater cools by less than this many °C in this many s;
            None: it lasts until the target is reached.
        residency: seconds that a heater has to stay near its target before a wait ends, by default.
    """

    min_extrude: float | None = 170.0
    reads_r: bool = True
    s_waits_for_cooling: bool = False
    cooling_stall: tuple[float, float] | None = None
    residency: float = 10.0


@frozen
class IdleTraits:
    """What a firmware does by itself after a long time without a move.

    Attributes:
        safety_timer: seconds without a move after which it turns heaters off, by default; None: it does not.
        awake_command: a command that restarts that timer, changes nothing else, and is answered with the time in
            seconds; None: there is none, or none is needed because the timer does not lose the position.
        unhomed_reply: its reply, in lower case, to a move while the position is unknown; None: it moves.
        timer_command: the command that sets such a timer, in seconds as S; None: there is none.
        motors_on_command: a command that keeps the motors on for half a day without a move, so that a pause does not
            lose the position; None: there is none, or none is needed.
    """

    safety_timer: float | None = None
    awake_command: bytes | None = None
    unhomed_reply: str | None = None
    timer_command: bytes | None = b"M85"
    motors_on_command: bytes | None = None


@frozen
class Dialect:
    """The protocol of one kind of firmware.

    Attributes:
        name: for the user.
        counts_lines: it checks line numbers and checksums, so a probe with an impossible number makes it name the line
            that it wants.
        enforces_order: it executes numbered lines only in order; otherwise it executes a probe like any other line.
        window_lines: lines that may be in flight.
        window_bytes: bytes that may be in flight; a single line may always go.
        max_line: bytes of a line that it reads, with number and checksum; it silently drops the rest. None: no limit
            that matters.
        learns_window: the size of the command queue, as reported by ADVANCED_OK, overrides `window_lines`.
        ok_after_resend: a resend request is followed by an `ok` of its own.
        answer_timeout: seconds without a sign of life before the link probes.
        long_commands: first words, in upper case, of further commands that may take minutes (see `gcode.patience`).
        vanish_timeout: seconds of silence until the lines behind a bad one count as vanished.
        ok_at: when a line gets its `ok`: on execution (a move: once it is in the planner), or on receipt, so that the
            answer to a command follows its `ok`.
        e_mode: which of G90, G91, M82 and M83 make E relative.
        moves_ok_at: when a move (G0 to G3) gets its `ok`; if that differs from `ok_at`, oks of moves overtake others.
        answers_blank: an empty line gets an `ok`.
        lone_words: code words of commands that are answered twice if another line follows them: nothing is sent after
            them until they are answered.
        repeat_interval: seconds after which it repeats a resend request; 0: it does not.
        rest_commands: commands that wait for the last move; the last of them queries the position.
        rest_sign: the sign that every move has been made: `position`, the answer to the last of these commands; or
            `same position`, the same answer twice, some time apart, if the firmware is unknown.
        counting: how it counts lines.
        texts: what a text must not contain.
        errors: how it reports that something is wrong.
        heat: how it heats, and how it waits for heat.
        idle: what it does by itself after a long time without a move.
        stop_confirmations: parts of lines, in lower case, that confirm an emergency stop; a boot confirms it too.
        silent_stop: it does not answer an emergency stop.
        urgent_words: code words of commands that it executes on arrival, whatever it is doing.
        urgent_if_parser: further such commands if M115 reports EMERGENCY_PARSER.
        resume_command: the command that ends a pause of the firmware's own, and restores heat and position.
        continue_commands: commands that end a wait for the user, the best first.
        compact: letters of a move that keep the blank before them when all other blanks are left out
            (`gcode/compact.py`); None: lines stay as they are, as compact ones are untried.
        packing: how it shows that it unpacks lines (MeatPack): `reported`: by a capability in M115; `unreported`: only
            by answering an order to its decoder, which a firmware without one ignores; None: untried.
        unknown_words: code words that slicers write and this firmware does not know.
        may_have_macros: its configuration may define some of `unknown_words` as macros.
        planner: by whose rules it takes corners (gcode/planner.py).
    """

    name: str = "unknown"
    counts_lines: bool = True
    enforces_order: bool = True
    window_lines: int = 1
    window_bytes: int = 127
    max_line: int | None = 95
    learns_window: bool = True
    ok_after_resend: bool = True
    answer_timeout: float = 30.0
    long_commands: frozenset[bytes] = frozenset()
    vanish_timeout: float = 0.01
    ok_at: Literal["execution", "receipt"] = "execution"
    e_mode: EMode = "either"
    moves_ok_at: Literal["execution", "receipt"] = "execution"
    answers_blank: bool = False
    lone_words: frozenset[str] = frozenset()
    repeat_interval: float = 0.0
    rest_commands: tuple[bytes, ...] = (b"M400", b"M114")
    rest_sign: Literal["position", "same position"] = "position"
    counting: Counting = field(default_factory=Counting)
    texts: Texts = field(default_factory=Texts)
    errors: Errors = field(default_factory=Errors)
    heat: HeatTraits = field(default_factory=HeatTraits)
    idle: IdleTraits = field(default_factory=IdleTraits)
    stop_confirmations: tuple[str, ...] = ()
    silent_stop: bool = False
    urgent_words: frozenset[str] = frozenset()
    urgent_if_parser: frozenset[str] = frozenset()
    resume_command: bytes | None = None
    continue_commands: tuple[bytes, ...] = (b"M108",)
    compact: str | None = None
    packing: Literal["reported", "unreported"] | None = None
    unknown_words: frozenset[str] = frozenset()
    may_have_macros: bool = False
    planner: Literal["marlin", "klipper"] = "marlin"

    @property
    def longest_command(self) -> int:
        """Bytes of a command that fit into a line, up to line 999,999."""
        return self.room(999_999)

    def room(self, number: int) -> int:
        """Return the bytes of a command that fit into the line with this number."""
        if self.max_line is None:
            return NO_LIMIT
        return self.max_line - (FIXED_FRAME + len(str(number)) if self.counts_lines else 0)

    def impossible_number(self, last: int) -> int:
        """Return a number that belongs neither to the line after line `last` nor to a repeat."""
        # counted modulo 65536, any fixed number is the next one some day, and is executed then: see
        # repetier-1.0.4-odd.txt
        modulo = self.counting.modulo
        return IMPOSSIBLE_NUMBER if modulo is None else last + modulo // 2
