"""Checks of the computer: power, heat, disk, memory, clock."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from daemon.doctor.finding import Finding, Subject, bad, good, note
from daemon.doctor.view import View

MIB = 1024 * 1024
FULL_DISK, LOW_DISK = 100 * MIB, 1024 * MIB  # free bytes
LOW_MEMORY = 48 * MIB
HOT_C = 80.0  # °C; from here on, a Raspberry Pi throttles its processor
EARLIEST_DATE = datetime(2026, 1, 1, tzinfo=UTC)
"""A clock that shows an earlier date is wrong: this version of the program did not exist then."""

MODEL_FILE = "/proc/device-tree/model"
THROTTLED_FILE = "/sys/devices/platform/soc/soc:firmware/get_throttled"
_BIT_TEXTS = {0: "its voltage is too low", 1: "its clock is capped", 2: "it is throttled", 3: "it is too hot"}
_EARLIER_OFFSET = 16  # offset of the bits for "has happened since boot"


def power(view: View, _: Subject) -> Iterator[Finding]:
    """Undervoltage and throttling of a Raspberry Pi: a common cause of prints that "just stop"."""
    model = (view.read_text(MODEL_FILE) or "").strip("\0\n ")
    if "Raspberry Pi" not in model:
        return
    bits = _throttled(view)
    if bits is None:
        yield note(f"the power supply of this {model} cannot be checked", "sudo apt-get install libraspberrypi-bin")
        return
    fix = (
        "use a power supply and cable made for this Pi; disconnect USB devices that draw much current; make sure that "
        "the printer's USB cable does not power the Pi (tape over its 5 V contact)"
    )
    now = [text for bit, text in _BIT_TEXTS.items() if bits >> bit & 1]
    earlier = [text for bit, text in _BIT_TEXTS.items() if bits >> bit + _EARLIER_OFFSET & 1]
    if bits & 1 or bits >> _EARLIER_OFFSET & 1:
        when = "now" if bits & 1 else "earlier, since it booted"
        yield bad(
            f"the supply voltage of this {model} is too low ({when}), which makes USB drop out and prints stop", fix
        )
    elif now or earlier:
        yield note(
            f"this {model}: {', '.join(now or earlier)} ({'now' if now else 'earlier, since it booted'})", "cool it"
        )
    else:
        yield good(f"the power supply of this {model} is good")


def _throttled(view: View) -> int | None:
    text = view.read_text(THROTTLED_FILE)
    if text is None:
        output = view.run("vcgencmd", "get_throttled") or ""
        text = output.partition("=")[2].removeprefix("0x")
    try:
        return int(text.strip(), 16)
    except ValueError:
        return None


def heat(view: View, _: Subject) -> Iterator[Finding]:
    """The processor's temperature."""
    text = view.read_text("/sys/class/thermal/thermal_zone0/temp") or ""
    if text.strip().lstrip("-").isdecimal() and (celsius := int(text) / 1000) >= HOT_C:
        yield note(
            f"the processor is at {celsius:.0f} °C, and may be throttled",
            "give it a heat sink, a fan, or a cooler place",
        )


def disk(view: View, subject: Subject) -> Iterator[Finding]:
    """Free space for uploads and databases, and whether the disk is writable."""
    space = view.disk(subject.state)
    if space is None:
        yield note(f"the disk of {subject.state} cannot be checked")
        return
    size = f"{_size(space.free)} of {_size(space.total)} free"
    if space.read_only:
        yield bad(
            f"the disk of {subject.state} is read-only: the system makes it so when a card fails",
            "sudo dmesg | grep -i -E 'ext4|mmc' says why; copy what you need and replace the card",
        )
    elif space.free < FULL_DISK:
        yield bad(
            f"the disk is full: {size}",
            f"delete files in {subject.state}: nozzled files delete",
        )
    elif space.free < LOW_DISK:
        yield note(f"the disk is nearly full: {size}", "delete files: nozzled files delete")
    else:
        yield good(f"the disk has enough space: {size}")


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"  # noqa: PLR2004 - a GB


def memory(view: View, _: Subject) -> Iterator[Finding]:
    """Free memory."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", view.read_text("/proc/meminfo") or "", re.MULTILINE)
    if match and (free := int(match[1]) * 1024) < LOW_MEMORY:
        yield note(f"little memory is free: {_size(free)}", "stop other programs; `free -h` and `top` show them")


def clock(view: View, _: Subject) -> Iterator[Finding]:
    """The clock, which a Pi without a network cannot set."""
    today = datetime.fromtimestamp(view.now(), UTC)
    if today < EARLIEST_DATE:
        yield bad(
            f"the clock is wrong: {today:%Y-%m-%d}",
            "connect to a network and sudo timedatectl set-ntp true, or add a clock module",
        )
        return
    synchronized = view.run("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if synchronized == "no":
        yield note(
            "the clock is not synchronised with the network; dates may be wrong after a power cut",
            "sudo timedatectl set-ntp true",
        )
    else:
        yield good(f"the clock says {today:%Y-%m-%d %H:%M} UTC")


CHECKS = (power, heat, disk, memory, clock)
