"""Marlin's longer texts, as recorded from Marlin 2.0.x without options (marlin-plain-basic.txt)."""

from gcode.planner import MotionLimits
from hal.simulated.config import FirmwareConfig

VERSION = "Marlin bugfix-2.0.x"
PAUSED_FOR_USER = "paused for user"
"""The reason in busy lines while the firmware waits for the user."""

_BANNER = (
    "start",
    "PowerUp",
    VERSION,
    "",
    "echo: Last Updated: 2021-06-05 | Author: (none, default config)",
    "echo:Compiled: Jun  5 2021",
    "echo: Free Memory: 0  PlannerBufferBytes: 1280",
    "echo:Hardcoded Default Settings Loaded",
)

_IDENTITY = (
    f"FIRMWARE_NAME:{VERSION} (Jun  5 2021 12:00:00) SOURCE_CODE_URL:github.com/MarlinFirmware/Marlin "
    "PROTOCOL_VERSION:1.0 MACHINE_TYPE:3D Printer EXTRUDER_COUNT:1 UUID:cede2a2f-41a2-4748-9b12-c55c62f367ff"
)

_CAPABILITIES = """
    SERIAL_XON_XOFF:0 BINARY_FILE_TRANSFER:0 EEPROM:0 VOLUMETRIC:1 AUTOREPORT_POS:1 AUTOREPORT_TEMP:1 PROGRESS:0
    PRINT_JOB:1 AUTOLEVEL:0 RUNOUT:0 Z_PROBE:0 LEVELING_DATA:0 BUILD_PERCENT:0 SOFTWARE_POWER:0 TOGGLE_LIGHTS:0
    CASE_LIGHT_BRIGHTNESS:0 EMERGENCY_PARSER:0 HOST_ACTION_COMMANDS:0 PROMPT_SUPPORT:0 SDCARD:0 REPEAT:0
    SD_WRITE:0 AUTOREPORT_SD_STATUS:0 LONG_FILENAME:0 THERMAL_PROTECTION:1 MOTION_MODES:0 ARCS:1 BABYSTEPPING:0
    CHAMBER_TEMPERATURE:0 COOLER_TEMPERATURE:0 MEATPACK:0
"""


def make_identity(config: FirmwareConfig) -> list[str]:
    """Return the answer to M115."""
    capabilities = dict(each.split(":") for each in _CAPABILITIES.split())
    configured = {
        "EEPROM": config.eeprom,
        "AUTOREPORT_TEMP": config.autoreport,
        "BUILD_PERCENT": config.progress,
        "EMERGENCY_PARSER": config.emergency_parser,
        "MEATPACK": config.meatpack,
        "HOST_ACTION_COMMANDS": config.host_actions,
        "PROMPT_SUPPORT": config.host_actions,
        "SDCARD": config.sd_card,
        "AUTOREPORT_SD_STATUS": config.sd_card and config.autoreport,
    }
    capabilities |= {name: str(int(value)) for name, value in configured.items()}
    return [
        _IDENTITY,
        *(f"Cap:{name}:{value}" for name, value in capabilities.items()),
        *([_area(config)] if config.host_actions else []),
    ]


def _area(config: FirmwareConfig) -> str:
    """Return the line about the volume that the nozzle reaches."""
    lowest, highest = (
        ",".join(f"{axis}:{value:.2f}" for axis, value in zip("xyz", corner, strict=True))
        for corner in (config.lowest, config.volume)
    )
    reach = f"{{min:{{{lowest}}},max:{{{highest}}}}}"
    return f"area:{{full:{reach},work:{reach}}}"


def format_reach(config: FirmwareConfig) -> tuple[str, str]:
    """Return the lowest and the highest X, Y and Z that the nozzle reaches."""
    return _format_corner(config.lowest), _format_corner(config.volume)


def _format_corner(corner: tuple[float, float, float]) -> str:
    return " ".join(f"{axis}{value:.2f}" for axis, value in zip("XYZ", corner, strict=True))


def format_axes(values: list[float]) -> str:
    """Return `X1.00 Y2.00 Z3.00 E4.00`."""
    return " ".join(f"{axis}{value:.2f}" for axis, value in zip("XYZE", values, strict=True))


def make_settings(limits: MotionLimits, steps: list[float]) -> list[str]:
    """Return the answer to M503, which is also part of the banner."""
    return [
        "echo:  G21    ; Units in mm (mm)",
        "",
        "echo:; Filament settings: Disabled",
        "echo:  M200 S0 D1.75",
        "echo:; Steps per unit:",
        f"echo: M92 {format_axes(steps)}",
        "echo:; Maximum feedrates (units/s):",
        f"echo:  M203 {format_axes(limits.feedrates)}",
        "echo:; Maximum Acceleration (units/s2):",
        f"echo:  M201 {format_axes(limits.accelerations)}",
        "echo:; Acceleration (units/s2): P<print_accel> R<retract_accel> T<travel_accel>",
        f"echo:  M204 P{limits.printing:.2f} R{limits.retract:.2f} T{limits.travel:.2f}",
        *_m205_lines(limits),
        "echo:; Home offset:",
        "echo:  M206 X0.00 Y0.00 Z0.00",
        "echo:; PID settings:",
        "echo:  M301 P21.14 I1.76 D55.47",
    ]


def _m205_lines(limits: MotionLimits) -> list[str]:
    """Return the lines about M205."""
    names = "X<max_x_jerk> Y<max_y_jerk> Z<max_z_jerk> E<max_e_jerk>" if limits.classic_jerk else "J<junc_dev>"
    return [
        f"echo:; Advanced: B<min_segment_time_us> S<min_feedrate> T<min_travel_feedrate> {names}",
        f"echo:  {format_m205(limits)}",
    ]


def format_m205(limits: MotionLimits) -> str:
    """Return the M205 that sets these limits."""
    minimums = f"B{limits.min_segment_time * 1e6:.2f} S{limits.min_feedrate:.2f} T{limits.min_travel_feedrate:.2f}"
    corners = format_axes(limits.jerk) if limits.classic_jerk else f"J{limits.junction_deviation:.2f}"
    return f"M205 {minimums} {corners}"


def make_banner(limits: MotionLimits, steps: list[float]) -> list[str]:
    """Return the lines at boot."""
    return [*_BANNER, *make_settings(limits, steps)]
