"""The sections of the configuration file. They are the only source of what is read, refused and written."""

from daemon.config.options import option
from gcode.frozen import frozen

FIRMWARES = (
    "marlin", "marlin-1.0", "prusa", "prusa-buddy", "repetier", "smoothie", "reprapfirmware", "teacup", "malyan",
    "klipper",
)  # fmt: skip
"""What a printer may run, as `[profile] firmware` names it."""

COMPANIONS = {
    "timelapse": ("timelapse",), "power": ("power", "sensors"), "notify": ("notify", "spoolman"),
    "mqtt": ("mqtt",), "farm": ("farm",),
}  # fmt: skip
"""Processes beside core and front, each with its sections of the file; it is switched on by having one there."""


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
        "show a page from a file; * means all. A key is needed all the same.",
    )
    max_connections: int = option(1024, "Connections at once.", low=8, high=65536)
    max_connections_per_client: int = option(
        256, "Of these, connections from one address that have shown no key.", low=4, high=65536
    )


@frozen
class PrinterConfig:
    """The line to the printer."""

    address: str = option(
        "", "sim, serial:/dev/ttyACM0 or serial:auto; empty: nothing is connected until it is asked for."
    )
    baudrate: int = option(
        115200, "Bits per second where the address gives none; 0: the usual ones are tried.", low=0, high=10_000_000
    )
    extra_ports: tuple[str, ...] = option((), "Globs of further ports that clients may connect to.")
    connect_timeout_s: float = option(30.0, "Seconds to wait for a printer that does not answer.", low=1, high=600)
    retry_s: float = option(5.0, "Seconds between attempts to connect.", low=0.1, high=3600)
    reattach_s: float = option(
        60.0, "Seconds that a print waits for a lost connection to come back; 0: it ends at once.", low=0, high=3600
    )
    on_error: str = option(
        "fail",
        "What happens when the firmware answers a line of a print with an error and does not halt: fail ends the "
        "print and turns the heaters off, pause pauses it, ignore warns and prints on.",
        choices=("fail", "pause", "ignore"),
    )
    poll_idle_s: float = option(
        5.0, "Seconds between temperature requests while no heater is on and no job runs.", low=0.5, high=600
    )
    poll_active_s: float = option(2.0, "Seconds between temperature requests or reports otherwise.", low=0.5, high=600)


@frozen
class ProfileConfig:
    """What the printer is, for clients to show and to check against; `nozzled config --preset list` has known ones."""

    preset: str = option("", "A known printer, like ender-3; its values hold for every key that is not given here.")
    name: str = option("Default", "Name of the profile.")
    model: str = option("Generic RepRap Printer", "Make and model.")
    width_mm: float = option(0.0, "Bed along X; 0: not known, and nothing is checked against it.", low=0, high=100_000)
    depth_mm: float = option(0.0, "Bed along Y; 0: not known.", low=0, high=100_000)
    height_mm: float = option(0.0, "How high it prints; 0: not known.", low=0, high=100_000)
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
        -1.0, "Below it nothing is extruded, in °C; 0: there is no limit; -1: as the firmware has it.", low=-1, high=500
    )
    firmware: str = option(
        "", "Its firmware; empty: the printer is asked, and Marlin is assumed until then.", choices=("", *FIRMWARES)
    )
    motion: tuple[str, ...] = option(
        (), 'Limits of motion, by the commands that set them, like "M201 X1000 Y1000"; empty: not known.', gcode=True
    )
    tool_change_s: float = option(0.0, "Seconds that a change of the tool takes.", low=0, high=3600)
    filament_change_s: float = option(
        60.0, "Seconds that a change of filament (M600) is assumed to take.", low=0, high=86400
    )
    probing_s: float = option(60.0, "Seconds that probing the bed (G29, G80) takes.", low=0, high=3600)

    @property
    def hotends(self) -> int:
        """How many hotends there are to be heated."""
        return 1 if self.shared_nozzle else self.extruders

    @property
    def sized(self) -> bool:
        """It is known how large the printer is."""
        return self.width_mm > 0 or self.depth_mm > 0 or self.height_mm > 0


@frozen
class LinkConfig:
    """The conversation with the firmware."""

    window_lines: int = option(0, "Lines in flight; 0: what the firmware is known to hold.", low=0, high=64)
    window_bytes: int = option(0, "Bytes in flight; 0: what the firmware is known to hold.", low=0, high=65536)
    answer_timeout_s: float = option(
        30.0, "Seconds of silence after which the printer is asked which line it wants.", low=1, high=3600
    )
    long_commands: tuple[str, ...] = option(
        (),
        "Further commands that may take minutes without a word, like G425 or PRINT_START; the usual ones are known.",
        gcode=True,
    )
    compact: str = option(
        "auto",
        "auto: moves are sent without blanks and zeros that mean nothing, to firmwares with which that was tried; "
        "off: as they are in the file.",
        choices=("auto", "off"),
    )
    packing: str = option(
        "auto",
        "auto: lines are sent packed, in half the bytes (MeatPack), to firmwares that say that they unpack them; "
        "off: never.",
        choices=("auto", "off"),
    )
    record: str = option("", "Directory for recordings, one of each connection; empty: none is made.")
    record_max_mib: int = option(64, "Size at which a recording continues in another file, in MiB.", low=1, high=4096)
    record_keep: int = option(10, "Recordings kept, the newest ones.", low=1, high=10_000)


