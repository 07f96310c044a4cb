"""Configuration: a TOML file → frozen dataclasses, and back with every key explained.

The dataclasses are the only source: a field's type, default and `option` say what `load` accepts and what
`render` writes. What is not understood is refused, never skipped: a misspelt key must not pass for a setting.
"""

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from daemon.config import named_values
from daemon.errors import ConfigError
from daemon.one_line import is_one_line
from daemon.systemd.directories import of_systemd
from gcode.errors import NozzledError
from gcode.outgoing import check_command

SYSTEM_FILE = Path("/etc/nozzled.toml")
"""Read when neither the command line nor NOZZLED_CONFIG names a file."""

UPLOADS = "uploads"
"""Folder in the state directory: the front writes there, the core reads."""

FIRMWARES = (
    "marlin", "marlin-1.0", "prusa", "prusa-buddy", "repetier", "smoothie", "reprapfirmware", "teacup", "malyan",
    "klipper",
)  # fmt: skip
"""What a printer may run, as `[profile] firmware` names it."""

T = TypeVar("T")
Texts = tuple[str, ...]

_SHOWN = 60  # characters of a refused value in a message


@dataclass(frozen=True, slots=True)
class Option:
    """What a key means and which values it takes, besides its type."""

    doc: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    gcode: bool = False


def option(
    default: T,
    doc: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    choices: tuple[str, ...] = (),
    gcode: bool = False,
) -> T:
    """Declare a key: its default, its comment and its allowed values; with `gcode` they are commands."""
    return field(default=default, metadata={"option": Option(doc, low, high, choices, gcode)})


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """The HTTP server."""

    host: str = option("127.0.0.1", "Address to listen on; 0.0.0.0 means every network of this machine.")
    port: int = option(5000, "TCP port; 0 takes any free one.", low=0, high=65535)
    max_upload_mib: int = option(4096, "Largest upload, in MiB.", low=1, high=1_048_576)
    quota_mib: int = option(0, "Room for all uploads together, in MiB; 0: as much as the disk has.", low=0, high=10**9)
    hostnames: tuple[str, ...] = option(
        (), "Names of this machine besides its own, for requests without a key; a key works under any name."
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
        256, "Of these, from one address that have shown no key.", low=4, high=65536
    )


@dataclass(frozen=True, slots=True)
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
        60.0, "Seconds that a print waits for a line that was lost; 0: it ends at once.", low=0, high=3600
    )
    on_error: str = option(
        "fail",
        "What an error does that answers a line of a print and does not halt the firmware: fail ends the print and "
        "makes the printer cold, pause pauses it, ignore tells it and goes on.",
        choices=("fail", "pause", "ignore"),
    )
    poll_idle_s: float = option(
        5.0, "Seconds between temperature requests while no heater is on and no job runs.", low=0.5, high=600
    )
    poll_active_s: float = option(2.0, "Seconds between temperature requests or reports otherwise.", low=0.5, high=600)


