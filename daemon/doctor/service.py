"""Checks of the daemon itself: configuration, units, HTTP, keys, version, and recent failures."""

import gzip
import json
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from daemon.config import key_file
from daemon.doctor.finding import Finding, Subject, bad, good, note
from daemon.doctor.ports import OUR_PROCESSES
from daemon.doctor.view import MAX_BYTES, View
from daemon.front.access.keys import MIN_LENGTH
from daemon.systemd.installed import NAME, listening_as
from hal.session_file import PRINTER

OUR_MODULES = ("gcode", "hal", "daemon")
DAY = 24 * 3600
MAX_FAULTS = 3  # the newest ones are listed
MAX_SHOWN = 120  # characters of the last line
LOOPBACK = ("127.", "[::1]", "localhost")


def versions(view: View, subject: Subject) -> Iterator[Finding]:
    """Whether the daemon has the same version as this program."""
    system = (view.run("systemctl", "--version") or "no systemd").splitlines()[0]
    yield good(f"nozzled {subject.version}, Python {platform.python_version()}, {system}, {platform.machine()}")
    if subject.running_version and subject.running_version != subject.version:
        yield note(
            f"the running daemon has version {subject.running_version}, but this program has version {subject.version}",
            _restart_fix(subject),
        )


def _restart_fix(subject: Subject) -> str:
    """Return how to restart the daemon, and what that does to a print."""
    if subject.service is None:
        return "end the running daemon, which ends a print, and start it again"
    effect = "this ends a print" if subject.config.job.on_stop == "safe" else "a print continues"
    return f"sudo systemctl restart {subject.service.core_name} ({effect})"


def modules(view: View, _: Subject) -> Iterator[Finding]:
    """Whether another distribution has modules of our names: each breaks the other."""
    owners = view.modules_of()
    for name in OUR_MODULES:
        if others := sorted(set(owners.get(name, ())) - {"nozzled"}):
            yield bad(
                f"the module `{name}` here also belongs to {' and '.join(others)}: they break each other",
                "install nozzled into its own environment, as `sudo make install` does, or uninstall the other",
            )


def configuration(_: View, subject: Subject) -> Iterator[Finding]:
    """Whether the configuration can be used."""
    if subject.mistake:
        yield bad(subject.mistake, f"sudo nano {subject.config_path}; `nozzled config` shows all settings")
    else:
        yield good(f"the configuration is {subject.config_path or 'the default: there is no file'}")


def units(view: View, subject: Subject) -> Iterator[Finding]:
    """Whether systemd runs the two services."""
    if subject.service is None:
        yield note("this daemon is not installed as a service; it is started by hand", "sudo make install")
        return
    for unit in (subject.service.core, subject.service.front):
        shown = view.run("systemctl", "show", "--property=ActiveState,Result,NRestarts,UnitFileState", unit) or ""
        properties = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        yield from _unit(unit, properties, is_core=unit == subject.service.core)


def _unit(unit: str, properties: dict[str, str], *, is_core: bool) -> Iterator[Finding]:
    short, state = unit.removesuffix(".service"), properties.get("ActiveState", "")
    if state == "failed":
        yield bad(
            f"{unit} has failed ({properties.get('Result', '')})"
            + ("; the heaters were turned off" if is_core else ""),
            f"journalctl -u {short} -n 100 says why; "
            f"then sudo systemctl reset-failed {short}; sudo systemctl start {short}",
        )
    elif state != "active":
        yield bad(f"{unit} is not running ({state or 'unknown to systemd'})", f"sudo systemctl enable --now {short}")
    elif (restarts := properties.get("NRestarts", "0")) not in ("", "0"):
        yield note(f"{unit} is running; systemd has restarted it {restarts} times", f"journalctl -u {short} -p warning")
    else:
        yield good(f"{unit} is running")
    if is_core and properties.get("UnitFileState") == "disabled" and "@" not in unit:
        yield note(f"{unit} does not start with the computer", f"sudo systemctl enable {short} nozzled.socket")


def http(view: View, subject: Subject) -> Iterator[Finding]:
    """Whether the daemon answers at the configured address, and whether other computers can reach it."""
    at = f"{subject.host}:{subject.port}"
    others = [
        name
        for name in view.listeners_at(subject.port)
        if name not in OUR_PROCESSES and name not in ("systemd", "init")
    ]
    if others and not subject.running_version:
        yield bad(
            f"another program uses port {subject.port}: {', '.join(others)}",
            "set [http] port = 5001, or stop that program",
        )
    elif subject.running_version == "":
        fix = f"systemctl status {subject.service.front_name}" if subject.service else "nozzled serve"
        yield bad(f"no answer at {at}", fix)
    elif subject.running_version:
        yield good(f"HTTP answers at {at}")
    elif subject.running_version is None and not subject.mistake:
        yield note(
            f"the daemon at {at} refuses to answer without its key", "sudo nozzled doctor, or set NOZZLED_API_KEY"
        )
    if subject.service is not None and subject.sockets and not subject.service.printer:
        configured = listening_as(subject.config.http.host, subject.config.http.port)
        if configured not in subject.sockets:
            yield note(
                f"[http] says {configured}, but systemd listens at {', '.join(subject.sockets)}",
                "sudo systemctl daemon-reload; sudo systemctl restart nozzled.socket "
                "(a drop-in of nozzled.socket wins: systemctl cat nozzled.socket)",
            )
    host = subject.config.http.host
    addresses = subject.sockets or (f"[{host}]:" if ":" in host else f"{host}:",)
    if all(each.startswith(LOOPBACK) for each in addresses):
        fix = f'host = "0.0.0.0" below [http] in {subject.config_path or "the configuration"}'
        if subject.service is not None and not subject.service.printer:
            fix += "; sudo systemctl daemon-reload; sudo systemctl restart nozzled.socket"
        yield note("other computers and phones cannot connect: the daemon listens only for this computer", fix)


