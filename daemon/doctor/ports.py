"""Checks of the printer's port: whether it exists, who may open it, and who uses it. No port is opened."""

from collections.abc import Iterator, Sequence

from daemon.doctor.finding import Finding, Subject, bad, good, note
from daemon.doctor.view import View
from hal.errors import AddressError
from hal.ports import AUTO, Port
from hal.registry import parse

OUR_PROCESSES = ("nozzled", "daemon")
"""Names of our own processes."""

PORT_KEEPERS = ("systemd", "init")
"""Names of processes that keep the port open while the service restarts."""

FIXES = {
    "ModemManager": "sudo systemctl disable --now ModemManager",
    "brltty": "sudo systemctl disable --now brltty brltty-udev; sudo apt-get remove brltty",
    "octoprint": "sudo systemctl disable --now octoprint",
    "klippy.py": "sudo systemctl stop klipper",
    "klipper": "sudo systemctl stop klipper",
}
BRLTTY_USB_IDS = ("1a86:7523", "1a86:5523", "10c4:ea60", "0403:6001")
"""USB ids of serial chips that are used on printers' boards and in Braille displays."""

BRLTTY_RULES = ("/usr/lib/udev/rules.d/85-brltty.rules", "/lib/udev/rules.d/85-brltty.rules")
SUPERUSERS = ("root", "")
BUILT_IN = {"ttyAMA": 204, "ttyS": 4}  # names of built-in ports → their device's major number


def port(view: View, subject: Subject) -> Iterator[Finding]:
    """Whether the configured printer's port exists."""
    existing = list(view.ports())
    address = subject.config.printer.address
    if not address and subject.printer_status and not subject.printer_status.startswith("Offline"):
        yield good("the printer was chosen by a client, or on the command line")
        return
    if not address:
        listed = ", ".join(each.address for each in existing) or "none found"
        yield note(
            "no printer is configured", f'set [printer] address = "serial:…" in the configuration; ports: {listed}'
        )
        return
    try:
        scheme, target = (parsed := parse(address)).scheme, parsed.target
    except AddressError as error:
        yield bad(str(error), 'docs/configuration.md, "Printer addresses"')
        return
    if scheme != "serial":
        yield good(f"the printer's address is {address}, which is not a serial port")
    elif target == AUTO:
        yield from _check_automatic(existing)
    elif view.exists(target):
        yield good(f"the printer's port exists: {target}")
    else:
        yield bad(f"the printer's port does not exist: {target}", _port_fix(existing))


def _check_automatic(existing: Sequence[Port]) -> Iterator[Finding]:
    candidates = [each for each in existing if each.by_id or each.is_twin]
    if len(candidates) == 1:
        yield good(f"serial:auto finds one port: {candidates[0].address}")
    elif candidates:
        listed = ", ".join(each.address for each in candidates)
        yield bad("serial:auto finds several ports", f"set [printer] address to one of {listed}")
    else:
        yield bad("serial:auto finds no port", _port_fix(existing))


def _port_fix(existing: Sequence[Port]) -> str:
    listed = ", ".join(each.address for each in existing)
    if listed:
        return f"existing ports: {listed}"
    return (
        "switch the printer on; try another USB cable (many carry only power) and socket; "
        "`sudo dmesg -w` shows what happens when you plug it in"
    )


def rights(view: View, subject: Subject) -> Iterator[Finding]:
    """Whether the daemon's user has permission to open the ports."""
    user = subject.user or view.user
    if user in SUPERUSERS:
        return
    groups = view.groups_of(user)
    for each in view.ports():
        node = view.node(each.path)
        if node is None or node.user == user or node.mode & 0o006 == 0o006:  # noqa: PLR2004 - everybody may
            continue
        if not node.is_group_allowed or node.group == "root":
            yield bad(
                f"{user} has no permission to open {each.path}, and no group has it",
                "add a udev rule that gives the port to the group dialout",
            )
        elif node.group not in groups:
            refresh = f"sudo systemctl restart {subject.service.core_name}" if subject.service else "log in again"
            yield bad(
                f"{user} has no permission to open {each.path}", f"sudo usermod -aG {node.group} {user}, then {refresh}"
            )
        else:
            yield good(f"{user} can open {each.path} as a member of {node.group}")


def port_holders(view: View, _: Subject) -> Iterator[Finding]:
    """Whether another program uses a port."""
    for each in view.ports():
        others = sorted({name for name in view.holders_of(each.path) if name not in (*OUR_PROCESSES, *PORT_KEEPERS)})
        for name in others:
            fix = FIXES.get(name, f"stop {name}, or give it another port; then `nozzled printer connect`")
            yield bad(f"another program uses {each.path}: {name}", fix)


def probers(view: View, _: Subject) -> Iterator[Finding]:
    """Whether a system program takes serial ports, or writes to them, when they are plugged in."""
    if view.run("systemctl", "is-active", "ModemManager") == "active":
        yield note(
            "ModemManager is running: it writes to serial ports when they are plugged in, which may confuse a board",
            FIXES["ModemManager"],
        )
    if not any(view.exists(path) for path in BRLTTY_RULES):
        return
    with_port = {
        f"{each.vid:04x}:{each.pid:04x}" for each in view.ports() if each.vid is not None and each.pid is not None
    }
    for device in view.list_folder("/sys/bus/usb/devices"):
        vendor, product = (view.read_text(device / name) for name in ("idVendor", "idProduct"))
        usb_id = f"{(vendor or '').strip()}:{(product or '').strip()}"
        if usb_id in BRLTTY_USB_IDS and usb_id not in with_port:
            yield bad(
                f"brltty has taken a USB serial chip ({usb_id}) for a Braille display, so it has no port",
                FIXES["brltty"],
            )


def sandbox(view: View, subject: Subject) -> Iterator[Finding]:
    """Whether the service's unit lets the core reach the configured printer."""
    address = subject.config.printer.address
    if subject.service is None or not address:
        return
    unit = subject.service.core
    if (
        address.startswith("tcp:")
        and view.run("systemctl", "show", "--property=PrivateNetwork", "--value", unit) == "yes"
    ):
        yield bad(
            f"the printer is on the network, but {unit} may not use the network",
            f"sudo install -D -m 644 /usr/local/lib/nozzled/tcp.conf /etc/systemd/system/{unit}.d/tcp.conf; "
            f"sudo systemctl daemon-reload; sudo systemctl restart {unit.removesuffix('.service')}",
        )
    built_in = next((number for name, number in BUILT_IN.items() if f"/dev/{name}" in address), None)
    allowed = view.run("systemctl", "show", "--property=DeviceAllow", "--value", unit)
    if built_in is not None and allowed is not None and f"char-{built_in}" not in allowed and "/dev/tty" not in allowed:
        yield bad(
            f"{unit} may not open built-in ports like {address}",
            f"sudo systemctl edit {unit.removesuffix('.service')}: [Service] DeviceAllow=char-{built_in} rw",
        )


def console(view: View, subject: Subject) -> Iterator[Finding]:
    """Whether the system's console uses the printer's port, as it does by default on the pins of a Raspberry Pi."""
    for word in (view.read_text("/proc/cmdline") or "").split():
        name = word.removeprefix("console=").partition(",")[0]
        target = subject.config.printer.address.partition("?")[0].removeprefix("serial:")
        if word.startswith("console=") and target == f"/dev/{name}":
            yield bad(
                f"the system's console uses /dev/{name}", f"remove {word} from /boot/firmware/cmdline.txt, and reboot"
            )


CHECKS = (port, rights, port_holders, probers, sandbox, console)