@dataclass(frozen=True, slots=True)
class ProfileConfig:
    """What the printer is, for clients to show and to check against; `nozzled config --preset list` has known ones."""

    preset: str = option(
        "", "A printer that is known, like ender-3; what it is like holds for every key that is not given here."
    )
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
    firmware: str = option("", "What it runs; empty: it is asked, and Marlin until then.", choices=("", *FIRMWARES))
    motion: tuple[str, ...] = option(
        (), 'Limits of motion, by the commands that set them, like "M201 X1000 Y1000"; empty: not known.', gcode=True
    )
    tool_change_s: float = option(0.0, "Seconds that a change of the tool takes.", low=0, high=3600)
    filament_change_s: float = option(
        60.0, "Seconds that a change of filament (M600) is taken to take.", low=0, high=86400
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


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """The conversation with the firmware."""

    window_lines: int = option(0, "Lines in flight; 0: what the firmware is known to hold.", low=0, high=64)
    window_bytes: int = option(0, "Bytes in flight; 0: what the firmware is known to hold.", low=0, high=65536)
    answer_timeout_s: float = option(
        30.0, "Seconds of silence after which the printer is asked where it stands.", low=1, high=3600
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
    record: str = option("", "Directory that takes a recording of every connection; empty: none is made.")
    record_max_mib: int = option(64, "Size at which a recording goes on in another file, in MiB.", low=1, high=4096)
    record_keep: int = option(10, "Recordings kept, the newest ones.", low=1, high=10_000)


ALL_OFF = ("M104 S0", "M140 S0", "M107", "M84")
"""Hotend, bed and fan off, motors released."""


@dataclass(frozen=True, slots=True)
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
        "What a print does when the service is restarted by systemd: hand-over leaves it to the service that comes "
        "next, safe ends it and makes the printer cold, as a stop always does.",
        choices=("hand-over", "safe"),
    )
    after_reboot: str = option(
        "ask",
        "What a print does when the computer was started anew in the middle of it, and the printer has kept its power, "
        "its heat and its place: resume goes on at once; ask goes on when somebody resumes it; safe ends it and makes "
        "the printer cold.",
        choices=("resume", "ask", "safe"),
    )
    after_reboot_min: float = option(
        60.0,
        "Minutes for which ask keeps the printer warm: the bed all the time, hotends as in any pause. Then the print "
        "ends.",
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
        60.0, "Seconds without a temperature report that end a wait for one, and the job.", low=5, high=3600
    )


@dataclass(frozen=True, slots=True)
class PauseConfig:
    """What becomes of the head and the heat in a pause. Where the firmware tells no position nothing is moved."""

    park: str = option(
        "lift",
        "none: stay; lift: only up; corner: up, then to park_x_mm, park_y_mm.",
        choices=("none", "lift", "corner"),
    )
    lift_mm: float = option(5.0, "How far up.", low=0, high=1000)
    retract_mm: float = option(1.0, "How much filament is pulled back, where the hotend is hot.", low=0, high=100)
    park_x_mm: float = option(0.0, "Where to, with park = corner.", low=-1000, high=100_000)
    park_y_mm: float = option(0.0, "Where to, with park = corner.", low=-1000, high=100_000)
    standby_after_min: float = option(30.0, "Minutes after which hotends go to standby; 0: never.", low=0, high=10_000)
    standby_c: float = option(100.0, "Their temperature then, in °C; the bed keeps its own.", low=0, high=300)


@dataclass(frozen=True, slots=True)
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
        "Minutes without a move after which the firmware stops by itself, as this computer is dead then (M85). More "
        "than the longest dwell (G4) of any file; 0: it is left alone.",
        low=0,
        high=1440,
    )
    dead_man_paused_min: float = option(30.0, "The same while a print is paused.", low=1, high=1440)
    no_progress_min: float = option(
        15.0,
        "Minutes in which the printer acknowledges no line of a print, and neither is busy nor heats, until that is "
        "told; 0: never.",
        low=0,
        high=1440,
    )


@dataclass(frozen=True, slots=True)
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
        "Behind that, when the print came from the queue: clears the bed, which then counts as clear for the next one.",
        gcode=True,
    )


@dataclass(frozen=True, slots=True)
class PathsConfig:
    """Where things are kept."""

    state_dir: str = option(
        "",
        "Uploads and database; empty: $STATE_DIRECTORY, $XDG_STATE_HOME/nozzled or ~/.local/state/nozzled.",
    )


@dataclass(frozen=True, slots=True)
class LogConfig:
    """The log, on standard error."""

    level: str = option("info", "Least severity shown.", choices=("debug", "info", "warning", "error"))
    format: str = option(
        "auto",
        "auto: console on a terminal, fields in the journal, else JSON lines.",
        choices=("auto", "console", "json"),
    )


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """Access to the API."""

    key_file: str = option("", "Where the API key is kept; empty: api-key in the state directory.")
    loopback_without_key: bool = option(
        default=False, doc="Programs on this machine need no key to read and to control; whoever can run one is in."
    )


@dataclass(frozen=True, slots=True)
class AppearanceConfig:
    """How this printer shows itself to people."""

    name: str = option("", "Name shown by clients; empty: they choose.")


