"""The sections of the configuration file for core and front: the only source of what is read, refused and written."""

from daemon.config.options import option
from gcode.frozen import frozen

FIRMWARES = (
    "marlin", "marlin-1.0", "prusa", "prusa-buddy", "repetier", "smoothie", "reprapfirmware", "teacup", "malyan",
    "klipper",
)  # fmt: skip
"""Firmwares by their names in `[profile] firmware`."""

COMPANIONS = {
    "timelapse": ("timelapse",), "power": ("power", "sensors"), "notify": ("notify", "spoolman"),
    "mqtt": ("mqtt",), "farm": ("farm",),
}  # fmt: skip
"""The sections of each companion, a process beside core and front. A section in the file switches its companion on."""


def unit_of(companion: str) -> str:
    """Return the name of a companion's unit; `nozzled-farm` is the server of a farm."""
    return "nozzled-farm-agent" if companion == "farm" else f"nozzled-{companion}"


def describe_switched_off(companion: str) -> str:
    """Return the message about a companion that is not switched on, with the sections that switch it on."""
    sections = " or ".join(f"[{each}]" for each in COMPANIONS[companion])
    return f"the companion {companion} is not switched on: add {sections} to the configuration file"


@frozen
class HttpConfig:
    """The HTTP server."""

    host: str = option("127.0.0.1", "Address to listen on; 0.0.0.0 means every network of this machine.")
    port: int = option(5000, "TCP port; 0 takes any free one.", low=0, high=65535)
    max_upload_mib: int = option(4096, "Largest upload, in MiB.", low=1, high=1_048_576)
    quota_mib: int = option(0, "Room for all uploads together, in MiB; 0: as much as the disk has.", low=0, high=10**9)
    hostnames: tuple[str, ...] = option(
        (), "Further host names under which requests without a key are accepted; with a key, any name works."
    )
    trusted_proxies: tuple[str, ...] = option(
        (), "Addresses or networks of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."
    )
    allow_origins: tuple[str, ...] = option(
        (),
        "Other origins whose pages may use the API, like https://example.org, or file:// and null for programs that "
        "show a page from a file; * means all. They need a key nevertheless.",
    )
    max_connections: int = option(1024, "Connections at once.", low=8, high=65536)
    max_connections_per_client: int = option(
        256, "Connections at once from one address without a key.", low=4, high=65536
    )


@frozen
class PrinterConfig:
    """The connection to the printer."""

    address: str = option(
        "",
        "sim, serial:/dev/ttyACM0, serial:auto or tcp:HOST:PORT; empty: no printer until a client asks for one.",
    )
    baudrate: int = option(
        115200, "Bits per second, unless the address has them; 0: try the usual ones.", low=0, high=10_000_000
    )
    extra_ports: tuple[str, ...] = option((), "Globs of further ports that clients may connect to.")
    connect_timeout_s: float = option(30.0, "Seconds to wait for a printer that does not answer.", low=1, high=600)
    retry_s: float = option(5.0, "Seconds between attempts to connect.", low=0.1, high=3600)
    reattach_s: float = option(
        60.0, "Seconds that a print waits for a lost connection to return; 0: it ends at once.", low=0, high=3600
    )
    on_error: str = option(
        "fail",
        "What happens when the firmware answers a line of a print with an error and does not halt: fail ends the "
        "print and turns the heaters off, pause pauses it, ignore warns and continues.",
        choices=("fail", "pause", "ignore"),
    )
    poll_idle_s: float = option(
        5.0, "Seconds between temperature requests while no heater is on and no job runs.", low=0.5, high=600
    )
    poll_active_s: float = option(
        2.0,
        "Seconds between temperature requests while a heater is on or a job runs; a firmware that reports by itself "
        "always reports at this interval.",
        low=0.5,
        high=600,
    )


