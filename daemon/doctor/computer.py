"""Checks of the computer: power, heat, disk, memory, clock."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from daemon.doctor.finding import Finding, Subject, bad, good, note
from daemon.doctor.view import View

MIB = 1024 * 1024
LITTLE_ROOM, SOME_ROOM = 100 * MIB, 1024 * MIB
LITTLE_MEMORY = 48 * MIB
HOT = 80.0  # °C; a Raspberry Pi slows down from there on
BUILT = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock that is right shows an earlier date than this version of the program."""

MODEL = "/proc/device-tree/model"
THROTTLED = "/sys/devices/platform/soc/soc:firmware/get_throttled"
_NOW = {0: "its voltage is too low", 1: "its clock is capped", 2: "it is throttled", 3: "it is too hot"}
_EARLIER = 16  # bits further up the same have happened since the start


def power(view: View, _: Subject) -> Iterator[Finding]:
    """Undervoltage and throttling of a Raspberry Pi: the cause of most prints that "just stop"."""
    model = (view.text(MODEL) or "").strip("\0\n ")
    if "Raspberry Pi" not in model:
        return
    bits = _throttled(view)
    if bits is None:
        yield note(
            f"whether the power of this {model} is good cannot be seen", "sudo apt-get install libraspberrypi-bin"
        )
        return
    fix = (
        "a power supply and cable made for this Pi; nothing else on its USB ports that takes much; check the printer's "
    )
    fix += "cable does not feed the Pi (tape over its 5 V)"
    now = [text for bit, text in _NOW.items() if bits >> bit & 1]
    earlier = [text for bit, text in _NOW.items() if bits >> bit + _EARLIER & 1]
    if bits & 1 or bits >> _EARLIER & 1:
        when = "now" if bits & 1 else "since it was started"
        yield bad(f"the voltage of this {model} is too low ({when}): USB drops out and prints stop", fix)
    elif now or earlier:
        yield note(f"this {model}: {', '.join(now or earlier)} ({'now' if now else 'since it was started'})", "cool it")
    else:
        yield good(f"the power of this {model} is good")


def _throttled(view: View) -> int | None:
    text = view.text(THROTTLED)
    if text is None:
        said = view.run("vcgencmd", "get_throttled") or ""
        text = said.partition("=")[2].removeprefix("0x")
    try:
        return int(text.strip(), 16)
    except ValueError:
        return None


def heat(view: View, _: Subject) -> Iterator[Finding]:
    """The processor's temperature."""
    text = view.text("/sys/class/thermal/thermal_zone0/temp") or ""
    if text.strip().lstrip("-").isdecimal() and (celsius := int(text) / 1000) >= HOT:
        yield note(
            f"the processor has {celsius:.0f} °C and slows down", "give it a heat sink, a fan, or a cooler place"
        )


def disk(view: View, subject: Subject) -> Iterator[Finding]:
    """Room where uploads and databases are, and whether it can be written to."""
    found = view.room(subject.state)
    if found is None:
        yield note(f"the disk of {subject.state} cannot be looked at")
        return
    free, total, read_only = found
    if read_only:
        yield bad(
            f"the disk of {subject.state} can only be read: the system does that to a card that fails",
            "sudo dmesg | grep -i -E 'ext4|mmc' says why; copy what you need and replace the card",
        )
    elif free < LITTLE_ROOM:
        yield bad(
            f"the disk is full: {_size(free)} of {_size(total)} are free",
            f"delete files (nozzled files delete): {subject.state}",
        )
    elif free < SOME_ROOM:
        yield note(
            f"the disk is nearly full: {_size(free)} of {_size(total)} are free", "delete files: nozzled files delete"
        )
    else:
        yield good(f"the disk has room: {_size(free)} of {_size(total)} are free")


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"  # noqa: PLR2004 - a GB


def memory(view: View, _: Subject) -> Iterator[Finding]:
    """Memory that is left."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", view.text("/proc/meminfo") or "", re.MULTILINE)
    if found and (left := int(found[1]) * 1024) < LITTLE_MEMORY:
        yield note(f"little memory is left: {_size(left)}", "end what else runs here; `free -h` and `top` show it")


def clock(view: View, _: Subject) -> Iterator[Finding]:
    """The date, which a Pi without a network does not know."""
    today = datetime.fromtimestamp(view.now(), UTC)
    if today < BUILT:
        yield bad(
            f"the clock is wrong: {today:%Y-%m-%d}", "sudo timedatectl set-ntp true, and a network; or a clock module"
        )
        return
    synchronized = view.run("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if synchronized == "no":
        yield note(
            "the clock is not set by the network; dates may be wrong after a power cut", "sudo timedatectl set-ntp true"
        )
    else:
        yield good(f"the clock says {today:%Y-%m-%d %H:%M} UTC")


CHECKS = (power, heat, disk, memory, clock)
