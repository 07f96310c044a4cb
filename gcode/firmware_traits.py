"""What may differ from firmware to firmware: the fields of a dialect, each a fact that link, driver or job act upon."""

from dataclasses import field
from typing import Literal

from gcode.frozen import frozen

FIXED_FRAME = 6
"""Bytes of a numbered line besides its command and the digits of its number: `N`, a blank, `*` and three digits."""

EMode = Literal["last", "either", "own"]
"""When coordinates of E are relative. `last`: as the last of G90, G91, M82 and M83 says; `either`: if G91 or M83 holds;
`own`: if M83 holds."""

NO_LIMIT = 16 * 1024
"""Bytes of a command where the firmware has no limit that matters: longer ones are no G-code."""

IMPOSSIBLE = 99_999_999
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
        modulo: it compares numbers modulo this; None: whole numbers.
        repeats: how many numbers below the one that it expects count as repeats, which it acknowledges and does not
            execute.
    """

    highest: int = 2**31 - 2
    modulo: int | None = None
    repeats: int = 0


@frozen
class Errors:
    """What a firmware says when something is wrong, as pieces of lines in lower case.

    Attributes:
        halts: in an error: it carries out no further command.
        halts_said: the same, in any line.
        bare: a line `!!` alone means the same.
        harmless: in an error after which it goes on by itself.
        refused_said: in any line: it did not do what it was told, though it does not call this an error.
        warns: in any line: something that the user should know, though nothing was refused.
        revived_by: the command after which it obeys again; None: only a reset helps.
        says_ok: while halted it still says `ok` to each command, and executes none.
        asked_by: the command that it answers with the reason of a halt, if it halts without giving one.
        refuses: a command without effect that it answers with an error while it is halted, although it answers M115
            even then; None: there is no need to try.
    """

    halts: tuple[str, ...] = ()
    halts_said: tuple[str, ...] = ()
    bare: bool = False
    harmless: tuple[str, ...] = ()
    refused_said: tuple[str, ...] = ()
    warns: tuple[str, ...] = WARNINGS
    revived_by: bytes | None = None
    says_ok: bool = False
    asked_by: bytes | None = None
    refuses: bytes | None = None

    @property
    def remedy(self) -> str:
        """What to add to the reason of a halt, if the firmware may still be halted when it is connected to."""
        if self.revived_by is None or self.refuses is None:
            return ""
        return f"; to go on, send {self.revived_by.decode()} or connect again"


@frozen
class Texts:
    """What a text for the display or the host (M117, M118) must not hold, as the firmware would misread its line.

    Attributes:
        breaks: characters that end a line or its text, wherever they stand.
        commands: letters that begin a command wherever they stand, also in a text; small ones do not.
        dropped: no text may be sent: letters begin a command in it, whatever their case.
    """

    breaks: str = ""
    commands: str = ""
    dropped: bool = False


@frozen
class HeatTraits:
    """How a firmware heats, and how it waits for heat.

    Attributes:
        min_extrude: °C below which nothing is extruded, by default; None: there is no limit.
        by_r: M109 and M190 know R, with which they wait for cooling too.
        by_s_cools: with S they wait for cooling too, as with R.
        cooling_gives_up: a wait for cooling ends if the heater cools by less than so many °C in so many seconds; None:
            it does not end so.
        gives_up: seconds after which a wait ends although the target is not reached; None: it does not, or it halts.
        residency: seconds that a heater has to stay near its target before a wait ends, by default.
    """

    min_extrude: float | None = 170.0
    by_r: bool = True
    by_s_cools: bool = False
    cooling_gives_up: tuple[float, float] | None = None
    gives_up: float | None = None
    residency: float = 10.0


@frozen
class IdleTraits:
    """What it does by itself when nothing moves for long.

    Attributes:
        safety_timer: seconds without a move after which heaters go off, by default; None: they do not.
        awake_by: the command that restarts that timer, changes nothing else, and is answered by the time in seconds;
            None: there is none, or none is needed, as the timer does not lose the position.
        unhomed: what it says, in lower case, to a move while it does not know where the head is; None: it moves.
        set_by: the command that sets such a timer, in seconds as S; None: there is none.
        keeps_motors: the command by which motors stay on for half a day without a move, so that a pause keeps its
            position; None: there is none, or none is needed.
    """

    safety_timer: float | None = None
    awake_by: bytes | None = None
    unhomed: str | None = None
    set_by: bytes | None = b"M85"
    keeps_motors: bytes | None = None


@frozen
class Dialect:
    """How one firmware wants to be spoken to.

    Attributes:
        name: for the user.
        numbered: lines carry a number and a checksum, and the firmware checks them; so a probe with an impossible
            number makes it say which line it wants.
        enforces_order: it executes numbered lines in the order of their numbers only; if not, it executes a probe like
            any other line.
        window_lines: lines that may be in flight.
        window_bytes: bytes that may be in flight; one line alone may always go.
        max_line: bytes of a line that the firmware reads, with number and checksum; the rest is cut silently. None:
            it has no limit that matters.
        learns: the size of the command queue that ADVANCED_OK tells overrides `window_lines`.
        ok_after_resend: a request to resend is followed by an `ok` of its own.
        answer_timeout: seconds without any byte before the link asks whether anyone is there.
        long_commands: first words, in upper case, of further commands that may take minutes (see `gcode.patience`).
        settle: seconds of silence after which lines behind a bad one count as vanished.
        ok_at: when a line gets its `ok`: when it has been executed (a move: when it is in the planner), or at its
            receipt, so that the answer to a command comes behind its `ok`.
        e_mode: which of G90, G91, M82 and M83 make E relative.
        moves_ok_at: when a move (G0 to G3) gets its `ok`; if that differs from `ok_at`, oks of moves overtake others.
        answers_blank: an empty line gets an `ok`.
        alone: code words of commands that are answered twice where another line stands behind them: nothing is sent
            behind them until they are answered.
        repeats_request: seconds after which it asks for the same line again by itself; 0: it does not.
        at_rest: the commands that wait for the last move; the last of them asks for the position.
        at_rest_by: what shows that every move has been made: the answer to the last of these commands; or the same
            answer twice, some time apart, if nothing is known of the firmware.
        counting: how it counts lines.
        texts: what a text must not hold.
        errors: what it says when something is wrong.
        heat: how it heats, and how it waits for heat.
        idle: what it does by itself when nothing moves for long.
        stopped_by: pieces of lines, in lower case, that confirm an emergency stop; so does a board that boots.
        silent_stop: an emergency stop is not answered at all.
        urgent: code words of commands that it executes as they arrive, whatever it is doing.
        urgent_if_parser: further ones, if M115 reports EMERGENCY_PARSER.
        resumes_by: the command that ends a pause which the firmware began itself, and restores heat and place.
        continues_by: commands that end a wait for the user, the best first.
        compact: letters of a move that keep the blank before them where all others are left out
            (`gcode/compact.py`); None: lines stay as they are, as nobody has tried it.
        packing: how it says that it unpacks lines (MeatPack): `told`: by a capability that M115 reports; `asked`: only
            when its decoder gets an order, which a firmware without one ignores; None: nobody has tried.
        unknown: code words that slicers use and that it does not know.
        macros: its configuration may define these code words as macros all the same.
    """

    name: str = "unknown"
    numbered: bool = True
    enforces_order: bool = True
    window_lines: int = 1
    window_bytes: int = 127
    max_line: int | None = 95
    learns: bool = True
    ok_after_resend: bool = True
    answer_timeout: float = 30.0
    long_commands: frozenset[bytes] = frozenset()
    settle: float = 0.01
    ok_at: Literal["execution", "receipt"] = "execution"
    e_mode: EMode = "either"
    moves_ok_at: Literal["execution", "receipt"] = "execution"
    answers_blank: bool = False
    alone: frozenset[str] = frozenset()
    repeats_request: float = 0.0
    at_rest: tuple[bytes, ...] = (b"M400", b"M114")
    at_rest_by: Literal["position", "same position"] = "position"
    counting: Counting = field(default_factory=Counting)
    texts: Texts = field(default_factory=Texts)
    errors: Errors = field(default_factory=Errors)
    heat: HeatTraits = field(default_factory=HeatTraits)
    idle: IdleTraits = field(default_factory=IdleTraits)
    stopped_by: tuple[str, ...] = ()
    silent_stop: bool = False
    urgent: frozenset[str] = frozenset()
    urgent_if_parser: frozenset[str] = frozenset()
    resumes_by: bytes | None = None
    continues_by: tuple[bytes, ...] = (b"M108",)
    compact: str | None = None
    packing: Literal["told", "asked"] | None = None
    unknown: frozenset[str] = frozenset()
    macros: bool = False

    @property
    def longest_command(self) -> int:
        """Bytes of a command that fit a line, up to line 999,999."""
        return self.room(999_999)

    def room(self, number: int) -> int:
        """Return the bytes of a command that fit the line with this number."""
        if self.max_line is None:
            return NO_LIMIT
        return self.max_line - (FIXED_FRAME + len(str(number)) if self.numbered else 0)

    def impossible_number(self, last: int) -> int:
        """Return a number that cannot be the line behind the last one, nor a repeat of one before it."""
        # counted modulo 65536, any fixed number is the next one some day, and is executed then:
        # repetier-1.0.4-odd.txt shows both
        modulo = self.counting.modulo
        return IMPOSSIBLE if modulo is None else last + modulo // 2
