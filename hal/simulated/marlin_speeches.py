"""The speeches of Marlin 1.0, 1.1 and 2.1, and of Malyan's firmware, which is derived from Marlin."""

from dataclasses import replace

from hal.simulated import marlin21_commands
from hal.simulated.speech import BootSpeech, LineRules, ReportSpeech, Speech, StopSpeech

_CAPS_21 = """
    SERIAL_XON_XOFF:0 BINARY_FILE_TRANSFER:0 EEPROM:1 VOLUMETRIC:1 AUTOREPORT_POS:0 AUTOREPORT_TEMP:1 PROGRESS:0
    PRINT_JOB:1 AUTOLEVEL:0 RUNOUT:0 Z_PROBE:0 LEVELING_DATA:0 BUILD_PERCENT:0 SOFTWARE_POWER:0 TOGGLE_LIGHTS:0
    CASE_LIGHT_BRIGHTNESS:0 EMERGENCY_PARSER:{parser} HOST_ACTION_COMMANDS:{host} PROMPT_SUPPORT:{host} SDCARD:{card}
    REPEAT:0 SD_WRITE:0 AUTOREPORT_SD_STATUS:{card} LONG_FILENAME:0 LFN_WRITE:0 CUSTOM_FIRMWARE_UPLOAD:0
    EXTENDED_M20:0 THERMAL_PROTECTION:1 MOTION_MODES:0 ARCS:1 BABYSTEPPING:0 EP_BABYSTEP:0 CHAMBER_TEMPERATURE:0
    COOLER_TEMPERATURE:0 MEATPACK:{meatpack} CONFIG_EXPORT:0
"""

_NAME_21 = (
    "FIRMWARE_NAME:Marlin bugfix-2.1.x (Nov 28 2026 04:23:13) SOURCE_CODE_URL:github.com/MarlinFirmware/Marlin "
    "PROTOCOL_VERSION:1.0 MACHINE_TYPE:Prusa i3 TDP-SPT02 KINEMATICS:Cartesian EXTRUDER_COUNT:1 "
    "UUID:cede2a2f-41a2-4748-9b12-c55c62f367ff"
)


def marlin21(*, parser: int = 0, host: int = 0, card: int = 0, meatpack: int = 0) -> Speech:
    """Return the speech of Marlin 2.1, as recorded (marlin-2.1-plain-*.txt), with these capabilities (0 or 1)."""
    capabilities = _CAPS_21.format(parser=parser, host=host, card=card, meatpack=meatpack)
    return Speech(
        boot=BootSpeech(
            banner=(
                "start",
                "Marlin bugfix-2.1.x",
                "echo: Last Updated: 2025-12-23 | Author: (MarlinFirmware)",
                "echo: Compiled: Nov 28 2026",
                "echo: Free Memory: 5345  PlannerBufferBytes: 1264",
                "echo:EEPROM version mismatch (EEPROM=? Marlin=V90)",
                "echo:Hardcoded Default Settings Loaded",
            ),
            identity=(
                _NAME_21,
                *(f"Cap:{each}" for each in capabilities.split()),
            ),
        ),
        commands=marlin21_commands.TABLE,
        lacks=frozenset({"M154"}),
    )


_NAME_1 = (
    "FIRMWARE_NAME:Marlin 1.1.9 (Github) SOURCE_CODE_URL:https://github.com/MarlinFirmware/Marlin "
    "PROTOCOL_VERSION:1.0 MACHINE_TYPE:3D Printer EXTRUDER_COUNT:1 UUID:cede2a2f-41a2-4748-9b12-c55c62f367ff"
)

MARLIN_119 = Speech(
    boot=BootSpeech(
        banner=("start", "echo:Marlin 1.1.9", "", "echo:Hardcoded Default Settings Loaded"),
        identity=(_NAME_1, "Cap:AUTOREPORT_TEMP:1", "Cap:EMERGENCY_PARSER:0"),
    ),
    lacks=frozenset({"M154", "M876"}),
    stop=StopSpeech(m112_lines=("Error:Printer halted. kill() called!",)),
)
"""Marlin 1.1.9, by its Marlin_main.cpp."""

_NAME_10 = (
    "FIRMWARE_NAME:Marlin V1; Sprinter/grbl mashup for gen6 FIRMWARE_URL:https://github.com/ErikZalm/Marlin/ "
    "PROTOCOL_VERSION:1.0 MACHINE_TYPE:Mendel EXTRUDER_COUNT:1 UUID:00000000-0000-0000-0000-000000000000"
)

MARLIN_10 = Speech(
    boot=BootSpeech(
        banner=(
            "start",
            "echo:Marlin 1.0.2",
            "echo: Last Updated: Dec 15 2013 | Author: (none, default config)",
            "Compiled: Jun  1 2015",
            "echo: Free Memory: 4443  PlannerBufferBytes: 1232",
            "echo:Hardcoded Default Settings Loaded",
        ),
        identity=(_NAME_10,),
    ),
    reports=ReportSpeech(
        temperatures="T:{t:.1f} /{t_target:.1f} B:{b:.1f} /{b_target:.1f} @:{t_power} B@:{b_power}",
        wait_line="T:{t:.1f} E:0 W:{seconds}",
        position="X:{x:.2f}Y:{y:.2f}Z:{z:.2f}E:{e:.2f} Count X: {x:.2f}Y:{y:.2f}Z:{z:.2f}",
        homing_report=False,
        cold_lines=("echo: cold extrusion prevented",),
    ),
    lines=LineRules(
        refuses_bare_checksum=True,
        checksum_at_first_star=True,
        splits_long_lines=True,
        line_end_bytes=b":",
        number_anywhere=True,
        strips_backslashes=False,
    ),
    early_moves=True,
    lacks=frozenset({"M0", "M1", "M108", "M110", "M113", "M118", "M154", "M155", "M211", "M410", "M876"}),
    stop=StopSpeech(m112_lines=("Error:Printer halted. kill() called!",)),
)
"""Marlin 1.0.2, by its Marlin_main.cpp (get_command): a `:` ends a line, the first `*` begins the checksum."""

MALYAN = Speech(
    lines=LineRules(strips_backslashes=False),
    boot=BootSpeech(
        banner=("start",), identity=("NAME. Malyan\tVER: 3.5\tMODEL: M200\tHW: HH02", "BUILD: May 18 2017 20:24:25")
    ),
    ok="ok N{number_or_0} P15 B15",
    ok_with_data="ok N{number_or_0} P15 B15",
    reports=ReportSpeech(
        temperatures="T:{t:.1f} /{t_target:.1f} B:{b:.1f} /{b_target:.1f} T0:{t:.1f} /{t_target:.1f} @:0 B@:0",
        position="X:{x:.2f} Y:{y:.2f} Z:{z:.2f} E:{e:.2f} Count X:{steps_x} Y:{steps_y} Z:{steps_z}",
    ),
)
"""The Malyan M200, sold as Monoprice Select Mini: each `ok` has P, B and the line's number (OctoPrint issue 1737)."""

MALYAN_0 = replace(MALYAN, ok="ok N0 P15 B15", ok_with_data="ok N0 P15 B15")
"""Another version of the same firmware, in which the number is always 0 (OctoPrint issue 1762)."""