@frozen
class ProfileConfig:
    """The printer's size and abilities, for clients and checks; `nozzled config --preset list` has known printers."""

    preset: str = option("", "A known printer, like ender-3; it sets every key that is not set here.")
    name: str = option("Default", "Name of the profile.")
    model: str = option("Generic RepRap Printer", "Make and model.")
    width_mm: float = option(0.0, "Width of the bed, along X; 0: unknown, and not checked.", low=0, high=100_000)
    depth_mm: float = option(0.0, "Depth of the bed, along Y; 0: unknown.", low=0, high=100_000)
    height_mm: float = option(0.0, "Height of the print volume; 0: unknown.", low=0, high=100_000)
    origin: str = option("lowerleft", "Where X and Y are 0 on the bed.", choices=("lowerleft", "center"))
    shape: str = option("rectangular", "Shape of the bed.", choices=("rectangular", "circular"))
    x_min_mm: float = option(0.0, "Lowest X that the nozzle can reach; 0: the edge of the bed.", low=-10_000, high=0)
    x_max_mm: float = option(0.0, "Highest X; 0: the edge of the bed.", low=0, high=100_000)
    y_min_mm: float = option(0.0, "Lowest Y, -4 on a Prusa MK3; 0: the edge of the bed.", low=-10_000, high=0)
    y_max_mm: float = option(0.0, "Highest Y; 0: the edge of the bed.", low=0, high=100_000)
    z_min_mm: float = option(0.0, "Lowest Z.", low=-10_000, high=0)
    z_max_mm: float = option(0.0, "Highest Z; 0: height_mm.", low=0, high=100_000)
    heated_bed: bool = option(default=True, doc="The bed can be heated.")
    heated_chamber: bool = option(default=False, doc="The chamber can be heated.")
    extruders: int = option(1, "Number of tools, T0 upwards.", low=1, high=16)
    shared_nozzle: bool = option(default=False, doc="All tools share one hotend, as with Prusa's MMU.")
    nozzle_mm: float = option(0.4, "Diameter of the nozzle.", low=0.01, high=10)
    max_hotend_c: float = option(300.0, "Highest target for a hotend, in °C.", low=1, high=1000)
    max_bed_c: float = option(120.0, "Highest target for the bed, in °C.", low=1, high=500)
    max_chamber_c: float = option(120.0, "Highest target for the chamber, in °C.", low=1, high=500)
    min_extrusion_c: float = option(
        -1.0, "Lowest temperature for extrusion, in °C; 0: no limit; -1: the firmware's own limit.", low=-1, high=500
    )
    firmware: str = option(
        "", "Its firmware; empty: as the printer says, and Marlin until it has answered.", choices=("", *FIRMWARES)
    )
    motion: tuple[str, ...] = option(
        (), 'Limits of motion, as the commands that set them, like "M201 X1000 Y1000"; empty: unknown.', gcode=True
    )
    tool_change_s: float = option(0.0, "Seconds that a tool change takes.", low=0, high=3600)
    filament_change_s: float = option(
        60.0, "Seconds that a filament change (M600) is assumed to take.", low=0, high=86400
    )
    probing_s: float = option(60.0, "Seconds that probing the bed (G29, G80) takes.", low=0, high=3600)

    @property
    def hotends(self) -> int:
        """The number of hotends."""
        return 1 if self.shared_nozzle else self.extruders

    @property
    def has_size(self) -> bool:
        """The printer's size is known."""
        return self.width_mm > 0 or self.depth_mm > 0 or self.height_mm > 0


