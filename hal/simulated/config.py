"""What can be chosen about a simulated printer, as data."""

from dataclasses import dataclass, field

from hal.simulated.motion import Limits
from hal.simulated.thermal import BED, HOTEND, HeaterConfig


@dataclass(frozen=True, slots=True)
class FirmwareConfig:
    """A printer with Marlin 2.0.x, as built without options.

    Attributes:
        emergency_parser: M108, M112, M410 and M876 act when their bytes arrive, whatever is queued before.
        advanced_ok: `ok N10 P15 B3` instead of `ok`.
        host_actions: `//action:` lines, prompts and M0.
        busy: `echo:busy: processing` each `busy_interval` seconds of a long command.
        autoreport: M155 is understood.
        sd_card: M27 is understood; with `autoreport` it reports by itself too.
        marlin21: a repeat of the last line or the one before is dropped without an answer.
        rx_buffer: bytes that wait on the device while the command queue is full.
        queue: commands that wait to be executed, the running one included.
        flow_control: bytes beyond the receive buffer wait on the host's side (native USB) instead of
            vanishing (UART).
        baudrate: speed of the wire in both directions; None where bytes take no time.
        execution_time: seconds that each command costs the device's processor.
        boot_time: seconds from a reset to `start`; what arrives meanwhile is lost.
        noise: standard deviation of a temperature reading, °C.
        seed: of everything random; the same seed and input give the same bytes.
        park: where the machine stands at power-on, mm from its endstops; it decides what the first G28 takes.
    """

    emergency_parser: bool = False
    advanced_ok: bool = False
    host_actions: bool = False
    busy: bool = True
    busy_interval: float = 2.0
    autoreport: bool = True
    sd_card: bool = False
    marlin21: bool = False
    rx_buffer: int = 128
    queue: int = 4
    flow_control: bool = False
    baudrate: int | None = None
    execution_time: float = 0.0
    boot_time: float = 0.03
    noise: float = 0.05
    seed: int = 0
    park: tuple[float, float, float] = (60.0, 60.0, 45.0)
    hotend: HeaterConfig = HOTEND
    bed: HeaterConfig = BED
    limits: Limits = field(default_factory=Limits)
