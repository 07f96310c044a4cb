"""FirmwareConfig: everything that can be configured about a simulated printer."""

from collections.abc import Mapping
from dataclasses import field

from gcode.firmware_traits import EMode
from gcode.frozen import frozen
from gcode.planner import MotionLimits
from hal.simulated.heater import BED, HOTEND, HeaterConfig
from hal.simulated.scenario import Scenario
from hal.simulated.speech import Speech


@frozen
class FirmwareConfig:
    """A printer; the defaults are those of Marlin 2.0.x, built without options.

    Attributes:
        emergency_parser: M108, M112, M410 and M876 act when their bytes arrive, whatever is queued before.
        advanced_ok: `ok N10 P15 B3` instead of `ok`.
        host_actions: `//action:` lines, prompts and M0.
        busy: `echo:busy: processing` every `busy_interval` seconds of a long command.
        autoreport: M115 reports AUTOREPORT_TEMP; M155 is understood in any case.
        eeprom: M500 and M501 preserve settings over a reset.
        progress: M73 is understood.
        sd_card: M20 and the other commands of the card are understood; with `autoreport` M27 S too.
        meatpack: lines are unpacked once the host switches that on (MEATPACK).
        marlin21: a repeat of one of the last two lines is dropped without an answer.
        rx_buffer: size of the receive buffer in bytes (RX_BUFFER_SIZE).
        queue: size of the command queue in lines, the running one included (BUFSIZE).
        flow_control: bytes beyond the receive buffer wait on the host's side (native USB) instead of
            vanishing (UART).
        baudrate: speed of the wire in both directions; None: bytes take no time.
        latency: seconds that a packet of up to 64 bytes takes through USB or a network, each way.
        jitter: the most seconds of random delay in addition.
        execution_time: seconds that the device's processor takes for each command.
        boot_time: seconds from a reset to `start`; bytes that arrive meanwhile are lost.
        restart_time: seconds from FIRMWARE_RESTART until the firmware is ready (klipper.txt).
        noise: standard deviation of a temperature reading, °C.
        seed: of everything random; the same seed and input give the same bytes.
        e_mode: what makes coordinates of E relative.
        speech: the firmware's messages and rules, where they differ from Marlin's.
        scenario: the printer's faults.
        sd_files: the content of the SD card: the bytes of each file, by name.
        extruders: the number of tools, T0 and so on.
        shared_nozzle: the tools share one hotend, the only one in reports.
        whole_degrees: targets are whole degrees, and so are Marlin's reports.
        fw_retract: G10 and G11 retract (FWRETRACT).
        runout_sensor: M412 is understood.
        volume: the highest X, Y and Z, in mm.
        lowest: the lowest X, Y and Z, in mm; below 0 if 0 is the middle of the bed, or the nozzle reaches beyond it.
        hotend: the heater of each hotend.
        bed: the heater of the bed.
        chamber: the heater of a heated chamber; None: there is none.
        fans: the number of fans; the first one blows on the part.
        hotend_idle_timeout: M86 and M87 are understood.
        power_on_position: in mm from the endstops; it decides how long the first G28 takes.
        limits: of motion, until M201, M203, M204 and M205 change them.
    """

    emergency_parser: bool = False
    advanced_ok: bool = False
    host_actions: bool = False
    busy: bool = True
    busy_interval: float = 2.0
    autoreport: bool = True
    eeprom: bool = False
    progress: bool = False
    sd_card: bool = False
    meatpack: bool = False
    marlin21: bool = False
    rx_buffer: int = 128
    queue: int = 4
    flow_control: bool = False
    baudrate: int | None = None
    latency: float = 0.0
    jitter: float = 0.0
    execution_time: float = 0.0
    boot_time: float = 0.03
    restart_time: float = 1.7
    noise: float = 0.05
    seed: int = 0
    e_mode: EMode = "last"
    speech: Speech = field(default_factory=Speech)
    scenario: Scenario = field(default_factory=Scenario)
    sd_files: Mapping[str, bytes] = field(default_factory=dict)
    extruders: int = 1
    shared_nozzle: bool = False
    whole_degrees: bool = False
    fw_retract: bool = False
    runout_sensor: bool = False
    volume: tuple[float, float, float] = (200.0, 200.0, 200.0)
    lowest: tuple[float, float, float] = (0.0, 0.0, 0.0)
    power_on_position: tuple[float, float, float] = (60.0, 60.0, 45.0)
    hotend: HeaterConfig = HOTEND
    bed: HeaterConfig = BED
    chamber: HeaterConfig | None = None
    fans: int = 1
    hotend_idle_timeout: bool = False
    limits: MotionLimits = field(default_factory=MotionLimits)