@dataclass(frozen=True, slots=True)
class WebcamConfig:
    """A camera that looks at the printer; clients show it, the daemon only tells them where it is."""

    stream_url: str = option("", "Address of the live picture; empty: there is no camera.")
    snapshot_url: str = option("", "Address of a single picture.")
    flip_horizontally: bool = option(default=False, doc="The picture is mirrored left to right.")
    flip_vertically: bool = option(default=False, doc="The picture is mirrored top to bottom.")
    rotate_90: bool = option(default=False, doc="The picture is to be turned a quarter to the left.")


@dataclass(frozen=True, slots=True)
class SystemConfig:
    """Programs that keys of scope admin may run, as lists of arguments; no shell sees them. Empty: not offered."""

    shutdown: tuple[str, ...] = option((), 'Turns the machine off, like ["systemctl", "poweroff"].')
    reboot: tuple[str, ...] = option((), 'Starts the machine anew, like ["systemctl", "reboot"].')
    restart: tuple[str, ...] = option((), 'Starts the daemon anew, like ["systemctl", "restart", "nozzled"].')


@dataclass(frozen=True, slots=True)
class DiscoveryConfig:
    """How clients find the daemon in the local network."""

    mdns: bool = option(default=True, doc="Announce it by mDNS, where it listens on an address of the network.")
    avahi_services: str = option("/etc/avahi/services", "Where Avahi looks for services to announce.")


@dataclass(frozen=True, slots=True)
class AnalysisConfig:
    """What is found out about files before they are printed: time, layers, and what is wrong with them."""

    enabled: bool = option(default=True, doc="Uploads are analysed, by a process that runs when nobody else wants to.")
    patience_s: float = option(
        20.0, "Seconds that a print which is asked for waits for the analysis of its file.", low=0, high=600
    )


MOST_MACROS = 50
MOST_COMMANDS = 100  # of one macro


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class MacrosConfig:
    """Buttons of the page that send commands; each may stand by itself too, under [[macros.buttons]]."""

    buttons: tuple[Macro, ...] = option(
        (),
        'Like {name = "Load filament", commands = ["M83", "G1 E80 F300"]}; with while_printing = true also during a '
        "print.",
    )


@dataclass(frozen=True, slots=True)
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
    macros: MacrosConfig = MacrosConfig()


Macros = tuple[Macro, ...]