@frozen
class LinkConfig:
    """The conversation with the firmware."""

    window_lines: int = option(0, "Lines in flight; 0: as many as the firmware is known to buffer.", low=0, high=64)
    window_bytes: int = option(0, "Bytes in flight; 0: as many as the firmware is known to buffer.", low=0, high=65536)
    answer_timeout_s: float = option(
        30.0, "Seconds of silence after which the host probes which line the printer expects.", low=1, high=3600
    )
    long_commands: tuple[str, ...] = option(
        (),
        "Further commands that may take minutes without an answer, like G425 or PRINT_START; the usual ones are known.",
        gcode=True,
    )
    compact: str = option(
        "auto",
        "auto: moves are sent without redundant blanks and zeros to firmwares that are tested with it; "
        "off: as they are in the file.",
        choices=("auto", "off"),
    )
    packing: str = option(
        "auto",
        "auto: lines are packed to half their bytes (MeatPack) for firmwares that report support for it; off: never.",
        choices=("auto", "off"),
    )
    record: str = option("", "Directory for recordings, one for each connection; empty: no recordings.")
    record_max_mib: int = option(64, "Size at which a recording continues in another file, in MiB.", low=1, high=4096)
    record_keep: int = option(
        10,
        "Number of files to keep; the oldest are deleted, so a long recording loses its beginning.",
        low=1,
        high=10_000,
    )


ALL_OFF = ("M104 S0", "M140 S0", "M107", "M84")
"""Hotend, bed and fan off, motors released."""


@frozen
class JobConfig:
    """How a job is run."""

    heat_up: str = option(
        "auto",
        "Who waits for the temperatures in a file (M109, M190, M191). While the host waits, pause and cancel work. "
        "auto: the firmware waits if it has EMERGENCY_PARSER, otherwise the host.",
        choices=("auto", "host", "firmware"),
    )
    on_stop: str = option(
        "hand-over",
        'What happens to a print when systemd restarts the service: "hand-over" leaves it to the next process; '
        '"safe" ends it and turns the heaters off, as stopping the service always does.',
        choices=("hand-over", "safe"),
    )
    after_reboot: str = option(
        "ask",
        "What happens to a print when the computer reboots while the printer keeps its power, heat and position: "
        '"resume" continues it at once; "ask" pauses it until a user resumes it; "safe" ends it and turns the heaters '
        "off.",
        choices=("resume", "ask", "safe"),
    )
    after_reboot_min: float = option(
        60.0,
        'With after_reboot = "ask": minutes for which the print waits for its user; then it ends. Meanwhile the bed '
        "stays hot (on Prusa-Firmware for 30 min), and the hotends go to standby as in any pause.",
        low=1,
        high=1440,
    )
    cancel_deadline_s: float = option(
        30.0,
        "Seconds of silence after which the printer of a cancelled or failed job gets M112. A firmware that is silent "
        "during its last moves gets at least five minutes for them.",
        low=5,
        high=3600,
    )
    heat_report_s: float = option(
        60.0,
        "Seconds without a temperature report after which a wait for heat fails, and the job with it.",
        low=5,
        high=3600,
    )


@frozen
class PauseConfig:
    """Head and heaters in a pause. The head is not moved if the firmware does not report its position."""

    park: str = option(
        "lift",
        "none: do not move; lift: move up; corner: move up, then to park_x_mm, park_y_mm.",
        choices=("none", "lift", "corner"),
    )
    lift_mm: float = option(5.0, "Distance to move up.", low=0, high=1000)
    retract_mm: float = option(1.0, "Length of filament to retract, if the hotend is hot.", low=0, high=100)
    park_x_mm: float = option(0.0, "X to move to, with park = corner.", low=-1000, high=100_000)
    park_y_mm: float = option(0.0, "Y to move to, with park = corner.", low=-1000, high=100_000)
    standby_after_min: float = option(30.0, "Minutes after which hotends go to standby; 0: never.", low=0, high=10_000)
    standby_c: float = option(
        100.0, "Temperature of hotends in standby, in °C; the bed keeps its target.", low=0, high=300
    )


