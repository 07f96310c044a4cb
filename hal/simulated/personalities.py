"""Firmwares by name, as data.

Marlin 2, Prusa-Firmware 3.13, Repetier, Teacup and Klipper are tested against recorded dialogues
(tests/data/transcripts). Marlin 1, Smoothieware and RepRapFirmware follow their sources, and Malyan follows public
reports; docs/firmware.md names both.
"""

from dataclasses import replace

from hal.simulated import klipper_macros, prusa_commands, repetier_commands
from hal.simulated import other_commands as other
from hal.simulated.board import no_effect
from hal.simulated.config import FirmwareConfig
from hal.simulated.marlin_speeches import MALYAN, MALYAN_0, MARLIN_10, MARLIN_119, marlin21
from hal.simulated.motion_commands import TABLE as MOVES
from hal.simulated.speech import BootSpeech, Halt, LineRules, ReportSpeech, Speech, StopSpeech


def _codes(*lists: str) -> frozenset[str]:
    return frozenset(code for each in lists for code in each.split())


def _lines(*parts: str) -> tuple[str, ...]:
    """Join the parts of an answer, and return its lines."""
    return tuple("".join(parts).split("\n"))


_KLIPPER = Speech(
    lines=LineRules(
        strips_backslashes=False,
        numbers="ignored",
        answers_blank_lines=True,
        cr_ends_line=False,
        any_case=True,
        max_line=4096,
    ),
    boot=BootSpeech(
        banner=("// Klipper state: Ready",),
        restart_lines=("// Klipper state: Disconnect",),
        identity=("FIRMWARE_NAME:Klipper FIRMWARE_VERSION:?",),
        identity_on_ok=True,
    ),
    reports=ReportSpeech(
        temperatures="B:{b:.1f} /{b_target:.1f} T0:{t:.1f} /{t_target:.1f}",
        wait_line="{report}",
        residency=0.0,
        position="X:{x:.3f} Y:{y:.3f} Z:{z:.3f} E:{e:.3f}",
        homing_report=False,
        endstops=("stepper_x:{x} stepper_y:{y} stepper_z:{z}",),
        cold_lines=(
            "// Extrude below minimum temp",
            "// See the 'min_extrude_temp' config option for details",
            "!! Extrude below minimum temp",
        ),
    ),
    unknown='// Unknown command:"{word}"',
    lacks=_codes(
        "T0 T1 T2 T3 T4 T5 T6 T7 M0 M1 M31 M85 M86 M108 M113 M117 M154 M155 M201 M203 M205 M211 M302 M410 M503 M876",
        "M999",
    ),
    commands={
        "G0": other.guard_move(MOVES["G0"]),
        "G1": other.guard_move(MOVES["G1"]),
        "G2": other.guard_move(MOVES["G2"]),
        "G3": other.guard_move(MOVES["G3"]),
        "M118": other.echo,
        "M119": other.slow_endstops,
        "QUERY_ENDSTOPS": other.slow_endstops,
        "RESPOND": other.respond,
        **dict.fromkeys(
            (
                "EXCLUDE_OBJECT_DEFINE",
                "EXCLUDE_OBJECT_START",
                "EXCLUDE_OBJECT_END",
                "SET_VELOCITY_LIMIT",
                "SET_PRESSURE_ADVANCE",
            ),
            no_effect,
        ),
        "STATUS": other.report_state,
        "SET_IDLE_TIMEOUT": other.set_idle_timeout,
        **klipper_macros.TABLE,
        "FIRMWARE_RESTART": other.restart,
    },
    stop=StopSpeech(
        halt=Halt(
            ("// Klipper state: Shutdown",),
            (
                "// {text}",
                "// Once the underlying issue is corrected, use the",
                '// "FIRMWARE_RESTART" command to reset the firmware, reload the',
                "// config, and restart the host software.",
                "// Printer is shutdown",
                "!! {text}",
            ),
            working_codes=_codes("M105 M110 M112 M114 M115 M118 RESPOND FIRMWARE_RESTART"),
            by_m112="Shutdown due to M112 command",
            by_error=True,
        )
    ),
    busy="",
    idle_timeout=600.0,
    dtr_resets=False,
)
"""Klipper's pseudo-terminal, as recorded (klipper.txt) and by its gcode.py: M112 acts when it is read, and a few
commands work after a shutdown. The idle timeout is that of extras/idle_timeout.py."""

