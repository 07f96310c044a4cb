"""How a firmware speaks where others speak otherwise, as data: the defaults are Marlin's."""

import math
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Literal

from gcode.frozen import frozen

Numbers = Literal["enforced", "checked", "ignored", "modulo"]
"""Line numbers must follow each other; only the checksum counts; neither is looked at; as Repetier counts."""

Acknowledged = Literal["executed", "received"]
"""When the ok of a line is said: once its command has been executed, or as soon as it is in the queue."""


@frozen
class Halt:
    """A firmware that has stopped the machine and goes on to answer.

    Attributes:
        said: when it stops; takes `text`, what has gone wrong.
        answer: what a command gets from then on; takes `text`.
        ok: an ok comes behind it.
        hits: commands that get it; empty: all but those that work.
        works: commands that work all the same.
        by_m112: M112 does this, said as `text`; empty: it halts for good.
        by_error: so do its own errors.
        reads: lines are taken; else they are lost, and their numbers do not count.
    """

    said: tuple[str, ...]
    answer: tuple[str, ...]
    ok: bool = True
    hits: frozenset[str] = frozenset()
    works: frozenset[str] = frozenset()
    by_m112: str = ""
    by_error: bool = False
    reads: bool = True

    def stops(self, code: str) -> bool:
        """Tell whether a command is answered instead of executed."""
        return code in self.hits if self.hits else code not in self.works


_STOPPED = (
    "Printer stopped due to errors. Fix the error and use M999 to restart. "
    "(Temperature is reset. Set it after restarting)"
)
MARLIN_STOPPED = Halt(("{text}", f"Error:{_STOPPED}"), (_STOPPED,), hits=frozenset({"G0", "G1", "G2", "G3", "G5"}))
"""Marlin's stop(): only moves are refused, and all lines get their ok; M999 clears it."""


@frozen
class BootSpeech:
    """What it says when it boots, and who it is.

    Attributes:
        banner: said at boot; None: Marlin's, with its settings.
        late_banner: the rest of it: seconds after the banner, and the line; until the last one nothing is read.
        restarted: said instead after `restart`.
        identity: the answer to M115; None: Marlin's, with what the options make of it.
        identity_on_ok: that answer stands on the line of the `ok`.
    """

    banner: tuple[str, ...] | None = None
    late_banner: tuple[tuple[float, str], ...] = ()
    restarted: tuple[str, ...] = ()
    identity: tuple[str, ...] | None = None
    identity_on_ok: bool = False


@frozen
class LineRules:
    """How it reads lines, and what it says of one that is wrong.

    Attributes:
        numbers: what is done about line numbers and checksums.
        refusal: asks for a line again; takes `reason`, `last`, `next` and `checksum`, the one that would be right.
        reasons: what `reason` is, where it is not as Marlin says it; takes `next` and `number`; may be many lines.
        request: as `refusal` where nothing is wrong with a line; empty: the last two of it.
        asks_after: s of silence after which it asks again, for a line that it waits for or that has not ended;
            infinite: never.
        drops_after: s after which it forgets a line that has not ended, and says `RX timeout`.
        bare_checksum: a checksum without a line number is refused.
        skipped: the answer to a number that was there before; empty: it is refused as any other wrong one.
        flushes: what waits in the receive buffer is lost when a line is refused.
        answers_blank: an empty line, and one of nothing but a comment, gets its `ok`.
        cr_ends_line: so that CR LF ends two lines.
        seven_bits: characters above 127 are passed over.
        escapes: a backslash is taken out of a line before its checksum is looked at.
        lenient: text in parentheses is a comment, bytes that are no text are passed over.
        any_case: `m105` is M105.
        max_line: bytes of a line that are read; the rest is cut silently.
        splits_long: a line that is longer ends there, and its rest is another one.
        ends_line: bytes besides CR and LF that end a line.
        number_anywhere: the first N in a line is its number, wherever it stands.
        first_star: the first `*` of a line begins the checksum, not the last one.
    """

    numbers: Numbers = "enforced"
    refusal: tuple[str, ...] = ("Error:{reason}, Last Line: {last}", "Resend: {next}", "ok")
    reasons: Mapping[str, str] = field(default_factory=dict)
    request: tuple[str, ...] = ()
    asks_after: float = math.inf
    drops_after: float = math.inf
    bare_checksum: bool = False
    skipped: str = ""
    flushes: bool = True
    answers_blank: bool = False
    cr_ends_line: bool = True
    seven_bits: bool = False
    escapes: bool = True
    lenient: bool = False
    any_case: bool = False
    max_line: int = 95  # MAX_CMD_SIZE 96, less the NUL at its end
    splits_long: bool = False
    ends_line: bytes = b""
    number_anywhere: bool = False
    first_star: bool = False


