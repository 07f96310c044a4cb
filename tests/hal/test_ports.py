"""Listing ports, on a tree like /dev and /sys; locks on real ptys."""

import fcntl
import os
import sys

import pytest

from hal import holders
from hal.errors import AmbiguousPort, NoSuchPort
from hal.ports import Port, auto_port, find, is_locked, list_ports, port_at

opened = []
watching = False


@sys.addaudithook  # stays for good, as audit hooks do; it costs one comparison
def note_open(event, args):
    if watching and event == "open":
        opened.append(str(args[0]))


class Machine:
    """A directory with `dev` and `sys`, as a kernel and udev would fill them."""

    def __init__(self, root):
        self.dev, self.sys = root / "dev", root / "sys"
        (self.dev / "serial/by-id").mkdir(parents=True)
        (self.sys / "class/tty").mkdir(parents=True)

    @property
    def roots(self):
        return self.dev, self.sys

    def node(self, name):
        (self.dev / name).touch()
        (self.sys / "class/tty" / name).mkdir()
        return str(self.dev / name)

    def usb(self, name, **attributes):
        interface = self.sys / f"devices/usb1/{name}-device/1-1:1.0"
        interface.mkdir(parents=True)
        for attribute, value in attributes.items():
            (interface.parent / attribute).write_text(f"{value}\n")
        path = self.node(name)
        (self.sys / "class/tty" / name / "device").symlink_to(interface)
        return path

    def uart(self, name, kind, device="platform/3f215040.serial"):
        """Make a built-in port; `kind` is the content of its file `type`, None if there is none."""
        path = self.node(name)
        if kind is not None:
            (self.sys / "class/tty" / name / "type").write_text(f"{kind}\n")
        (self.sys / "devices" / device).mkdir(parents=True, exist_ok=True)
        (self.sys / "class/tty" / name / "device").symlink_to(self.sys / "devices" / device)
        return path

    def by_id(self, name, target):
        link = self.dev / "serial/by-id" / name
        link.symlink_to(target)
        return str(link)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
def pty():
    """Make ptys, which can be locked like any port."""
    masters = []

    def make():
        master, slave = os.openpty()
        path = os.ttyname(slave)
        os.close(slave)
        masters.append(master)
        return path

    yield make
    for master in masters:
        os.close(master)