_TEACUP = Speech(
    lines=LineRules(
        strips_backslashes=False,
        numbers="checked",
        refusal=("rs N{next} Expected checksum {checksum}", "ok"),
        flushes=False,
        answers_blank_lines=True,
        lenient=True,
        any_case=True,
        max_line=4096,
    ),
    boot=BootSpeech(
        banner=("start", "ok"),
        identity=_lines(
            "FIRMWARE_NAME:Teacup FIRMWARE_URL:http://github.com/traumflug/Teacup_Firmware/ PROTOCOL_VERSION:1.0 ",
            "MACHINE_TYPE:Mendel EXTRUDER_COUNT:1 TEMP_SENSOR_COUNT:2 HEATER_COUNT:3\n",
            "cap:AUTOREPORT_TEMP:1",
        ),
    ),
    reports=ReportSpeech(
        temperatures="T:{t:.2f}/{t_target:.1f} B:{b:.2f}/{b_target:.1f}",
        temperatures_on_ok=False,
        position="X:{x:.3f},Y:{y:.3f},Z:{z:.3f},E:{e:.3f},F:{f:.0f}",
        homing_report=False,
        endstops=("x_min:{x} y_min:{y} z_min:{z} ",),
        endstop_words=("open", "open"),
        cold_lines=(),
    ),
    unknown="E: Bad {letter}-code {byte}",
    known_letters="GM",
    lacks=_codes("M0 M1 M31 M107 M108 M109 M113 M117 M118 M154 M190 M211 M400 M410 M503 M876 M999"),
    commands={
        "G0": other.delay_until_hot(MOVES["G0"]),
        "G1": other.delay_until_hot(MOVES["G1"]),
        "M84": other.stop_motors,
        "M116": other.wait_at_next_move,
        **dict.fromkeys(("T0", "T1"), no_effect),
    },
    stop=StopSpeech(m112_lines=(), error_lines=()),
)
"""Teacup, as recorded (teacup-basic.txt, teacup-lines.txt)."""

_SUPERVISION = "Printer stopped due to errors. Supervision required."
_PRUSA_39 = Speech(
    lines=LineRules(
        strips_backslashes=False,
        seven_bits=True,
        refuses_bare_checksum=True,
        checksum_at_first_star=True,
        splits_long_lines=True,
        drops_after=2.0,
    ),
    boot=BootSpeech(
        banner=(
            "start",
            "echo: 3.9.0-3421",
            "echo: Last Updated: Apr 16 2020 | Author: (none, default config)",
            "echo: Free Memory: 2439  PlannerBufferBytes: 1760",
            "echo:Hardcoded Default Settings Loaded",
        ),
        identity=_lines(
            "FIRMWARE_NAME:Prusa-Firmware 3.9.0 based on Marlin ",
            "FIRMWARE_URL:https://github.com/prusa3d/Prusa-Firmware ",
            "PROTOCOL_VERSION:1.0 MACHINE_TYPE:Prusa i3 MK3S EXTRUDER_COUNT:1 ",
            "UUID:00000000-0000-0000-0000-000000000000",
        ),
    ),
    reports=ReportSpeech(
        temperatures=(
            "T:{t:.1f} /{t_target:.1f} B:{b:.1f} /{b_target:.1f} T0:{t:.1f} /{t_target:.1f} @:{t_power} B@:{b_power}"
        ),
        wait_line="T:{t:.1f} E:0 B:{b:.1f}",
        residency=3.0,
        waits_for_cooling=True,
        min_extrude=175.0,
        position="X:{x:.2f} Y:{y:.2f} Z:{z:.2f} E:{e:.2f} Count X: {x:.2f} Y:{y:.2f} Z:{z:.2f} E:{e:.2f}",
        homing_report=False,
    ),
    unknown_codes={letter: f"Unknown {letter} code: {{text}}" for letter in "GM"},
    unknown='echo:Unknown command: "{text}"(2)',
    ok_again=_codes("M105"),
    action="// action:{text}",
    actions=_codes("pause paused resume resumed cancel"),
    status="LCD status changed",
    lacks=_codes("M86 M87 M108 M154 M211 M410 M412 M876 M999"),
    commands=prusa_commands.TABLE,
    stop=StopSpeech(
        m112_lines=("Error:Printer halted. kill() called!", "M112 called. Emergency Stop."),
        reboots_after=5.1,
        halt=Halt(("// action:cancel", "{text}", "Error:" + _SUPERVISION), (), by_error=True, reads=False),
    ),
    pause=prusa_commands.pause_now,
)
"""Prusa-Firmware 3.9: 3.13 without capabilities."""