@frozen
class ReportSpeech:
    """How it tells temperatures and positions, and what it waits for.

    Attributes:
        temperatures: a report; takes `t`, `t_target`, `t_power` and the same of `b`. Empty: Marlin's.
        temperatures_on_ok: M105 is answered on the line of the `ok`.
        residency: s for which a reading has to stay near the target until a wait for it ends.
        waits_for_cooling: so does a wait by S.
        min_extrude: °C below which nothing is extruded.
        waiting: a line of a wait for heat; takes `report`, `left`, the seconds, and what `temperatures` takes.
        position: the answer to M114; takes `x` `y` `z` `e`, `steps_x` `steps_y` `steps_z`, and `f` in mm/min.
        homed: a G28 tells the position.
        endstops: the answer to M119; takes `x` `y` `z`.
        endstop_words: for one that is open, and one that is not.
        cold: said where nothing is extruded because the hotend is cold.
    """

    temperatures: str = ""
    temperatures_on_ok: bool = True
    residency: float = 10.0  # TEMP_RESIDENCY_TIME
    waits_for_cooling: bool = False
    min_extrude: float = 170.0  # EXTRUDE_MINTEMP
    waiting: str = "{report} W:{left}"
    position: str = "X:{x:.2f} Y:{y:.2f} Z:{z:.2f} E:{e:.2f} Count X:{steps_x} Y:{steps_y} Z:{steps_z}"
    homed: bool = True
    endstops: tuple[str, ...] = ("Reporting endstop status", "x_min: {x}", "y_min: {y}", "z_min: {z}")
    endstop_words: tuple[str, str] = ("open", "TRIGGERED")
    cold: tuple[str, ...] = ("echo: cold extrusion prevented",)


@frozen
class StopSpeech:
    """How it stops, and what it says then.

    Attributes:
        stopped: said when M112 halts it.
        killed: said when anything else does.
        reboots_after: s after which it boots by itself when it has halted; infinite: never.
        m112_reboots: M112 boots it at once instead.
        halt: how it is when it has stopped but goes on to answer.
    """

    stopped: tuple[str, ...] = ("echo:M112 Shutdown", "Error:Printer halted. kill() called!")
    killed: tuple[str, ...] = ("Error:Printer halted. kill() called!",)
    reboots_after: float = math.inf
    m112_reboots: bool = False
    halt: Halt = field(default_factory=lambda: MARLIN_STOPPED)


@frozen
class Speech:
    """What one firmware says. Templates are for `str.format`; an empty one says nothing.

    Attributes:
        boot: what it says when it boots.
        lines: how it reads them.
        reports: how it tells temperatures and positions.
        stop: how it stops.
        ok: takes `number`, which is empty for a line without one, `number_or_0`, and `last`, the one seen last.
        ok_with_data: what `temperatures` are behind where they stand on the line of the `ok`; takes `number_or_0`.
        ok_when: when it is said.
        early_moves: G0 to G3 get theirs when they are in the queue, and any G in a line makes it one of them.
        ok_again: commands that get an `ok` more where another line waits behind them.
        line_end: of what it says.
        unknown: takes `text`, `word` in capitals, `letter`, `code` and `byte`, the code's lowest eight bits, and
            `plain`, as Repetier repeats a command.
        unknown_codes: the same for commands with one letter, where it differs.
        known_letters: only commands with these letters are worth the answer `unknown`.
        lacks: commands that it does not know.
        commands: those that it does otherwise, or has besides.
        action: how it tells the host to do something; takes `text`.
        actions: words that it has for that; empty: all of Marlin's.
        pause: how it pauses a print by itself; None: it asks the host to.
        status: said when the text on its display has changed.
        busy: a sign of life during a long command; takes `reason`.
        idle_wait: `wait` is said each so many seconds while there is nothing to do; 0: never.
        idle_timeout: s without a move after which heaters and motors are turned off; 0: never.
        dtr_resets: opening the port, or a pulse of DTR, resets it.
    """

    boot: BootSpeech = field(default_factory=BootSpeech)
    lines: LineRules = field(default_factory=LineRules)
    reports: ReportSpeech = field(default_factory=ReportSpeech)
    stop: StopSpeech = field(default_factory=StopSpeech)
    ok: str = "ok"
    ok_with_data: str = "ok"
    ok_when: Acknowledged = "executed"
    early_moves: bool = False
    ok_again: frozenset[str] = frozenset()
    line_end: str = "\n"
    unknown: str = 'echo:Unknown command: "{text}"'
    unknown_codes: Mapping[str, str] = field(default_factory=dict)
    known_letters: str = ""
    lacks: frozenset[str] = frozenset()
    commands: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    action: str = "//action:{text}"
    actions: frozenset[str] = frozenset()
    pause: Callable[..., Any] | None = None
    status: str = ""
    busy: str = "echo:busy: {reason}"
    idle_wait: float = 0.0
    idle_timeout: float = 0.0
    dtr_resets: bool = True
