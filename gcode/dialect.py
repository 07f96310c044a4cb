"""The dialects: what differs from firmware to firmware, as data. Link and driver branch on no firmware's name.

The facts come from the recorded dialogues in `tests/data/transcripts/` and from the firmwares' source files;
docs/firmware.md names the source of each. `gcode/firmware_traits.py` explains the fields. `gcode/consequence.py`,
`gcode/fitting.py` and `gcode/unknown.py` derive from the fields what an error means, which text fits and which commands
of a file are lost.
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from gcode.firmware_traits import Counting, Dialect, Errors, HeatTraits, IdleTraits, Texts

__all__ = ["Dialect"]  # for mypy: this name may be imported from here too

_KILL_TEXTS = ("printer halted", "kill() called", "system stopped", "thermal runaway", "heating failed", "mintemp",
           "maxtemp", "switched off", "no thermistors", "kill caused by", "stop called because")  # fmt: skip
_STOP_TEXTS = ("printer stopped due to errors",)
_MARLIN_HARMLESS = (
    "probing failed", "failed to enable bed leveling", "eeprom", "volume.init", "openroot", "workdir",
    "open failed", "cannot open", "sd card", "sd read error", "error writing to file", "no media", "rx buf overflow",
    "serial status mismatch", "pid autotune failed",
)  # fmt: skip

_NOT_HOMED = ("echo:home x", "echo:home y", "echo:home z")  # `Home XYZ First`: module/motion.cpp, homing_needed_error

_CHECK_WORDS = frozenset({"M862", *(f"M862.{number}" for number in range(1, 7))})  # Prusa's checks of nozzle and model

_MOTORS_ON = b"M84 S43200"  # without S it would turn them off

MARLIN = Dialect(
    "Marlin",
    window_lines=4,
    e_mode="last",  # gcode.h, set_relative_mode
    texts=Texts(end_characters=";\\("),
    errors=Errors(
        halt_errors=_KILL_TEXTS + _STOP_TEXTS,
        halt_lines=_STOP_TEXTS,
        harmless_errors=_MARLIN_HARMLESS,
        refusal_lines=_NOT_HOMED,
        revival=b"M999",
        acknowledges_halted=True,
    ),
    stop_confirmations=("halted", "m112 shutdown"),
    urgent_if_parser=frozenset({"M108", "M112", "M410", "M524", "M876"}),
    idle=IdleTraits(motors_on_command=_MOTORS_ON),
    heat=HeatTraits(cooling_stall=(1.5, 60.0)),
    continue_commands=(b"M108", b"M876 S0"),
    compact="E",  # gcode/parser.h, value_float ends a number at an E; forks that read it with strtod do not
    packing="reported",  # gcode/host/M115.cpp: Cap:MEATPACK
    unknown_words=_CHECK_WORDS | {"M566", "M572", "M601", "M602", "M703"},
)
MARLIN_1_1 = replace(
    MARLIN,
    name="Marlin 1.1",
    e_mode="either",  # Marlin_main.cpp, gcode_get_destination: relative_mode or axis_relative_modes[E]
    compact=None,
    packing=None,
)
MARLIN_1_0 = Dialect(
    "Marlin 1.0",
    moves_ok_at="receipt",
    texts=Texts(end_characters=":*;", command_letters="G"),
    errors=MARLIN.errors,
    idle=IdleTraits(motors_on_command=_MOTORS_ON),
    stop_confirmations=("halted",),
    continue_commands=(),
    unknown_words=_CHECK_WORDS | {"M73", "M108", "M118", "M141", "M155", "M191", "M211", "M410", "M412", "M420", "M486",
                                  "M566", "M572", "M593", "M601", "M602", "M701", "M702", "M703", "M876", "M900"},
)  # fmt: skip
SPRINTER = replace(
    MARLIN_1_0,
    name="Sprinter",
    unknown_words=MARLIN_1_0.unknown_words | {"G10", "G11", "G29", "M0", "M1", "M117", "M118", "M200", "M207", "M300",
                                              "M600"},
)  # fmt: skip
PRUSA = Dialect(
    "Prusa-Firmware",
    window_lines=4,
    e_mode="own",  # Marlin_main.cpp, G90: "E axis is left intact"
    lone_words=frozenset({"M105"}),  # Marlin_main.cpp: M105 leaves the queue, then ClearToSend looks at the next line
    texts=Texts(end_characters="*;"),
    errors=Errors(
        halt_errors=("printer halted", "kill() called", "thermal runaway", "heaters switched off", *_STOP_TEXTS),
        harmless_errors=_MARLIN_HARMLESS,
    ),
    stop_confirmations=("halted", "emergency stop"),
    heat=HeatTraits(min_extrude=175.0, s_waits_for_cooling=True, residency=3.0),
    idle=IdleTraits(safety_timer=1800.0, motors_on_command=_MOTORS_ON),
    resume_command=b"M602",
    continue_commands=(),
    compact="E",  # cmdqueue.h, code_value: strtod before 3.13, which reads `X1E2` as 100
    packing="unreported",  # cmdqueue.cpp, get_command: characters above 127 are left out
    unknown_words=frozenset({"M108", "M141", "M191", "M211", "M410", "M412", "M486", "M566", "M572", "M593", "M703",
                             "M876"}),
)  # fmt: skip
PRUSA_BUDDY = replace(
    PRUSA,
    name="Prusa-Firmware-Buddy",
    e_mode="last",
    lone_words=frozenset(),
    texts=MARLIN.texts,
    errors=replace(PRUSA.errors, halt_errors=_KILL_TEXTS + _STOP_TEXTS, refusal_lines=_NOT_HOMED),
    silent_stop=True,
    heat=replace(
        PRUSA.heat,
        min_extrude=170.0,
        s_waits_for_cooling=False,
        residency=5.0,
        cooling_stall=MARLIN.heat.cooling_stall,
    ),
    continue_commands=MARLIN.continue_commands,
    compact=None,
    packing=None,
    unknown_words=frozenset({"M566", "M703"}),
)
REPETIER = Dialect(
    "Repetier",
    ok_at="receipt",
    moves_ok_at="receipt",
    repeat_interval=0.2,
    counting=Counting(modulo=65536, repeats=40),
    texts=Texts(end_characters="*;(%"),
    errors=Errors(
        halt_lines=("fatal:",),
        halt_errors=("printer stopped and heaters disabled", "fail mode active", "dry run mode", "restart with m999"),
        harmless_errors=("no eeprom support", "sd ", "illegal s value", "marked decoupled", "autotune failed"),
        revival=b"M999",
        acknowledges_halted=True,
    ),
    stop_confirmations=("stopped by m112",),
    urgent_if_parser=frozenset({"M108", "M112"}),
    heat=HeatTraits(min_extrude=150.0, reads_r=False, s_waits_for_cooling=True, residency=0.0),
    idle=IdleTraits(motors_on_command=_MOTORS_ON),
    unknown_words=_CHECK_WORDS | {"M0", "M1", "M141", "M191", "M410", "M412", "M420", "M486", "M566", "M572", "M593",
                                  "M701", "M702", "M703", "M876", "M900"},
)  # fmt: skip
SMOOTHIE = Dialect(
    "Smoothieware",
    e_mode="last",  # Robot.cpp, on_gcode_received
    ok_after_resend=False,
    counting=Counting(highest=2**24 - 1),  # Gcode.cpp, get_value: a number is read as a float
    answers_blank=True,  # GcodeDispatch.cpp, on_console_line_received: an empty line is answered by ok
    max_line=None,
    texts=Texts(end_characters="*;("),
    errors=Errors(
        halt_errors=("m999", "halt", "turn power off"),
        bangs_halt=True,
        halt_lines=("m999 required", "entering alarm/halt state", "halt asserted", "halted, m999", "to clear halt"),
        revival=b"M999",
        halt_test=b"M113",  # GcodeDispatch.cpp: all but a few codes are answered `!!`
    ),
    stop_confirmations=("emergency stop requested", "halted", "halt state"),
    heat=HeatTraits(min_extrude=None, reads_r=False, residency=0.0),
    idle=IdleTraits(timer_command=None),
    continue_commands=(),
    unknown_words=_CHECK_WORDS | {"M0", "M1", "M73", "M201", "M300", "M412", "M420", "M486", "M566", "M572", "M593",
                                  "M602", "M701", "M702", "M703", "M900"},
)  # fmt: skip
REPRAPFIRMWARE = Dialect(
    "RepRapFirmware",
    e_mode="own",  # GCodes2.cpp, G90
    enforces_order=False,
    max_line=255,
    texts=Texts(end_characters="*;"),
    errors=Errors(halt_errors=("machine is halted",), revival=b"M999", acknowledges_halted=True),
    stop_confirmations=("halted",),
    urgent_words=frozenset({"M112"}),
    heat=HeatTraits(min_extrude=160.0, residency=0.0),
    idle=IdleTraits(timer_command=None),
    continue_commands=(b"M292 P0",),
    may_have_macros=True,
    # M0 and M1 are there, but turn heaters and motors off
    unknown_words=_CHECK_WORDS | {"M0", "M1", "M412", "M420", "M602", "M900"},
)
TEACUP = Dialect(
    "Teacup",
    counts_lines=False,
    rest_commands=(b"G4 P0", b"M114"),
    texts=Texts(all_left_out=True),
    silent_stop=True,
    heat=HeatTraits(min_extrude=None, reads_r=False),
    idle=IdleTraits(timer_command=None),
    continue_commands=(),
    # M0 is there, but turns everything off
    unknown_words=_CHECK_WORDS | {"G2", "G3", "G10", "G11", "M0", "M1", "M73", "M107", "M108", "M109", "M117", "M118",
                                  "M141", "M190", "M191", "M200", "M201", "M203", "M204", "M205", "M207", "M300",
                                  "M400", "M412", "M420", "M486", "M500", "M566", "M572", "M593", "M600", "M601",
                                  "M602", "M701", "M702", "M703", "M900"},
)  # fmt: skip
MALYAN = Dialect(
    "Malyan",
    learns_window=False,
    texts=Texts(end_characters="*:;", command_letters="G"),
    errors=MARLIN.errors,
    stop_confirmations=("halted",),
)
KLIPPER = Dialect(
    "Klipper",
    counts_lines=False,
    max_line=None,
    texts=Texts(end_characters=";"),
    errors=Errors(
        halt_errors=("shutdown", "lost communication"),
        halt_lines=(
            "klipper state: shutdown", "klipper state: disconnect", "printer is shutdown", "printer is halted",
        ),
        revival=b"FIRMWARE_RESTART",
        halt_test=b"STATUS",
        acknowledges_halted=True,
        reason_query=b"STATUS",  # klippy/gcode.py, cmd_STATUS: an error with the reason
    ),
    stop_confirmations=("state: shutdown", "shutdown due to m112", "is shutdown"),
    urgent_words=frozenset({"M112"}),
    # klippy/extras/idle_timeout.py: SET_IDLE_TIMEOUT without TIMEOUT restarts the timer with the same time
    idle=IdleTraits(
        safety_timer=600.0,
        awake_command=b"SET_IDLE_TIMEOUT",
        unhomed_reply="must home axis first",
        timer_command=None,
    ),
    heat=HeatTraits(reads_r=False, residency=0.0),
    continue_commands=(),
    may_have_macros=True,
    planner="klipper",
    unknown_words=_CHECK_WORDS | {"G29", "M0", "M1", "M141", "M191", "M200", "M201", "M203", "M205", "M207", "M300",
                                  "M412", "M420", "M486", "M500", "M566", "M572", "M593", "M600", "M601", "M602",
                                  "M701", "M702", "M703", "M900"},
)  # fmt: skip

DIALECTS = (
    MARLIN,
    MARLIN_1_1,
    MARLIN_1_0,
    SPRINTER,
    PRUSA,
    PRUSA_BUDDY,
    REPETIER,
    SMOOTHIE,
    REPRAPFIRMWARE,
    TEACUP,
    MALYAN,
    KLIPPER,
)

UNKNOWN = Dialect(
    learns_window=False,
    rest_sign="same position",
    texts=Texts(end_characters="*:;(%\\", command_letters="G"),
    errors=Errors(
        halt_errors=(
            *_KILL_TEXTS,
            *REPETIER.errors.halt_errors,
            *SMOOTHIE.errors.halt_errors,
            *REPRAPFIRMWARE.errors.halt_errors,
            *KLIPPER.errors.halt_errors,
        ),
        halt_lines=(_STOP_TEXTS + REPETIER.errors.halt_lines + SMOOTHIE.errors.halt_lines + KLIPPER.errors.halt_lines),
        harmless_errors=_MARLIN_HARMLESS,
        refusal_lines=_NOT_HOMED,
        bangs_halt=True,
    ),
    stop_confirmations=tuple(dict.fromkeys(piece for dialect in DIALECTS for piece in dialect.stop_confirmations)),
    heat=HeatTraits(min_extrude=175.0),
    continue_commands=(),
)

_REVIVALS = frozenset(each.errors.revival for each in DIALECTS if each.errors.revival is not None)

# Part of FIRMWARE_NAME in lower case → dialect; the first match wins.
_NAMES = (
    ("prusa-firmware-buddy", PRUSA_BUDDY),
    ("prusa-firmware", PRUSA),
    ("sprinter/grbl mashup", MARLIN_1_0),  # Marlin 1.0 and those derived from it: `Marlin V1; Sprinter/grbl mashup …`
    ("sprinter", SPRINTER),
    ("marlin 1.1", MARLIN_1_1),
    ("marlin v1.1", MARLIN_1_1),
    ("marlin bugfix-1.1", MARLIN_1_1),
    ("marlin", MARLIN),
    ("repetier", REPETIER),
    ("anet_a8", REPETIER),  # derived from it
    ("smoothie", SMOOTHIE),
    ("reprapfirmware", REPRAPFIRMWARE),
    ("teacup", TEACUP),
    ("klipper", KLIPPER),
    ("kalico", KLIPPER),  # derived from it
    ("malyan", MALYAN),
)

# Beginning of a line of the banner → dialect. Teacup's banner does not name the firmware.
_BANNERS = (
    (re.compile(r"echo:\s*\d+\.\d+\.\d+\S*-\d+\s*\Z"), PRUSA),  # its version alone: `echo: 3.9.0-3421`
    (re.compile(r"(?:echo:\s*)?Marlin 1\.0"), MARLIN_1_0),
    (re.compile(r"(?:echo:\s*)?Marlin (?:bugfix-)?1\.1"), MARLIN_1_1),
    (re.compile(r"(?:echo:\s*)?Marlin\b"), MARLIN),
    (re.compile(r"Repetier"), REPETIER),
    (re.compile(r"Smoothie"), SMOOTHIE),
    (re.compile(r"RepRapFirmware"), REPRAPFIRMWARE),
    (re.compile(r"(?://\s*)?Klipper"), KLIPPER),
)


def recognise(firmware_name: str, banner: Iterable[str] = ()) -> Dialect:
    """Return the dialect for M115's FIRMWARE_NAME, or else for the banner of a board that has booted.

    If neither is known, the dialect is UNKNOWN, which is safe with any firmware.
    """
    lowered = firmware_name.lower()
    for part, dialect in _NAMES:
        if part in lowered:
            return dialect
    lines = (line.strip() for line in banner)
    return next((dialect for line in lines for start, dialect in _BANNERS if start.match(line)), UNKNOWN)


def is_revival(command: str) -> bool:
    """Tell whether a client's command revives a firmware that has halted: M999, FIRMWARE_RESTART."""
    words = command.upper().encode("utf-8", "replace").split()
    return bool(words) and words[0] in _REVIVALS
