"""Checks of the daemon itself: configuration, units, HTTP, key, version, and what went wrong lately."""

import gzip
import json
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from daemon.config import key_file
from daemon.doctor.finding import Finding, Subject, bad, good, note
from daemon.doctor.line import OURS
from daemon.doctor.view import MOST, View
from daemon.front.access.keys import MIN_LENGTH
from daemon.systemd.installed import NAME, listening_as
from hal.session_file import PRINTER

OUR_MODULES = ("gcode", "hal", "daemon")
DAY = 24 * 3600
NEWEST = 3  # faults that are named
SHOWN = 120  # characters of what was said last
LOOPBACK = ("127.", "[::1]", "localhost")


def versions(view: View, subject: Subject) -> Iterator[Finding]:
    """What runs here, and whether the daemon is of the same version as this program."""
    system = (view.run("systemctl", "--version") or "no systemd").splitlines()[0]
    yield good(f"nozzled {subject.version}, Python {platform.python_version()}, {system}, {platform.machine()}")
    if subject.answers and subject.answers != subject.version:
        yield note(
            f"the daemon that runs is version {subject.answers}, this program {subject.version}",
            "sudo systemctl restart nozzled (a print goes on)",
        )


def modules(view: View, _: Subject) -> Iterator[Finding]:
    """Whether another distribution has modules of our names: each breaks the other."""
    whose = view.modules_of()
    for name in OUR_MODULES:
        if others := sorted(set(whose.get(name, ())) - {"nozzled"}):
            yield bad(
                f"the module `{name}` in this environment belongs to {' and '.join(others)} as well: both cannot work",
                "install nozzled into an environment of its own, as `sudo make install` does, or remove the other one",
            )


def configuration(_: View, subject: Subject) -> Iterator[Finding]:
    """Whether the configuration can be used."""
    if subject.mistake:
        yield bad(subject.mistake, f"sudo nano {subject.config_path}; `nozzled config` shows all settings")
    else:
        yield good(f"the configuration is {subject.config_path or 'the default, as there is no file'}")


def units(view: View, subject: Subject) -> Iterator[Finding]:
    """What systemd says of the two services."""
    if subject.service is None:
        yield note("this daemon is no service: somebody starts it by hand", "sudo make install")
        return
    for unit in (subject.service.core, subject.service.front):
        shown = view.run("systemctl", "show", "--property=ActiveState,Result,NRestarts,UnitFileState", unit) or ""
        told = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        yield from _unit(unit, told, is_core=unit == subject.service.core)


def _unit(unit: str, told: dict[str, str], *, is_core: bool) -> Iterator[Finding]:
    short, state = unit.removesuffix(".service"), told.get("ActiveState", "")
    if state == "failed":
        yield bad(
            f"{unit} has failed ({told.get('Result', '')}); the heaters were turned off",
            f"journalctl -u {short} -n 100 says why; "
            f"then sudo systemctl reset-failed {short}; sudo systemctl start {short}",
        )
    elif state != "active":
        yield bad(f"{unit} is not running ({state or 'unknown to systemd'})", f"sudo systemctl enable --now {short}")
    elif (restarts := told.get("NRestarts", "0")) not in ("", "0"):
        yield note(f"{unit} runs; systemd has started it again {restarts} times", f"journalctl -u {short} -p warning")
    else:
        yield good(f"{unit} runs")
    if is_core and told.get("UnitFileState") == "disabled" and "@" not in unit:
        yield note(f"{unit} does not start with the computer", f"sudo systemctl enable {short} nozzled.socket")


def http(view: View, subject: Subject) -> Iterator[Finding]:
    """Whether somebody answers, where it is configured, and whether others can come."""
    at = f"{subject.host}:{subject.port}"
    strangers = [name for name in view.listens(subject.port) if name not in OURS and name not in ("systemd", "init")]
    if strangers and not subject.answers:
        yield bad(
            f"another program has the port {subject.port}: {', '.join(strangers)}", "[http] port = 5001, or end it"
        )
    elif subject.answers == "":
        yield bad(f"nobody answers at {at}", f"systemctl status {NAME}-front" if subject.service else "nozzled serve")
    elif subject.answers:
        yield good(f"HTTP answers at {at}")
    elif subject.answers is None and not subject.mistake:
        yield note(f"what answers at {at} tells nothing without its key", "sudo nozzled doctor, or set NOZZLED_API_KEY")
    if subject.service is not None and subject.sockets and not subject.service.printer:
        wanted = listening_as(subject.config.http.host, subject.config.http.port)
        if wanted not in subject.sockets:
            yield note(
                f"[http] says {wanted}, but systemd listens at {', '.join(subject.sockets)}",
                "sudo systemctl daemon-reload; sudo systemctl restart nozzled.socket "
                "(a drop-in of nozzled.socket wins: systemctl cat nozzled.socket)",
            )
    host = subject.config.http.host
    heard = subject.sockets or (f"[{host}]:" if ":" in host else f"{host}:",)
    if all(each.startswith(LOOPBACK) for each in heard):
        fix = f'host = "0.0.0.0" below [http] in {subject.config_path or "the configuration"}'
        if subject.service is not None and not subject.service.printer:
            fix += "; sudo systemctl daemon-reload; sudo systemctl restart nozzled.socket"
        yield note("other computers and phones cannot come: it listens for this computer only", fix)