@pytest.fixture
def lock():
    files = []

    def hold(path):
        files.append(os.open(path, os.O_RDWR | os.O_NOCTTY))
        fcntl.flock(files[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)

    yield hold
    for file in files:
        os.close(file)


def test_lists_ports_by_id_first_then_usb_then_built_in(machine):
    uart = machine.uart("ttyAMA0", "32")
    acm10, acm2, usb = (machine.node(name) for name in ("ttyACM10", "ttyACM2", "ttyUSB0"))
    named = machine.usb("ttyUSB7")
    link = machine.by_id("usb-Prusa_MK3S_CZPX-if00", "../../ttyUSB7")
    ports_found = list_ports(*machine.roots)
    assert [port.path for port in ports_found] == [named, usb, acm2, acm10, uart]
    assert [port.by_id for port in ports_found] == [link, None, None, None, None]
    assert ports_found[0].address == f"serial:{link}"
    assert ports_found[1].address == f"serial:{usb}"


def test_describes_a_device_by_its_usb_details(machine):
    about = {"idVendor": "2c99", "idProduct": "0002", "serial": "CZPX0620X004XK72128"}
    path = machine.usb("ttyACM0", manufacturer="Prusa Research", product="Original Prusa\x1b[2J MK3", **about)
    assert list_ports(*machine.roots) == [
        Port(path, None, "Prusa Research Original Prusa[2J MK3", 0x2C99, 0x0002, "CZPX0620X004XK72128")
    ]


def test_survives_nonsense_from_a_device_and_a_vanishing_one(machine):
    machine.usb("ttyACM0", idVendor="xyz")
    machine.usb("ttyACM1", idVendor="")
    ports_found = list_ports(*machine.roots)
    assert [(port.description, port.vid, port.pid) for port in ports_found] == [
        ("ttyACM0", None, None),
        ("ttyACM1", None, None),
    ]


def test_lists_a_device_with_two_names_once_and_no_dangling_link(machine):
    machine.node("ttyUSB0")
    first = machine.by_id("usb-FTDI-if00", "../../ttyUSB0")
    machine.by_id("usb-FTDI-if00-port0", "../../ttyUSB0")
    machine.by_id("usb-Unplugged-if00", "../../ttyUSB9")
    assert [port.by_id for port in list_ports(*machine.roots)] == [first]


@pytest.mark.parametrize(
    ("kind", "device", "real"),
    [
        ("4", "pnp0/00:00", True),
        ("0", "platform/serial8250", False),
        (None, "platform/serial8250/serial8250:0/serial8250:0.3", False),
        (None, "platform/3f215040.serial", True),
    ],
)
def test_lists_existing_built_in_ports(machine, kind, device, real):
    machine.uart("ttyS0", kind, device)
    assert bool(list_ports(*machine.roots)) is real


def test_a_machine_without_ports_has_none(tmp_path):
    assert list_ports(tmp_path / "dev", tmp_path / "sys") == []


def test_listing_opens_no_port(machine, pty, monkeypatch):
    machine.usb("ttyACM0", idVendor="2c99")
    machine.uart("ttyS0", "4")
    link = machine.by_id("usb-Pty-if00", pty())
    monkeypatch.setattr(sys.modules[__name__], "watching", True)
    list_ports()
    list_ports(*machine.roots)
    auto_port(*machine.roots)
    is_locked(link)
    monkeypatch.setattr(sys.modules[__name__], "watching", False)
    assert opened, "the watch saw nothing at all"
    elsewhere = [path for path in opened if not path.startswith("/dev/shm/")]  # where the test's folder may be
    assert [path for path in elsewhere if path.startswith("/dev/")] == []
    assert [path for path in opened if path.startswith(str(machine.dev))] == []


def test_a_port_is_locked_while_a_process_holds_a_flock(pty, lock, tmp_path):
    path = pty()
    link = tmp_path / "link"
    link.symlink_to(path)
    assert not is_locked(path)
    lock(path)
    assert is_locked(path)
    assert is_locked(str(link))


def test_an_open_port_counts_as_locked_if_locks_are_hidden(pty, monkeypatch):
    path = pty()
    monkeypatch.setattr(holders, "locks_on", lambda _path: None)
    assert not is_locked(path)
    file = os.open(path, os.O_RDWR | os.O_NOCTTY)
    assert is_locked(path)
    os.close(file)


def test_auto_chooses_only_the_single_port_by_id(machine, pty):
    machine.node("ttyUSB0")
    link = machine.by_id("usb-Prusa-if00", pty())
    assert auto_port(*machine.roots).by_id == link


def test_auto_chooses_the_unlocked_port(machine, pty, lock):
    first, second = pty(), pty()
    machine.by_id("usb-A-if00", first)
    link = machine.by_id("usb-B-if00", second)
    lock(first)
    assert auto_port(*machine.roots).by_id == link


def test_auto_does_not_choose_between_two(machine, pty):
    links = [machine.by_id(f"usb-{name}-if00", pty()) for name in "AB"]
    with pytest.raises(AmbiguousPort, match=f"serial:{links[0]}, serial:{links[1]}"):
        auto_port(*machine.roots)


def test_auto_names_the_holder_of_the_only_port(machine, pty, lock):
    path = pty()
    link = machine.by_id("usb-A-if00", path)
    lock(path)
    with pytest.raises(NoSuchPort, match=rf"serial:{link} is in use by .*\(pid {os.getpid()}\)"):
        auto_port(*machine.roots)


def test_auto_names_the_ports_that_it_does_not_choose(machine):
    path = machine.node("ttyUSB0")
    with pytest.raises(NoSuchPort, match=f"by-id.*serial:{path}"):
        auto_port(*machine.roots)


def test_auto_suggests_plugging_in_if_there_is_no_port(machine):
    with pytest.raises(NoSuchPort, match="plugged in"):
        auto_port(*machine.roots)


# -- which board it is -----------------------------------------------------------------------------------------

PRUSA = {"idVendor": "2c99", "idProduct": "0002", "serial": "CZPX1"}
CH340 = {"idVendor": "1a86", "idProduct": "7523"}


def test_a_board_is_identified_by_serial_number_and_socket(machine):
    path = machine.usb("ttyACM0", **PRUSA)
    link = machine.by_id("usb-Prusa-if00", "../../ttyACM0")
    there = list_ports(*machine.roots)
    port = port_at(link, there)
    assert port == port_at(path, there)
    assert (port.place, port.interface, port.is_twin) == ("ttyACM0-device", "1.0", False)
    assert find(port.device, there) == path
    assert port_at("/dev/null", there) is None


def test_two_boards_with_one_serial_number_are_distinguished_by_socket(machine):
    first, second = machine.usb("ttyUSB0", **CH340), machine.usb("ttyUSB1", **CH340)
    machine.by_id("usb-1a86-if00", "../../ttyUSB1")
    (machine.dev / "serial/by-path").mkdir()
    for name, node in (("pci-usb-0:1", "ttyUSB0"), ("pci-usb-0:2", "ttyUSB1")):
        (machine.dev / "serial/by-path" / name).symlink_to(f"../../{node}")
    there = list_ports(*machine.roots)
    assert all(port.is_twin for port in there)
    assert {port.address for port in there} == {
        f"serial:{machine.dev}/serial/by-path/pci-usb-0:{number}" for number in (1, 2)
    }
    for path in (first, second):
        assert find(port_at(path, there).device, there) == path
    with pytest.raises(AmbiguousPort):
        auto_port(*machine.roots)


def test_interfaces_of_one_board_are_not_twins(machine):
    machine.usb("ttyACM0", **PRUSA)
    device = (machine.sys / "class/tty/ttyACM0/device").resolve().parent
    (device / "1-1:1.2").mkdir()
    machine.node("ttyACM1")
    (machine.sys / "class/tty/ttyACM1/device").symlink_to(device / "1-1:1.2")
    there = list_ports(*machine.roots)
    assert [(port.interface, port.is_twin) for port in there] == [("1.0", False), ("1.2", False)]
    assert [find(port.device, there) for port in there] == [port.path for port in there]
