"""Speech: what differs between firmwares in messages, line rules and halts, as data. The defaults are Marlin's."""

import math
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Literal

from gcode.frozen import frozen

NumberRule = Literal["enforced", "checked", "ignored", "modulo"]
"""Enforced: numbers and checksums. Checked: only checksums. Ignored: neither. Modulo: numbers count modulo 65536, and
checksums are optional (Repetier)."""

OkMoment = Literal["executed", "received"]
"""When the ok of a line is sent: once its command has been executed, or as soon as it is in the queue."""


@frozen
class Halt:
    """A halt after which the firmware still answers.

    Attributes:
        lines: the lines when the firmware stops; they take `text`, the reason.
        answer: the answer to a command from then on; takes `text`.
        has_ok: an ok follows that answer.
        refused_codes: the commands that get this answer; empty: all but `working_codes`.
        working_codes: the commands that still work.
        by_m112: the reason when M112 causes this halt; empty: M112 silences or reboots the firmware instead.
        m112_waits: M112 then waits behind the lines before it.
        by_error: the firmware's own errors cause this halt.
        reads: lines are read; otherwise they are lost, and their numbers do not count.
    """

    lines: tuple[str, ...]
    answer: tuple[str, ...]
    has_ok: bool = True
    refused_codes: frozenset[str] = frozenset()
    working_codes: frozenset[str] = frozenset()
    by_m112: str = ""
    m112_waits: bool = False
    by_error: bool = False
    reads: bool = True

    def refuses(self, code: str) -> bool:
        """Tell whether a command is refused while the firmware is halted."""
        return code in self.refused_codes if self.refused_codes else code not in self.working_codes


_STOPPED = (
    "Printer stopped due to errors. Fix the error and use M999 to restart. "
    "(Temperature is reset. Set it after restarting)"
)
MARLIN_STOPPED = Halt(
    ("{text}", f"Error:{_STOPPED}"), (_STOPPED,), refused_codes=frozenset({"G0", "G1", "G2", "G3", "G5"})
)
"""Marlin's stop(): only moves are refused, and all lines get their ok; M999 ends it (MarlinCore.cpp)."""


@frozen
class BootSpeech:
    """The lines at boot, and the answer to M115.

    Attributes:
        banner: the lines at boot; None: Marlin's, with its settings.
        late_banner: further lines, with their seconds after the banner; before the last one nothing is read.
        restart_lines: the lines after a restart by command, instead of the banner.
        identity: the answer to M115; None: Marlin's, as the options change it.
        identity_on_ok: that answer is on the line of the `ok`.
    """

    banner: tuple[str, ...] | None = None
    late_banner: tuple[tuple[float, str], ...] = ()
    restart_lines: tuple[str, ...] = ()
    identity: tuple[str, ...] | None = None
    identity_on_ok: bool = False


@frozen
class LineRules:
    """How lines are read, and how a wrong one is answered.

    Attributes:
        numbers: what is enforced about line numbers and checksums.
        refusal: the resend request; takes `reason`, `last`, `next` and `checksum`, the right one.
        reasons: the text of `reason`, where it differs from Marlin's; takes `next` and `number`; may have line breaks.
        request: the resend request if no line was wrong, as after M999; empty: the last two lines of `refusal`.
        asks_after: s of silence in the middle of a line, or before a requested line, after which the request
            is repeated; infinite: never.
        drops_after: s of silence after which an incomplete line is dropped, with `RX timeout`.
        refuses_bare_checksum: a checksum without a line number is refused.
        repeat_answer: the answer to a line that is skipped: it was accepted before, or it follows a refused line;
            empty: such a line is refused like any other.
        flushes: a refusal empties the receive buffer.
        answers_blank_lines: an empty line, or one with only a comment, gets an `ok`.
        cr_ends_line: CR ends a line, so CR LF ends two.
        seven_bits: bytes above 127 are ignored.
        strips_backslashes: backslashes are removed before the checksum is verified.
        lenient: text in parentheses is a comment, and bytes that are not text are ignored.
        any_case: `m105` is M105.
        max_line: the longest line in bytes; the rest is cut without an error, but with a resend request by Repetier.
        splits_long_lines: a longer line is split there, and its rest is another line.
        line_end_bytes: bytes that end a line, in addition to CR and LF.
        number_anywhere: the first N in a line begins its number, wherever it is.
        checksum_at_first_star: the first `*` of a line begins the checksum, not the last.
    """

    numbers: NumberRule = "enforced"
    refusal: tuple[str, ...] = ("Error:{reason}, Last Line: {last}", "Resend: {next}", "ok")
    reasons: Mapping[str, str] = field(default_factory=dict)
    request: tuple[str, ...] = ()
    asks_after: float = math.inf
    drops_after: float = math.inf
    refuses_bare_checksum: bool = False
    repeat_answer: str = ""
    flushes: bool = True
    answers_blank_lines: bool = False
    cr_ends_line: bool = True
    seven_bits: bool = False
    strips_backslashes: bool = True
    lenient: bool = False
    any_case: bool = False
    max_line: int = 95  # MAX_CMD_SIZE 96, less the NUL at the end
    splits_long_lines: bool = False
    line_end_bytes: bytes = b""
    number_anywhere: bool = False
    checksum_at_first_star: bool = False


