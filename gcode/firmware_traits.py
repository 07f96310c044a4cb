"""What may differ from firmware to firmware: the fields of a dialect, each a fact that link, driver or job act upon."""

from dataclasses import field
from typing import Literal

from gcode.frozen import frozen

FIXED_FRAME = 6
"""Bytes of a numbered line besides its command and the digits of its number: `N`, a blank, `*` and three digits."""

EMode = Literal["last", "either", "own"]
"""When coordinates of E are relative: as the last of G90, G91, M82 and M83 says; where G91 or M83 holds; by M82 and M83
alone."""

NO_LIMIT = 16 * 1024
"""Bytes of a command where the firmware has no limit that matters: longer ones are no G-code."""

IMPOSSIBLE = 99_999_999
"""A line number that no print reaches."""

WARNINGS = (
    "extrusion prevented", "invalid extruder", "hotend too cold", "lower than expected", "filament slipping",
    "filament detector has detected", "warning:",
)  # fmt: skip
"""Marlin's and Prusa's, Prusa's fans, Repetier, Smoothieware; the last is RepRapFirmware's and Repetier's."""


@frozen
class Counting:
    """How a firmware counts lines.

    Attributes:
        highest: the last number whose follower it still tells from it.
        modulo: it compares what is left of the numbers by this; None: all of them.
        repeats: numbers behind the last one that count as lines it has already; they are acknowledged, not executed.
    """

    highest: int = 2**31 - 2
    modulo: int | None = None
    repeats: int = 0


@frozen
class Errors:
    """What a firmware says when something is wrong, as pieces of lines in lower case.

    Attributes:
        halts: in an error: it carries out no further command.
        halts_said: the same, in any line at all.
        bare: `!!` alone means the same.
        harmless: in an error after which it goes on by itself.
        refused_said: in any line: what it was told was left out, though this is not called an error.
        warns: in any line: something that the user should know, though nothing is refused by it.
        revived_by: the command after which it obeys again; None: only a reset helps.
        says_ok: while halted it still says `ok` to what it is sent, and does nothing.
        asked_by: the command that it answers with the reason, where it halts without one.
        refuses: a command without effect that it answers with an error while it is halted, though it tells who it is;
            None: there is no need to try.
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
        """What is to be told behind the reason of a halt, where the firmware stays halted when it is connected to."""
        if self.revived_by is None or self.refuses is None:
            return ""
        return f"; to go on, send {self.revived_by.decode()} or connect again"


@frozen
class Texts:
    """What a text for the display or the host (M117, M118) must not hold, or its line is not read as it is meant.

    Attributes:
        breaks: characters that end a line or its text, wherever they stand.
        commands: letters that begin a command wherever they stand, also in a text; small ones do not.
        dropped: texts are read for commands whatever the case of their letters: none may be sent.
    """

    breaks: str = ""
    commands: str = ""
    dropped: bool = False


@frozen
class HeatTraits:
    """How it heats, and waits for it.

    Attributes:
        min_extrude: °C below which nothing is extruded, by default; None: there is no limit.
        by_r: M109 and M190 know R, and wait for cooling then.
        by_s_cools: S waits for cooling as R does.
        cooling_gives_up: a wait for cooling ends when it falls by less than so many °C in so many seconds; None: never.
        gives_up: seconds after which a wait for heat ends although it is not reached; None: never, or halted.
        residency: seconds near the target that end a wait for heat, by default.
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
        awake_by: the command that begins that time anew, changes nothing, and is answered by the time in seconds; None:
            there is none, or none is needed, as the place is not lost by it.
        unhomed: what it says, in lower case, to a move while it does not know where the head is; None: it moves.
        set_by: the command that sets such a timer, in seconds as S; None: there is none.
        keeps_motors: the command by which motors stay on for half a day without a move, so that a pause keeps its
            place; None: there is none, or none is needed.
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
        numbered: lines carry a number and a checksum, and the firmware enforces both; so asking it with an
            impossible number tells where it is.
        enforces_order: numbered lines are carried out in the order of their numbers only; where they are not, a
            probe with an impossible number is carried out like any other line.
        window_lines: lines that may be in flight.
        window_bytes: bytes that may be in flight; one line alone may always go.
        max_line: bytes of a line that the firmware reads, with number and checksum; the rest is cut silently. None:
            it has no limit that matters.
        learns: what ADVANCED_OK tells of the command queue goes before `window_lines`.
        ok_after_resend: a request to resend is followed by an `ok` of its own.
        answer_timeout: seconds without any byte before the link asks whether anyone is there.
        long_commands: first words, in upper case, of commands that may take minutes besides those that are known to.
        settle: seconds of silence after which lines behind a bad one count as vanished.
        ok_at: when a line gets its `ok`: when it has been carried out (a move: when it is in the planner), or at its
            receipt, so that what it has to say comes behind its `ok`.
        e_mode: which of G90, G91, M82 and M83 make E relative.
        moves_ok_at: the same for moves (G0 to G3), where they differ: their oks overtake those of other lines.
        answers_blank: an empty line gets an `ok`.
        alone: code words of commands that are answered twice where another line stands behind them: nothing is sent
            behind them until they are answered.
        repeats_request: seconds after which it asks for the same line again by itself; 0: it does not.
        at_rest: commands; when the last of them, which asks for the position, is answered, every move has been made.
        at_rest_by: what that answer is: the position, whatever `ok`s have come; or the same position twice, some time
            apart, as nothing is known.
        counting: how it counts lines.
        texts: what a text must not hold.
        errors: what it says when something is wrong.
        heat: how it heats.
        idle: what it does by itself when nothing moves for long.
        stopped_by: pieces of lines, in lower case, that confirm an emergency stop; so does a board that boots.
        silent_stop: an emergency stop is not answered at all.
        urgent: code words that are acted upon as they arrive, whatever goes on.
        urgent_if_parser: further ones if M115 tells EMERGENCY_PARSER.
        resumes_by: the command that ends a pause which the firmware began itself, and restores heat and place.
        continues_by: commands that end a wait for the user, the best first.
        compact: letters of a move that keep the blank before them where all others are left out
            (`gcode/compact.py`); None: lines stay as they are, as nobody has tried it.
        packing: how it says that it unpacks lines (MeatPack): among the capabilities that M115 tells, or only when its
            decoder is given an order, which is passed over where there is none; None: nobody has tried.
        unknown: code words of slicers that it does not know.
        macros: they may be there all the same, as macros of its configuration.
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
        # modulo 65536, a fixed number is the next one some day, and is executed: repetier-1.0.4-odd.txt shows both
        modulo = self.counting.modulo
        return IMPOSSIBLE if modulo is None else last + modulo // 2