@frozen
class SafetyConfig:
    """When heaters are turned off automatically; docs/safety.md has the rules that always apply."""

    idle_heat_min: float = option(
        30.0,
        "Minutes with a heater on, but without a print or a command, after which all heaters are turned off; 0: never.",
        low=0,
        high=1440,
    )
    dead_man_min: float = option(
        10.0,
        "Minutes without a move after which the firmware halts by itself (M85), in case this computer has died. "
        "Must be longer than the longest dwell (G4) of any file; 0: nozzled does not set this timer.",
        low=0,
        high=1440,
    )
    dead_man_paused_min: float = option(30.0, "The same while a print is paused.", low=1, high=1440)
    no_progress_min: float = option(
        15.0,
        "Minutes without an acknowledged line, while the printer is neither busy nor heating, after which a "
        "warning is shown; 0: never.",
        low=0,
        high=1440,
    )


@frozen
class ScriptsConfig:
    """G-code sent around a job, one list entry per line; {z}, {bed_target} and a few others are filled in."""

    connected: tuple[str, ...] = option(
        (), "Each time the printer has connected; not when a print is reattached.", gcode=True
    )
    before_start: tuple[str, ...] = option((), "Before the first line of a file.", gcode=True)
    after_pause: tuple[str, ...] = option((), "When a paused job is at rest.", gcode=True)
    before_resume: tuple[str, ...] = option((), "Before a paused job resumes.", gcode=True)
    after_cancel: tuple[str, ...] = option(
        ALL_OFF,
        "After a cancelled job; every heater has been turned off by then.",
        gcode=True,
    )
    after_failure: tuple[str, ...] = option(ALL_OFF, "After a failed job, if the printer still listens.", gcode=True)
    after_finish: tuple[str, ...] = option((), "After the last line of a file.", gcode=True)
    eject: tuple[str, ...] = option(
        (),
        "After after_finish, for prints from the queue: clears the bed, which then counts as clear for the next print.",
        gcode=True,
    )


@frozen
class PathsConfig:
    """Where files are kept."""

    state_dir: str = option(
        "",
        "Uploads and database; empty: $STATE_DIRECTORY, $XDG_STATE_HOME/nozzled or ~/.local/state/nozzled.",
    )


@frozen
class LogConfig:
    """The log, on standard error."""

    level: str = option("info", "Lowest severity to log.", choices=("debug", "info", "warning", "error"))
    format: str = option(
        "auto",
        "auto: console on a terminal, fields in the journal, JSON lines elsewhere.",
        choices=("auto", "console", "json"),
    )


@frozen
class ApiConfig:
    """Access to the API."""

    key_file: str = option("", "File of the API key; empty: api-key in the state directory.")
    loopback_without_key: bool = option(
        default=False,
        doc="Programs on this machine need no key to read and control; anyone who can run one here has access.",
    )


@frozen
class AppearanceConfig:
    """How this printer appears to users."""

    name: str = option("", "Name of the printer in clients; empty: their own choice.")


@frozen
class CameraConfig:
    """A further camera."""

    name: str = option("", "Its name, like Nozzle; empty: Camera and its number.")
    stream_url: str = option("", "Address of the live picture (MJPEG).")
    snapshot_url: str = option("", "Address of a single picture (JPEG).")
    webrtc_url: str = option("", "Address of a page that shows it by WebRTC.")
    hls_url: str = option("", "Address of its HLS stream, or of a page that plays it.")
    flip_horizontally: bool = option(default=False, doc="Mirror the picture left to right.")
    flip_vertically: bool = option(default=False, doc="Mirror the picture top to bottom.")
    rotate_90: bool = option(default=False, doc="Rotate the picture 90° to the left.")