def key(view: View, subject: Subject) -> Iterator[Finding]:
    """Whether the file of the first key can be used."""
    path = key_file(subject.config, subject.state)
    node = view.node(str(path))
    text = view.read_text(path)
    if text is None:
        if view.user == "root" or subject.service is None:
            yield note(f"{path} does not exist yet: the daemon creates the key when it first starts")
        else:
            yield note(f"this user cannot read {path}", "sudo nozzled doctor")
        return
    if len(text.strip()) < MIN_LENGTH or not text.isascii():
        yield bad(f"{path} does not hold a valid key", "nozzled key --rotate makes a new one")
    elif node is not None and node.mode & 0o077:
        yield bad(f"other users can read the key: {path} has mode {node.mode:o}", f"chmod 600 {path}")
    elif node is not None and subject.user and node.user != subject.user:
        yield bad(f"{path} belongs to {node.user}, so the service cannot read it", f"sudo chown {subject.user} {path}")
    else:
        yield good(f"the key is in {path}")


def keyring(view: View, subject: Subject) -> Iterator[Finding]:
    """Whether the file of the named keys can be used."""
    text = view.read_text(subject.state / "keys.json")
    if text is None:
        return
    try:
        count = len(json.loads(text)["keys"])
    except (ValueError, KeyError, TypeError):
        yield bad(f"{subject.state}/keys.json is damaged", "the next start sets it aside; make new keys then")
    else:
        yield good(f"named keys: {count or 'none'}")


def damaged_files(view: View, subject: Subject) -> Iterator[Finding]:
    """Whether the daemon has set damaged files aside."""
    for path in view.list_folder(subject.state):
        if ".damaged" in path.name:
            yield note(f"a damaged file was set aside: {path.name}", "check the SD card and the power supply")


def printer_error(_: View, subject: Subject) -> Iterator[Finding]:
    """Whether the daemon reports an error of the printer."""
    state, _separator, error = subject.printer_status.partition(": ")
    if "error" in state.lower() or (error and state == "Offline"):
        yield bad(f"the printer is {state}: {error}", "do as the text says; `nozzled printer status` shows it again")
    elif error:
        yield note(f"the printer is {state}, but: {error}", "`nozzled printer status` shows whether the error persists")
    elif subject.printer_status:
        yield good(f"the printer: {subject.printer_status}")


def faults(view: View, subject: Subject) -> Iterator[Finding]:
    """Connections that failed within a day."""
    recordings = view.list_folder(subject.state / "faults")
    sudo = "" if subject.service is None else "sudo "  # only root and the service may read its state
    recent = [path for path in recordings if view.now() - path.stat().st_mtime < DAY]
    for path in recent[-MAX_FAULTS:]:
        yield note(f"a connection failed: {path.name}{_last_line(path)}", f"{sudo}nozzled replay --show {path}")
    if more := len(recent[:-MAX_FAULTS]):
        yield note(f"{more} more connections failed within a day", f"{sudo}ls {subject.state}/faults")


def _last_line(path: Path) -> str:
    """Return the printer's last line, or why the connection was lost, as far as the recording can be read."""
    words = ""
    with suppress(OSError, EOFError, ValueError, LookupError, TypeError), gzip.open(path) as file:
        for line in file.read(MAX_BYTES).splitlines()[1:]:
            _time, kind, text = json.loads(line)
            if kind == PRINTER or text.startswith("lost"):
                words = f"; the last line: {text.strip()[-MAX_SHOWN:]!r}"
    return words


def log(view: View, subject: Subject) -> Iterator[Finding]:
    """Warnings and errors of the last day."""
    if subject.service is None:
        return
    own = [word for unit in (subject.service.core, subject.service.front) for word in ("-u", unit)]
    output = view.run(
        "journalctl", "-t", NAME, *own, "-p", "warning", "--since=-24h", "-o", "cat", "-q", "-n", "200", "--no-pager"
    )
    if output is None:
        yield note("the journal cannot be read", "sudo nozzled doctor")
    elif output:
        lines = output.splitlines()
        yield note(
            f"warnings in the log within a day: {len(lines)}; the last: {lines[-1][:200]}",
            f"journalctl -t {NAME} {' '.join(own).replace('.service', '')} -p warning -n 50",
        )


CHECKS = (versions, modules, configuration, units, http, printer_error, key, keyring, damaged_files, faults, log)