def path_of(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the configuration file: the one given, else $NOZZLED_CONFIG, else the system's; None: there is none."""
    if given is not None:
        return given
    if environ.get("NOZZLED_CONFIG"):
        return Path(environ["NOZZLED_CONFIG"])
    return SYSTEM_FILE if SYSTEM_FILE.exists() else None


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the configuration file: the one given, else $NOZZLED_CONFIG, else the system's, else defaults.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or holds something that is not understood.
    """
    found = path_of(path, environ)
    return Config() if found is None else merge(Config(), _read(found), str(found))


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except ValueError as error:  # TOMLDecodeError, and what int() says of 5,000 digits
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def merge(base: Config, tables: Mapping[str, object], source: str) -> Config:
    """Return `base` with the values of `tables` (section → key → value) in place of its own.

    Args:
        base: the configuration to start from.
        tables: as tomllib returns them, or made from the command line.
        source: file name or the like, for messages.

    Raises:
        ConfigError: an unknown section or key, or a value of the wrong type or range.
    """
    sections: dict[str, Any] = {}
    for name, table in tables.items():
        _refuse_unknown(name, table, Config, f"{source}: ")
        if not isinstance(table, Mapping):
            raise ConfigError(f"{source}: {name} = {_shown(table)}: must be a section, [{name}]")
        section = getattr(base, name)
        if name == "profile":
            section = _of_preset(section, table, source)
        sections[name] = _merge_section(section, table, f"{source}: {name}.")
    return replace(base, **sections)


def _of_preset(profile: "ProfileConfig", table: Mapping[str, Any], source: str) -> "ProfileConfig":
    """Return what the other keys are laid over: the preset that the table names, else what there is."""
    from daemon.config.presets import find  # noqa: PLC0415 - it needs the section

    name = table.get("preset", "")
    if not isinstance(name, str) or not name:
        return profile
    try:
        return find(name).profile
    except ConfigError as error:
        raise ConfigError(f"{source}: profile.preset: {error}") from error


def _merge_section(section: Any, table: Mapping[str, Any], prefix: str) -> Any:
    kinds = get_type_hints(type(section))
    rules = {each.name: each.metadata["option"] for each in fields(section)}
    values = {}
    for key, value in table.items():
        _refuse_unknown(key, value, type(section), prefix)
        if not _fits(value, kinds[key], rules[key]):
            wanted = _allowed(kinds[key], rules[key])
            raise ConfigError(f"{prefix}{key} = {_shown(value)}: must be {wanted}")
        if kinds[key] == Macros:
            values[key] = _macros(value, f"{prefix}{key}")
            continue
        if rules[key].gcode:
            _check_script(value, f"{prefix}{key}")
        values[key] = kinds[key](value)
    if getattr(section, "preset", "") and "preset" in values:
        values["preset"] = section.preset  # its own name, however it was written
    return replace(section, **values)


def _macros(given: Iterable[Any], key: str) -> "tuple[Macro, ...]":
    """Return the buttons of a list of tables.

    Raises:
        ConfigError: one is none, or two have one name.
    """
    found: dict[str, Macro] = {}
    for each in given:
        table = {field.name: getattr(each, field.name) for field in fields(Macro)} if isinstance(each, Macro) else each
        made = _macro(table, key)
        if made.name.casefold() in found:
            raise ConfigError(f"{key}: there are two with the name {_shown(made.name)}")
        found[made.name.casefold()] = made
    if len(found) > MOST_MACROS:
        raise ConfigError(f"{key}: there may be {MOST_MACROS}, not {len(found)}")
    return tuple(found.values())


def _macro(table: object, key: str) -> Macro:
    if not isinstance(table, Mapping) or not {"name", "commands"} <= table.keys() <= {
        each.name for each in fields(Macro)
    }:
        raise ConfigError(f"{key} = {_shown(table)}: must be a table with name, commands and, perhaps, while_printing")
    name, commands, always = table["name"], table["commands"], table.get("while_printing", False)
    if not _is_text(name) or not name.strip() or len(name) > _SHOWN:
        raise ConfigError(f"{key}: name = {_shown(name)}: must be a text of 1 to {_SHOWN} characters")
    if not _fits(commands, Texts, Option("")) or not 0 < len(commands) <= MOST_COMMANDS:
        raise ConfigError(f"{key}: commands = {_shown(commands)}: must be a list of 1 to {MOST_COMMANDS} commands")
    if not isinstance(always, bool):
        raise ConfigError(f"{key}: while_printing = {_shown(always)}: must be true or false")
    for line in commands:
        try:
            check_command(line)
        except NozzledError as error:
            raise ConfigError(f"{key}, {_shown(name)}: {error}") from error
    return Macro(name.strip(), tuple(commands), always)


def _check_script(lines: Iterable[str], key: str) -> None:
    """Refuse now what the link would refuse in the middle of a print."""
    for line in lines:
        # before a job there is nothing to be named
        unknown = named_values.names(line) if key.endswith("connected") else named_values.unknown_names(line)
        if unknown:
            allowed = "none here" if key.endswith("connected") else ", ".join(named_values.NAMES)
            raise ConfigError(f"{key} = {_shown(line)}: unknown value {{{unknown[0]}}}; allowed: {allowed}")
        try:
            check_command(named_values.example(line))
        except NozzledError as error:
            raise ConfigError(f"{key} = {_shown(line)}: {error}") from error


def _refuse_unknown(key: str, value: object, section: type, prefix: str) -> None:
    known = [each.name for each in fields(section)]
    if key in known:
        return
    import difflib  # noqa: PLC0415 - for a mistake alone

    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    what = "section" if section is Config else "key"
    shown = f"{prefix}{key[:_SHOWN]} = {_shown(value)}"
    raise ConfigError(f"{shown}: unknown {what}; {hint}known are {', '.join(known)}")


def _fits(value: object, kind: object, rule: Option) -> bool:
    if kind is bool:
        return isinstance(value, bool)
    if kind is str:
        return _is_text(value) and (not rule.choices or value in rule.choices)
    if kind == Macros:
        return isinstance(value, list | tuple)
    if kind == Texts:
        return isinstance(value, list | tuple) and all(_is_text(each) and each.strip() for each in value)
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        return False
    return rule.low <= value <= rule.high  # false for NaN, too


def _is_text(value: object) -> bool:
    """Text of one line: a line break in a G-code line would smuggle in another one."""
    return isinstance(value, str) and is_one_line(value)


def _allowed(kind: object, rule: Option) -> str:
    if rule.choices:
        return "one of " + ", ".join(map(_shown, rule.choices))
    if kind is bool:
        return "true or false"
    if kind is str:
        return "text in quotes, on one line"
    if kind == Texts:
        return "a list of texts, none of them empty or with a line break"
    if kind == Macros:
        return "a list of tables, each with name and commands"
    return f"a {'whole ' if kind is int else ''}number from {rule.low} to {rule.high}"


def _shown(value: object) -> str:
    """A refused value for a message: as TOML where it can be, never long."""
    text = _toml(value) if isinstance(value, bool) or _is_text(value) else repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def render(config: Config) -> str:
    """Write the configuration as TOML, every key with its comment; `load` reads it back as it was."""
    return "\n".join(_render_section(each.name, getattr(config, each.name)) for each in fields(config))


def _render_section(name: str, section: Any) -> str:
    lines = [f"# {type(section).__doc__}", f"[{name}]"]
    kinds = get_type_hints(type(section))
    usual = _usual(section)
    for each in fields(section):
        rule = each.metadata["option"]
        limits = "" if kinds[each.name] in (bool, str, Texts, Macros) else f" From {rule.low} to {rule.high}."
        if rule.choices:
            limits = f" One of {', '.join(each or 'nothing' for each in rule.choices)}."
        lines.append(f"# {rule.doc}{limits} Default: {_toml(each.default)}")
        value = getattr(section, each.name)
        of_preset = usual is not None and each.name != "preset" and value == getattr(usual, each.name)
        lines.append(f"{'# ' if of_preset else ''}{each.name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _usual(section: Any) -> "ProfileConfig | None":
    """Return what a preset says of every key, where one is chosen; what is the same is shown as a comment."""
    from daemon.config.presets import find  # noqa: PLC0415 - as above

    return find(section.preset).profile if isinstance(section, ProfileConfig) and section.preset else None


def _toml(value: object) -> str:
    """Write a value that `load` has accepted; text holds no control characters then."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Macro):
        always = ", while_printing = true" if value.while_printing else ""
        return f"{{name = {_toml(value.name)}, commands = {_toml(value.commands)}{always}}}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def state_dir(config: Config, environ: Mapping[str, str]) -> Path:
    """Return the directory for uploads and database: configured, systemd's, or the user's own."""
    if config.paths.state_dir:
        return Path(config.paths.state_dir).expanduser()
    if given := of_systemd(environ, "STATE_DIRECTORY"):
        return given
    xdg = Path(environ.get("XDG_STATE_HOME", ""))
    base = xdg if xdg.is_absolute() else Path(environ.get("HOME") or Path.home()) / ".local/state"
    return base / "nozzled"


def runtime_file(environ: Mapping[str, str]) -> Path | None:
    """Return where the next host finds what this one was about, in memory that a power cut clears; None: nowhere."""
    if given := of_systemd(environ, "RUNTIME_DIRECTORY"):
        return given / "logbook"
    xdg = Path(environ.get("XDG_RUNTIME_DIR", ""))
    return xdg / "nozzled-logbook" if xdg.is_absolute() and xdg.is_dir() else None


def core_socket(environ: Mapping[str, str]) -> Path | None:
    """Return where the core waits for the front; None: there is no runtime directory."""
    logbook = runtime_file(environ)
    if logbook is None:
        return None
    return logbook.with_name("core.sock" if logbook.name == "logbook" else "nozzled-core.sock")


def key_file(config: Config, state: Path) -> Path:
    """Return the file that holds the API key."""
    return Path(config.api.key_file).expanduser() if config.api.key_file else state / "api-key"