@frozen
class WebcamConfig:
    """Cameras that look at the printer, served over HTTP by other programs."""

    stream_url: str = option(
        "",
        "Address of the live picture (MJPEG), like http://127.0.0.1:8080/stream; an address that only this "
        "machine can open is served as /webcam/. Empty: no camera.",
    )
    snapshot_url: str = option("", "Address of a single picture (JPEG).")
    flip_horizontally: bool = option(default=False, doc="Mirror the picture left to right.")
    flip_vertically: bool = option(default=False, doc="Mirror the picture top to bottom.")
    rotate_90: bool = option(default=False, doc="Rotate the picture 90° to the left.")
    name: str = option("", "Name of the first camera; empty: Webcam.")
    webrtc_url: str = option("", "Address of a page that shows it by WebRTC.")
    hls_url: str = option("", "Address of its HLS stream, or of a page that plays it.")
    cameras: tuple[CameraConfig, ...] = option(
        (), "Further cameras, each under [[webcam.cameras]] with a name and addresses.", table_type=CameraConfig
    )


@frozen
class SystemConfig:
    """Programs that keys of scope admin may run, as lists of arguments, without a shell. Empty: not offered."""

    shutdown: tuple[str, ...] = option((), 'Turns the machine off, like ["systemctl", "poweroff"].')
    reboot: tuple[str, ...] = option((), 'Reboots the machine, like ["systemctl", "reboot"].')
    restart: tuple[str, ...] = option((), 'Restarts the daemon, like ["systemctl", "restart", "nozzled"].')


@frozen
class DiscoveryConfig:
    """How clients find the daemon on the local network."""

    mdns: bool = option(default=True, doc="Announce it by mDNS, if it listens on an address of the network.")
    avahi_services: str = option("/etc/avahi/services", "Where Avahi looks for services to announce.")


@frozen
class MetricsConfig:
    """Metrics for Prometheus, at /metrics."""

    open_to: tuple[str, ...] = option(
        (), 'Addresses or networks that may read them without a key, like ["192.168.1.20", "fd00::/8"].'
    )


@frozen
class AnalysisConfig:
    """The analysis of files before they are printed: time, layers, errors."""

    enabled: bool = option(default=True, doc="Analyse uploads, in a process of their own.")
    priority: str = option(
        "idle",
        "idle: an analysis that no user waits for runs only while the processor is idle. low: it runs at low "
        "priority, for a computer that is never idle.",
        choices=("idle", "low"),
    )
    patience_s: float = option(
        20.0, "Seconds that a requested print waits for the analysis of its file.", low=0, high=600
    )


MAX_MACROS = 50
MAX_MACRO_COMMANDS = 100


@frozen
class Macro:
    """A button that sends commands.

    Attributes:
        name: the text of the button.
        commands: checked like a client's commands; all are sent, or none.
        while_printing: it works during a print.
    """

    name: str
    commands: tuple[str, ...]
    while_printing: bool = False


@frozen
class MacrosConfig:
    """Buttons of the page that send commands; each may also be a table of its own, [[macros.buttons]]."""

    buttons: tuple[Macro, ...] = option(
        (),
        'Like {name = "Load filament", commands = ["M83", "G1 E80 F300"]}; with while_printing = true they '
        "also work during a print.",
    )


@frozen
class Config:
    """The whole configuration; each field is a section of the file."""

    http: HttpConfig = HttpConfig()
    printer: PrinterConfig = PrinterConfig()
    profile: ProfileConfig = ProfileConfig()
    link: LinkConfig = LinkConfig()
    job: JobConfig = JobConfig()
    pause: PauseConfig = PauseConfig()
    safety: SafetyConfig = SafetyConfig()
    scripts: ScriptsConfig = ScriptsConfig()
    paths: PathsConfig = PathsConfig()
    log: LogConfig = LogConfig()
    api: ApiConfig = ApiConfig()
    appearance: AppearanceConfig = AppearanceConfig()
    webcam: WebcamConfig = WebcamConfig()
    system: SystemConfig = SystemConfig()
    discovery: DiscoveryConfig = DiscoveryConfig()
    analysis: AnalysisConfig = AnalysisConfig()
    metrics: MetricsConfig = MetricsConfig()
    macros: MacrosConfig = MacrosConfig()


Macros = tuple[Macro, ...]
