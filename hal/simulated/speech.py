"""How a firmware speaks where others speak otherwise, as data: the defaults are Marlin's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Numbers = Literal["enforced", "checked", "ignored"]
"""Line numbers must follow each other; only the checksum counts; neither is looked at."""


@dataclass(frozen=True, slots=True)
class Speech:
    """What one firmware says. Templates are for `str.format`; an empty one says nothing.

    Attributes:
        banner: said at boot; None: Marlin's, with its settings.
        restarted: said instead after `restart`.
        identity: the answer to M115; None: Marlin's, with what the options make of it.
        identity_on_ok: that answer stands on the line of the `ok`.
        ok: takes `number`, which is empty for a line without one.
        temperatures: a report; takes `t`, `t_target`, `t_power` and the same of `b`. Empty: Marlin's.
        temperatures_on_ok: M105 is answered on the line of the `ok`.
        waiting: a line of a wait for heat; takes `report`, `left`, the seconds, and what `temperatures` takes.
        position: the answer to M114; takes `x` `y` `z` `e`, `steps_x` `steps_y` `steps_z`, and `f` in mm/min.
        homed: a G28 tells the position.
        endstops: the answer to M119; takes `x` `y` `z`.
        endstop_words: for one that is open, and one that is not.
        unknown: takes `text`, `word` in capitals, `letter`, `code` and `byte`, the code's lowest eight bits.
        known_letters: only commands with these letters are worth the answer `unknown`.
        numbers: what is done about line numbers and checksums.
        refusal: asks for a line again; takes `reason`, `last`, `next` and `checksum`, the one that would be right.
        skipped: the answer to a number that was there before; empty: it is refused as any other wrong one.
        flushes: what waits in the receive buffer is lost when a line is refused.
        answers_blank: an empty line, and one of nothing but a comment, gets its `ok`.
        cr_ends_line: so that CR LF ends two lines.
        lenient: text in parentheses is a comment, bytes that are no text are passed over.
        any_case: `m105` is M105.
        max_line: bytes of a line that are read; the rest is cut silently.
        lacks: commands that it does not know.
        commands: those that it does otherwise, or has besides.
        cold: said where nothing is extruded because the hotend is cold.
        stopped: said before `killed` where M112 was the reason.
        killed: said when it halts.
        shut_down: what every command but `when_shut_down` gets from then on; empty: it is silent.
        when_shut_down: commands that work all the same.
        restart: the command by which it comes back.
        busy: a sign of life during a long command; takes `reason`.
        idle_wait: `wait` is said each so many seconds while there is nothing to do; 0: never.
        dtr_resets: opening the port, or a pulse of DTR, resets it.
    """

    banner: tuple[str, ...] | None = None
    restarted: tuple[str, ...] = ()
    identity: tuple[str, ...] | None = None
    identity_on_ok: bool = False
    ok: str = "ok"
    temperatures: str = ""
    temperatures_on_ok: bool = True
    waiting: str = "{report} W:{left}"
    position: str = "X:{x:.2f} Y:{y:.2f} Z:{z:.2f} E:{e:.2f} Count X:{steps_x} Y:{steps_y} Z:{steps_z}"
    homed: bool = True
    endstops: tuple[str, ...] = ("Reporting endstop status", "x_min: {x}", "y_min: {y}", "z_min: {z}")
    endstop_words: tuple[str, str] = ("open", "TRIGGERED")
    unknown: str = 'echo:Unknown command: "{text}"'
    known_letters: str = ""
    numbers: Numbers = "enforced"
    refusal: tuple[str, ...] = ("Error:{reason}, Last Line: {last}", "Resend: {next}", "ok")
    skipped: str = ""
    flushes: bool = True
    answers_blank: bool = False
    cr_ends_line: bool = True
    lenient: bool = False
    any_case: bool = False
    max_line: int = 95  # MAX_CMD_SIZE 96, less the NUL at its end
    lacks: frozenset[str] = frozenset()
    commands: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    cold: tuple[str, ...] = ("echo: cold extrusion prevented",)
    stopped: tuple[str, ...] = ("echo:M112 Shutdown",)
    killed: tuple[str, ...] = ("Error:Printer halted. kill() called!",)
    shut_down: tuple[str, ...] = ()
    when_shut_down: frozenset[str] = frozenset()
    restart: str = ""
    busy: str = "echo:busy: {reason}"
    idle_wait: float = 0.0
    dtr_resets: bool = True