@frozen
class ReportSpeech:
    """The reports of temperatures and positions, and the waits for heat.

    Attributes:
        temperatures: a report; takes `t`, `t_target`, `t_power` and the same for `b`. Empty: Marlin's.
        temperatures_on_ok: M105 is answered on the line of the `ok`.
        residency: s for which a reading has to stay near the target before a wait ends.
        waits_for_cooling: a wait by S waits for cooling too.
        min_extrude: °C below which nothing is extruded.
        wait_line: a line during a wait for heat; takes `report`, `seconds` (to its end), and what `temperatures` takes.
        position: the answer to M114; takes `x` `y` `z` `e`, `steps_x` `steps_y` `steps_z`, and `f` in mm/min.
        homing_report: G28 reports the position.
        endstops: the answer to M119; takes `x` `y` `z`.
        endstop_words: for an open endstop, and for a triggered one.
        cold_lines: the lines if nothing is extruded because the hotend is cold.
    """

    temperatures: str = ""
    temperatures_on_ok: bool = True
    residency: float = 10.0  # TEMP_RESIDENCY_TIME
    waits_for_cooling: bool = False
    min_extrude: float = 170.0  # EXTRUDE_MINTEMP
    wait_line: str = "{report} W:{seconds}"
    position: str = "X:{x:.2f} Y:{y:.2f} Z:{z:.2f} E:{e:.2f} Count X:{steps_x} Y:{steps_y} Z:{steps_z}"
    homing_report: bool = True
    endstops: tuple[str, ...] = ("Reporting endstop status", "x_min: {x}", "y_min: {y}", "z_min: {z}")
    endstop_words: tuple[str, str] = ("open", "TRIGGERED")
    cold_lines: tuple[str, ...] = ("echo: cold extrusion prevented",)


@frozen
class StopSpeech:
    """How the firmware halts.

    Attributes:
        m112_lines: the lines when M112 halts it.
        error_lines: the lines when anything else does.
        reboots_after: s from a halt until the firmware boots by itself; infinite: never.
        m112_reboots: M112 boots it at once instead.
        halt: a halt after which it still answers.
    """

    m112_lines: tuple[str, ...] = ("echo:M112 Shutdown", "Error:Printer halted. kill() called!")
    error_lines: tuple[str, ...] = ("Error:Printer halted. kill() called!",)
    reboots_after: float = math.inf
    m112_reboots: bool = False
    halt: Halt = field(default_factory=lambda: MARLIN_STOPPED)


@frozen
class Speech:
    """All that differs in one firmware. Templates are for `str.format`; an empty one sends nothing.

    Attributes:
        boot: the lines at boot.
        lines: how lines are read.
        reports: the reports of temperatures and positions.
        stop: how it halts.
        ok: takes `number` (empty for a line without one), `number_or_0`, and `last`, the last number seen.
        ok_with_data: the `ok` before `temperatures` on the same line; takes `number_or_0`.
        ok_when: when the `ok` is sent.
        early_moves: G0 to G3 get their `ok` when they are queued, and any G in a line begins a command (Marlin 1.0).
        ok_again: commands that get a second `ok` if another line is queued (Prusa).
        line_end: of its messages.
        unknown: the answer to an unknown command; takes `text`, `word` in capitals, `letter`, `code`, `byte` (the
            code's lowest eight bits), and `plain`, as Repetier repeats a command.
        unknown_codes: the same by the command's letter, where it differs.
        known_letters: only commands with these letters get the answer `unknown`; empty: all do.
        lacks: commands that it does not know.
        commands: commands of its own, or with another effect than Marlin's.
        action: a line that asks the host for an action; takes `text`.
        actions: the actions that it knows; empty: all of Marlin's.
        pause: executes a pause of its own; None: it asks the host to pause.
        status: the line when the text on its display has changed.
        busy: a sign of life during a long command; takes `reason`.
        idle_wait: interval in s at which `wait` is sent while there is nothing to do; 0: never.
        idle_timeout: s without a move after which heaters and motors are turned off; 0: never.
        dtr_resets: opening the port, or a pulse of DTR, resets it.
    """

    boot: BootSpeech = field(default_factory=BootSpeech)
    lines: LineRules = field(default_factory=LineRules)
    reports: ReportSpeech = field(default_factory=ReportSpeech)
    stop: StopSpeech = field(default_factory=StopSpeech)
    ok: str = "ok"
    ok_with_data: str = "ok"
    ok_when: OkMoment = "executed"
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