_PRUSA_313 = replace(
    _PRUSA_39,
    boot=replace(
        _PRUSA_39.boot,
        banner=(
            "start",
            "echo: 3.13.3-7094",
            "SpoolJoin is Off",
            "echo: Last Updated: Nov 28 2026 04:14:33 | Author: (none, default config)",
            "echo: Free Memory: 2746  PlannerBufferBytes: 1760",
            "echo:Hardcoded Default Settings Loaded",
        ),
        late_banner=((0.2, "adc_init"),),
        identity=_lines(
            "FIRMWARE_NAME:Prusa-Firmware 3.13.3 based on Marlin ",
            "FIRMWARE_URL:https://github.com/prusa3d/Prusa-Firmware ",
            "PROTOCOL_VERSION:1.0 MACHINE_TYPE:Prusa i3 MK2.5S EXTRUDER_COUNT:1 ",
            "UUID:00000000-0000-0000-0000-000000000000\n",
            "Cap:AUTOREPORT_TEMP:1\nCap:AUTOREPORT_FANS:1\nCap:AUTOREPORT_POSITION:1\n",
            "Cap:EXTENDED_M20:1\nCap:PRUSA_MMU2:1",
        ),
    ),
    reports=replace(
        _PRUSA_39.reports,
        temperatures=(
            "T:{t:.1f} /{t_target:.1f} B:{b:.1f} /{b_target:.1f} T0:{t:.1f} /{t_target:.1f} "
            "@:{t_power} B@:{b_power} P:21.9"
        ),
        endstops=("Reporting endstop status", "x_min: {x}", "y_min: {y}", "z_min: {z}", "z_max: open"),
    ),
    commands={**_PRUSA_39.commands, "M503": prusa_commands.settings},
)
"""Prusa-Firmware 3.13.3, as recorded (prusa-3.13.3-basic.txt, -lines.txt); its rules for lines are in cmdqueue.cpp."""

_NO_CARD_BANNER = (*_PRUSA_313.boot.late_banner, (2.15, "echo:SD init fail"), (4.2, "echo:SD init fail"))