ALL_OFF = ("M104 S0", "M140 S0", "M107", "M84")
"""Hotend, bed and fan off, motors released."""


@frozen
class JobConfig:
    """How a job is run."""

    heat_up: str = option(
        "auto",
        "Who waits for temperatures of a file (M109, M190, M191): host keeps pause and cancel working meanwhile; "
        "auto: the firmware if it has EMERGENCY_PARSER, else the host.",
        choices=("auto", "host", "firmware"),
    )
    on_stop: str = option(
        "hand-over",
        "What a print does when the service is restarted by systemd: hand-over leaves it to the next process, "
        "safe ends it and turns the heaters off, as a stop always does.",
        choices=("hand-over", "safe"),
    )
    after_reboot: str = option(
        "ask",
        "What a print does when the computer reboots during it and the printer keeps its power, its heat and its "
        "position: resume prints on at once; ask pauses until somebody resumes it; safe ends it and turns the heaters "
        "off.",
        choices=("resume", "ask", "safe"),
    )
    after_reboot_min: float = option(
        60.0,
        "Minutes for which ask keeps the printer warm: the bed all the time (Prusa-Firmware: 30 min), hotends as in "
        "any pause. Then the print ends.",
        low=1,
        high=1440,
    )
    cancel_deadline_s: float = option(
        30.0,
        "Seconds of silence after which the printer of a cancelled job is stopped by M112. Moves that it still makes "
        "are no silence: once it has acknowledged that its heaters are off, they have at least five minutes.",
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
    """What becomes of the head and the heat in a pause. Where the firmware tells no position nothing is moved."""

    park: str = option(
        "lift",
        "none: stay; lift: only up; corner: up, then to park_x_mm, park_y_mm.",
        choices=("none", "lift", "corner"),
    )
    lift_mm: float = option(5.0, "How far up.", low=0, high=1000)
    retract_mm: float = option(1.0, "How much filament is retracted, if the hotend is hot.", low=0, high=100)
    park_x_mm: float = option(0.0, "Where to, with park = corner.", low=-1000, high=100_000)
    park_y_mm: float = option(0.0, "Where to, with park = corner.", low=-1000, high=100_000)
    standby_after_min: float = option(30.0, "Minutes after which hotends go to standby; 0: never.", low=0, high=10_000)
    standby_c: float = option(100.0, "Their temperature then, in °C; the bed keeps its own.", low=0, high=300)


@frozen
class SafetyConfig:
    """When heaters are turned off unasked; docs/safety.md has the rules that are always on."""

    idle_heat_min: float = option(
        30.0,
        "Minutes with a heater on, but no print and no command, until all are turned off; 0: never.",
        low=0,
        high=1440,
    )
    dead_man_min: float = option(
        10.0,
        "Minutes without a move after which the firmware halts by itself (M85), in case this computer has died. "
        "Has to be more than the longest dwell (G4) of any file; 0: the timer is left alone.",
        low=0,
        high=1440,
    )
    dead_man_paused_min: float = option(30.0, "The same while a print is paused.", low=1, high=1440)
    no_progress_min: float = option(
        15.0,
        "Minutes without an acknowledged line, while the printer is neither busy nor heating, after which there "
        "is a warning; 0: never.",
        low=0,
        high=1440,
    )


@frozen
class ScriptsConfig:
    """G-code sent around a job, one list entry per line; {z}, {bed_target} and a few others are filled in."""

    connected: tuple[str, ...] = option((), "When the printer has answered for the first time.", gcode=True)
    before_start: tuple[str, ...] = option((), "Before the first line of a file.", gcode=True)
    after_pause: tuple[str, ...] = option((), "When a job has come to rest.", gcode=True)
    before_resume: tuple[str, ...] = option((), "Before a paused job goes on.", gcode=True)
    after_cancel: tuple[str, ...] = option(
        ALL_OFF,
        "After a cancelled job; every heater has been turned off by then.",
        gcode=True,
    )
    after_failure: tuple[str, ...] = option(ALL_OFF, "After a failed job, if the printer still listens.", gcode=True)
    after_finish: tuple[str, ...] = option((), "After the last line of a file.", gcode=True)
    eject: tuple[str, ...] = option(
        (),
        "After that, for a print from the queue: clears the bed, which then counts as clear for the next print.",
        gcode=True,
    )


@frozen
class PathsConfig:
    """Where things are kept."""

    state_dir: str = option(
        "",
        "Uploads and database; empty: $STATE_DIRECTORY, $XDG_STATE_HOME/nozzled or ~/.local/state/nozzled.",
    )


@frozen
class LogConfig:
    """The log, on standard error."""

    level: str = option("info", "Least severity shown.", choices=("debug", "info", "warning", "error"))
    format: str = option(
        "auto",
        "auto: console on a terminal, fields in the journal, else JSON lines.",
        choices=("auto", "console", "json"),
    )


@frozen
class ApiConfig:
    """Access to the API."""

    key_file: str = option("", "Where the API key is kept; empty: api-key in the state directory.")
    loopback_without_key: bool = option(
        default=False,
        doc="Programs on this machine need no key to read and control; anyone who can run one here has access.",
    )


@frozen
class AppearanceConfig:
    """How this printer shows itself to people."""

    name: str = option("", "Name shown by clients; empty: they choose.")


@frozen
class CameraConfig:
    """A further camera."""

    name: str = option("", "What it is called, like Nozzle; empty: Camera and its number.")
    stream_url: str = option("", "Address of the live picture (MJPEG).")
    snapshot_url: str = option("", "Address of a single picture (JPEG).")
    webrtc_url: str = option("", "Address of a page that shows it by WebRTC.")
    hls_url: str = option("", "Address of its HLS stream, or of a page that plays it.")
    flip_horizontally: bool = option(default=False, doc="The picture is mirrored left to right.")
    flip_vertically: bool = option(default=False, doc="The picture is mirrored top to bottom.")
    rotate_90: bool = option(default=False, doc="The picture is to be turned a quarter to the left.")


@frozen
class WebcamConfig:
    """Cameras that look at the printer; other programs have them, and tell their pictures by HTTP."""

    stream_url: str = option(
        "",
        "Address of the live picture (MJPEG), like http://127.0.0.1:8080/stream; an address that only this "
        "machine can open is served as /webcam/. Empty: there is none.",
    )
    snapshot_url: str = option("", "Address of a single picture (JPEG).")
    flip_horizontally: bool = option(default=False, doc="The picture is mirrored left to right.")
    flip_vertically: bool = option(default=False, doc="The picture is mirrored top to bottom.")
    rotate_90: bool = option(default=False, doc="The picture is to be turned a quarter to the left.")
    name: str = option("", "What the first camera is called; empty: Webcam.")
    webrtc_url: str = option("", "Address of a page that shows it by WebRTC.")
    hls_url: str = option("", "Address of its HLS stream, or of a page that plays it.")
    cameras: tuple[CameraConfig, ...] = option(
        (), "Further cameras, each under [[webcam.cameras]] with a name and addresses.", each=CameraConfig
    )


@frozen
class SystemConfig:
    """Programs that keys of scope admin may run, as lists of arguments; no shell sees them. Empty: not offered."""

    shutdown: tuple[str, ...] = option((), 'Turns the machine off, like ["systemctl", "poweroff"].')
    reboot: tuple[str, ...] = option((), 'Reboots the machine, like ["systemctl", "reboot"].')
    restart: tuple[str, ...] = option((), 'Restarts the daemon, like ["systemctl", "restart", "nozzled"].')


@frozen
class DiscoveryConfig:
    """How clients find the daemon in the local network."""

    mdns: bool = option(default=True, doc="Announce it by mDNS, where it listens on an address of the network.")
    avahi_services: str = option("/etc/avahi/services", "Where Avahi looks for services to announce.")


@frozen
class MetricsConfig:
    """Numbers for Prometheus, at /metrics."""

    open_to: tuple[str, ...] = option(
        (), 'Addresses or networks that may read them without a key, like ["192.168.1.20", "fd00::/8"].'
    )


@frozen
class AnalysisConfig:
    """What is found out about files before they are printed: time, layers, and what is wrong with them."""

    enabled: bool = option(default=True, doc="Uploads are analysed, by a process of their own.")
    priority: str = option(
        "idle",
        "idle: an analysis that nobody waits for runs when nothing else wants the processor. low: it runs at a low "
        "priority, for a computer that is never idle.",
        choices=("idle", "low"),
    )
    patience_s: float = option(
        20.0, "Seconds that a requested print waits for the analysis of its file.", low=0, high=600
    )


MOST_MACROS = 50
MOST_COMMANDS = 100  # of one macro


@frozen
class Macro:
    """A button that sends commands.

    Attributes:
        name: on the button.
        commands: checked as those of a client are, and sent all or none.
        while_printing: it may be pressed while a print goes on.
    """

    name: str
    commands: tuple[str, ...]
    while_printing: bool = False


@frozen
class MacrosConfig:
    """Buttons of the page that send commands; each may stand by itself too, under [[macros.buttons]]."""

    buttons: tuple[Macro, ...] = option(
        (),
        'Like {name = "Load filament", commands = ["M83", "G1 E80 F300"]}; with while_printing = true also during a '
        "print.",
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