def key(view: View, subject: Subject) -> Iterator[Finding]:
    """The first key's file."""
    path = key_file(subject.config, subject.state)
    node = view.node(str(path))
    text = view.text(path)
    if text is None:
        if view.user == "root" or subject.service is None:
            yield note(f"there is no key in {path}; it is made when the daemon first starts")
        else:
            yield note(f"{path} may not be looked at", "sudo nozzled doctor")
        return
    if len(text.strip()) < MIN_LENGTH or not text.isascii():
        yield bad(f"{path} holds no key", "nozzled key --rotate makes a new one")
    elif node is not None and node.mode & 0o077:
        yield bad(f"others than its owner may read the key: {path} has mode {node.mode:o}", f"chmod 600 {path}")
    elif node is not None and subject.user and node.user != subject.user:
        yield bad(f"{path} belongs to {node.user}, so the service cannot read it", f"sudo chown {subject.user} {path}")
    else:
        yield good(f"the key is in {path}")


def keyring(view: View, subject: Subject) -> Iterator[Finding]:
    """The named keys' file."""
    text = view.text(subject.state / "keys.json")
    if text is None:
        return
    try:
        count = len(json.loads(text)["keys"])
    except (ValueError, KeyError, TypeError):
        yield bad(f"{subject.state}/keys.json is damaged", "it is set aside at the next start; make new keys then")
    else:
        yield good(f"named keys: {count or 'none'}")


def damaged(view: View, subject: Subject) -> Iterator[Finding]:
    """Files of the daemon's own that it has set aside."""
    for path in view.names(subject.state):
        if ".damaged" in path.name:
            yield note(
                f"a damaged file was set aside: {path.name}", "a card that fails does that: check it, and the power"
            )


def printing(_: View, subject: Subject) -> Iterator[Finding]:
    """What the daemon says of the printer."""
    state, _separator, error = subject.doing.partition(": ")
    if "error" in state.lower() or (error and state == "Offline"):
        yield bad(
            f"the printer is {state}: {error}", "the text says what to do; `nozzled printer status` shows it again"
        )
    elif error:
        yield note(f"the printer is {state}, but: {error}", "`nozzled printer status` shows whether that is over")
    elif subject.doing:
        yield good(f"the printer: {subject.doing}")


def faults(view: View, subject: Subject) -> Iterator[Finding]:
    """Connections that failed lately."""
    found = view.names(subject.state / "faults")
    as_who = "" if subject.service is None else "sudo "  # its state is for root and the service
    recent = [path for path in found if view.now() - path.stat().st_mtime < DAY]
    for path in recent[-NEWEST:]:
        yield note(f"a connection failed: {path.name}{_last_words(path)}", f"{as_who}nozzled replay --show {path}")
    if more := len(recent[:-NEWEST]):
        yield note(f"{more} more connections failed within a day", f"{as_who}ls {subject.state}/faults")


def _last_words(path: Path) -> str:
    """Return how the conversation ended, as far as the recording can be read."""
    words = ""
    with suppress(OSError, EOFError, ValueError, LookupError, TypeError), gzip.open(path) as file:
        for line in file.read(MOST).splitlines()[1:]:
            _time, kind, text = json.loads(line)
            if kind == PRINTER or text.startswith("lost"):
                words = f"; the last words: {text.strip()[-SHOWN:]!r}"
    return words


def log(view: View, subject: Subject) -> Iterator[Finding]:
    """Warnings and errors of the last day."""
    if subject.service is None:
        return
    own = [word for unit in (subject.service.core, subject.service.front) for word in ("-u", unit)]
    said = view.run(
        "journalctl", "-t", NAME, *own, "-p", "warning", "--since=-24h", "-o", "cat", "-q", "-n", "200", "--no-pager"
    )
    if said is None:
        yield note("the journal cannot be read", "sudo nozzled doctor")
    elif said:
        lines = said.splitlines()
        yield note(
            f"warnings in the log within a day: {len(lines)}; the last: {lines[-1][:200]}",
            f"journalctl -t {NAME} {' '.join(own).replace('.service', '')} -p warning -n 50",
        )


CHECKS = (versions, modules, configuration, units, http, printing, key, keyring, damaged, faults, log)