_FATAL = " - Printer stopped and heaters disabled due to this error. Fix error and restart with M999."
_REPETIER_REQUEST = ("", "Resend:{next}", "ok")
_REPETIER = Speech(
    lines=LineRules(
        strips_backslashes=False,
        numbers="modulo",
        refusal=("{reason}", *_REPETIER_REQUEST),
        reasons={
            "checksum mismatch": "Error:Wrong checksum\nError:Wrong checksum",
            "Line Number is not Last Line Number+1": "Error:expected line {next} got {number}",
            "too long": "",
        },
        request=_REPETIER_REQUEST,
        asks_after=0.2,
        flushes=False,
        repeat_answer="skip {number}",
        any_case=True,
        max_line=96,
    ),
    boot=BootSpeech(
        banner=("start", "Info:External Reset", "Free RAM:3382", "SelectExtruder:0", "FlowMultiply:100"),
        identity=_lines(
            "FIRMWARE_NAME:Repetier_1.0.4 COMPILED:Nov 28 2026 FIRMWARE_URL:https://github.com/repetier/Repetier-Firmware/",
            " PROTOCOL_VERSION:1.0 MACHINE_TYPE:STACKER EXTRUDER_COUNT:1 REPETIER_PROTOCOL:3\n",
            "Cap:PROGRESS:0\nCap:AUTOREPORT_TEMP:1\nCap:HOST_RESCUE:0\nCap:EEPROM:0\nCap:AUTOLEVEL:0\nCap:Z_PROBE:0\n",
            "Cap:SOFTWARE_POWER:0\nCap:TOGGLE_LIGHTS:0\nCap:PAUSESTOP:1\nCap:PREHEAT:1\nCap:EMERGENCY_PARSER:1\n",
            "PrinterMode:FFF",
        ),
    ),
    ok="ok {last}",
    ok_when="received",
    line_end="\r\n",
    reports=ReportSpeech(
        temperatures="T:{t:.2f} /{t_target:.0f} B:{b:.2f} /{b_target:.0f} B@:{b_power} @:{t_power}",
        temperatures_on_ok=False,
        wait_line="{report}",
        min_extrude=150.0,
        position="X:{x:.2f} Y:{y:.2f} Z:{z:.3f} E:{e:.4f}",
        cold_lines=(),
    ),
    unknown="Unknown command:{plain}",
    lacks=_codes("M0 M1 M17 M20 M27 M31 M86 M87 M113 M154 M211 M301 M304 M410 M503 M600 M876"),
    commands=repetier_commands.TABLE,
    stop=StopSpeech(
        m112_reboots=True,
        halt=Halt(
            (f"fatal:{{text}}{_FATAL}",),
            (f"fatal:{{text}}{_FATAL}",),
            working_codes=_codes("M999"),
            by_error=True,
        ),
    ),
    busy="busy:{reason}",
    idle_wait=1.0,
)
"""Repetier-Firmware 1.0.4, as recorded (repetier-1.0.4-basic.txt, -lines.txt) and by its gcode.cpp and Commands.cpp."""

_SMOOTHIE = Speech(
    lines=LineRules(
        strips_backslashes=False,
        refusal=("rs N{next}",),
        flushes=False,
        answers_blank_lines=True,
        any_case=False,
        max_line=132,
        checksum_at_first_star=True,
    ),
    boot=BootSpeech(
        banner=("Smoothie", "ok"),
        identity=_lines(
            "FIRMWARE_NAME:Smoothieware, FIRMWARE_URL:http%3A//smoothieware.org, ",
            "X-SOURCE_CODE_URL:https://github.com/Smoothieware/Smoothieware, FIRMWARE_VERSION:edge-3332442, ",
            "X-FIRMWARE_BUILD_DATE:Apr 22 2017 15:52:55, X-SYSTEM_CLOCK:120MHz, X-AXES:3, X-CNC:0, X-MSD:1",
        ),
    ),
    reports=ReportSpeech(
        temperatures="T:{t:.1f} /{t_target:.1f} @{t_power} B:{b:.1f} /{b_target:.1f} @{b_power}",
        wait_line="{report}",
        residency=0.0,
        position="C: X:{x:.4f} Y:{y:.4f} Z:{z:.4f} E:{e:.4f}",
        homing_report=False,
        endstops=("min_x:{x} min_y:{y} min_z:{z}",),
        endstop_words=("0", "1"),
        cold_lines=(),
    ),
    unknown="",
    commands={
        **dict.fromkeys(("G0", "G1"), other.acknowledge_early),
        "M112": other.halt_smoothie,
        "M999": other.clear_halt,
    },
    stop=StopSpeech(
        halt=Halt(
            ("{text}",),
            ("!!",),
            has_ok=False,
            working_codes=_codes("M2 M5 M9 M30 M80 M81 M105 M106 M107 M114 M115 M119 M503 M911 M999"),
            by_m112="ok Emergency Stop Requested - reset or M999 required to exit HALT state",
            m112_waits=True,
            by_error=True,
        )
    ),
    busy="",
)
"""Smoothieware, by its GcodeDispatch.cpp and Robot.cpp."""

_REPRAPFIRMWARE = Speech(
    lines=LineRules(
        strips_backslashes=False, numbers="checked", refusal=(), flushes=False, any_case=True, max_line=256
    ),
    boot=BootSpeech(
        banner=("RepRapFirmware for Duet 2 WiFi/Ethernet version 3.4.5 is up and running.",),
        identity=_lines(
            "FIRMWARE_NAME: RepRapFirmware for Duet 2 WiFi/Ethernet FIRMWARE_VERSION: 3.4.5 ",
            "ELECTRONICS: Duet WiFi 1.02 or later FIRMWARE_DATE: 2022-11-30",
        ),
    ),
    reports=ReportSpeech(
        temperatures="T:{t:.1f} /{t_target:.1f} B:{b:.1f} /{b_target:.1f}",
        wait_line="{report}",
        residency=0.0,
        position="X:{x:.3f} Y:{y:.3f} Z:{z:.3f} E:{e:.3f} Count {steps_x} {steps_y} {steps_z}",
        homing_report=False,
        endstops=("Endstops - X: {x}, Y: {y}, Z: {z}",),
        endstop_words=("not stopped", "at min stop"),
        cold_lines=("Error: G0/G1: extrusion is not possible, the tool is not hot enough",),
    ),
    unknown="Error: {word}: Command is not supported",
    stop=StopSpeech(m112_lines=(), error_lines=()),
    busy="",
)
"""RepRapFirmware 3 over USB, by its StringParser.cpp, GCodes.cpp and GCodes2.cpp."""

MARLIN = FirmwareConfig()
_OTHER = FirmwareConfig(busy=False, autoreport=False, e_mode="either")


def _prusa(speech: Speech) -> FirmwareConfig:
    return replace(
        MARLIN,
        e_mode="own",
        host_actions=True,
        sd_card=True,
        eeprom=True,
        progress=True,
        fw_retract=True,
        whole_degrees=True,
        speech=speech,
    )


FIRMWARES: dict[str, FirmwareConfig] = {
    "marlin": MARLIN,
    "marlin-advok": replace(MARLIN, emergency_parser=True, advanced_ok=True, host_actions=True),
    "marlin2.1": replace(MARLIN, marlin21=True, eeprom=True, speech=marlin21()),
    "marlin21": replace(
        MARLIN,
        marlin21=True,
        emergency_parser=True,
        host_actions=True,
        eeprom=True,
        sd_card=True,
        speech=marlin21(parser=1, host=1, card=1),
    ),
    "marlin21-meatpack": replace(
        MARLIN,
        marlin21=True,
        emergency_parser=True,
        meatpack=True,
        host_actions=True,
        eeprom=True,
        sd_card=True,
        speech=marlin21(parser=1, host=1, card=1, meatpack=1),
    ),
    "marlin1": replace(MARLIN, e_mode="either", sd_card=True, eeprom=True, speech=MARLIN_119),
    "marlin1.0": replace(_OTHER, sd_card=True, eeprom=True, speech=MARLIN_10),
    "malyan": replace(_OTHER, flow_control=True, speech=MALYAN),
    "malyan-0": replace(_OTHER, flow_control=True, speech=MALYAN_0),
    "prusa": replace(_prusa(_PRUSA_313), meatpack=True),
    "prusa-no-card": replace(
        _prusa(replace(_PRUSA_313, boot=replace(_PRUSA_313.boot, late_banner=_NO_CARD_BANNER))), meatpack=True
    ),
    "prusa-3.9": _prusa(_PRUSA_39),
    "repetier": replace(
        MARLIN, e_mode="either", emergency_parser=True, queue=1, fw_retract=True, whole_degrees=True, speech=_REPETIER
    ),
    "smoothie": replace(_OTHER, e_mode="last", flow_control=True, queue=1, speech=_SMOOTHIE),
    "reprapfirmware": replace(_OTHER, e_mode="own", flow_control=True, queue=1, speech=_REPRAPFIRMWARE),
    "teacup": replace(_OTHER, autoreport=True, queue=1, speech=_TEACUP),
    "klipper": replace(_OTHER, flow_control=True, rx_buffer=4096, speech=_KLIPPER),
}
"""The firmwares for `--firmware` and `sim?firmware=`."""
