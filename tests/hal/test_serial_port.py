"""The serial backend on real ptys."""

import asyncio
import concurrent.futures.thread  # noqa: F401 - asyncio takes it in late, when a test may be a user that cannot
import errno
import fcntl
import grp
import os
import pwd
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest
import serial
from hypothesis import given, settings
from hypothesis import strategies as st

from hal import ports, serial_port
from hal.errors import AddressError, NoSuchPort, PortBusy, PortError, PortLost, PortPermission
from hal.registry import parse
from hal.serial_port import SerialTransport, create_transport
from support.processes import cannot_run
from support.waiting import TIMEOUT, until

pytestmark = pytest.mark.real_time

TIOCGEXCL = 0x80045440  # asm-generic/ioctls.h; tells what TIOCEXCL has set


@pytest.fixture
def root():
    if os.geteuid() != 0:
        cannot_run("only root can give a node away and become another user")


class FarEnd:
    """The printer's end of a pty; `path` is the host's."""

    def __init__(self):
        self.fd, slave = os.openpty()
        self.path = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self.fd, False)

    async def read(self, count, block=65536):
        """Return `count` bytes, taken a block at a time."""
        data = b""
        while len(data) < count:
            try:
                data += os.read(self.fd, min(block, count - len(data)))
            except BlockingIOError:
                await asyncio.sleep(0.001)
        return data

    async def write(self, data):
        while data:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                await asyncio.sleep(0.001)

    def unplug(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Host:
    """A transport, and its reports to its owner."""

    def __init__(self, path, *args, **kwargs):
        self.transport = SerialTransport(path, *args, **kwargs)
        self.data = b""
        self.lost = []

    async def open(self):
        await self.transport.open(self.on_data, self.lost.append)
        return self

    def on_data(self, data):
        self.data += data

    async def __aenter__(self):
        return await self.open()

    async def __aexit__(self, *_):
        self.transport.close()


@pytest.fixture
def far():
    end = FarEnd()
    yield end
    end.unplug()


@pytest.mark.parametrize("baudrate", [115200, 250000])
async def test_bytes_go_both_ways_unchanged(far, baudrate):
    every_byte = bytes(range(256)) * 4
    async with Host(far.path, baudrate) as host:
        host.transport.write(every_byte)
        assert await far.read(len(every_byte)) == every_byte
        await far.write(every_byte)
        await until(lambda: len(host.data) >= len(every_byte))
        assert host.data == every_byte
        assert host.transport.baudrate == baudrate


@pytest.mark.parametrize("baudrate", [115200, 250000])
async def test_the_kernel_keeps_the_configured_baudrate(far, baudrate):
    async with Host(far.path, baudrate) as host:
        speeds = bytearray(256)
        fcntl.ioctl(host.transport._fd, serial.serialposix.TCGETS2, speeds)
        assert int.from_bytes(speeds[36:40], sys.byteorder) == baudrate  # c_ispeed
        assert int.from_bytes(speeds[40:44], sys.byteorder) == baudrate  # c_ospeed


async def test_a_large_write_reaches_a_slow_reader_whole(far):
    data = os.urandom(300_000)
    async with Host(far.path) as host:
        host.transport.write(data)
        assert host.transport._queue, "the pty took it all at once: this shows nothing"
        assert await far.read(len(data), block=1000) == data
        await until(lambda: not host.transport._queue)
        host.transport.write(b"M105\n")
        assert await far.read(5) == b"M105\n"


@given(st.lists(st.binary(max_size=9000), max_size=12), st.integers(100, 5000))
@settings(max_examples=25)
async def test_pieces_of_any_size_arrive_in_order(pieces, block):
    far = FarEnd()
    async with Host(far.path) as host:
        for piece in pieces:
            host.transport.write(piece)
        whole = b"".join(pieces)
        assert await far.read(len(whole), block) == whole
    far.unplug()


async def test_a_write_never_overtakes_what_is_queued(far):
    data = b"G1 X1\n" * 20_000
    async with Host(far.path) as host:
        host.transport.write(data)
        arrived = os.read(far.fd, 65536)  # makes room that the loop has not seen yet
        host.transport.write(b"M105\n")
        arrived += await far.read(len(data) + 5 - len(arrived))
    assert arrived == data + b"M105\n"


async def test_close_tries_once_to_write_what_is_queued(far):
    host = await Host(far.path).open()
    host.transport.write(b"G1 X1\n" * 20_000)
    while drain(far.fd):
        pass
    host.transport.close()
    assert await far.read(6), "nothing of the queue went out"


def drain(fd):
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b""


async def test_a_wake_up_with_nothing_to_read_is_no_loss(far):
    async with Host(far.path) as host:
        host.transport._readable()
        assert host.lost == []
        await far.write(b"ok\n")
        await until(lambda: host.data == b"ok\n")


async def test_unplugging_is_reported_once(far):
    host = await Host(far.path).open()
    far.unplug()
    await until(lambda: host.lost)
    host.transport.write(b"M105\n")
    host.transport.reset()
    host.transport.close()
    await asyncio.sleep(0.05)
    assert [type(error) for error in host.lost] == [PortLost]
    assert "unplugged" in str(host.lost[0])
    assert far.path in str(host.lost[0])


async def test_a_loss_seen_by_write_is_reported_once_from_the_loop(far):
    host = await Host(far.path).open()
    far.unplug()
    host.transport.write(b"M105\n")
    host.transport.write(b"M105\n")
    assert host.lost == []
    await until(lambda: host.lost)
    await asyncio.sleep(0.05)
    assert [type(error) for error in host.lost] == [PortLost]


async def test_unplugging_with_bytes_queued_is_reported_once(far):
    host = await Host(far.path).open()
    host.transport.write(bytes(300_000))
    await asyncio.sleep(0.01)
    far.unplug()
    await until(lambda: host.lost)
    await asyncio.sleep(0.05)
    assert len(host.lost) == 1
    assert not host.transport._queue


async def test_no_callback_after_close(far):
    host = await Host(far.path).open()
    await far.write(b"ok\n")
    host.transport.close()
    host.transport.close()
    far.unplug()
    await asyncio.sleep(0.05)
    assert host.data == b""
    assert host.lost == []


async def test_no_callback_when_closed_between_a_failed_write_and_its_report(far):
    host = await Host(far.path).open()
    far.unplug()
    host.transport.write(b"M105\n")
    host.transport.close()
    await asyncio.sleep(0.05)
    assert host.lost == []


async def test_bytes_written_just_before_close_go_out(far):
    host = await Host(far.path).open()
    host.transport.write(b"M104 S0\n")
    host.transport.close()
    assert await far.read(8) == b"M104 S0\n"


async def test_the_port_is_free_after_close(far):
    async with Host(far.path):
        assert ports.is_locked(far.path)
    assert not ports.is_locked(far.path)
    async with Host(far.path) as again:
        again.transport.write(b"x")
        assert await far.read(1) == b"x"


async def test_a_transport_not_open_takes_calls_in_silence(far):
    transport = SerialTransport(far.path)
    transport.write(b"M105\n")
    transport.reset()
    transport.close()
    with pytest.raises(PortLost, match="closed while"):
        await transport.open(print, print)
    assert not ports.is_locked(far.path)


async def test_a_cancelled_open_leaves_nothing_locked(far, monkeypatch):
    go_on = threading.Event()
    opened = []

    def slow(*args, **options):
        go_on.wait(TIMEOUT)
        opened.append(open_port(*args, **options))
        return opened[0]

    open_port = serial_port.open_port
    monkeypatch.setattr(serial_port, "open_port", slow)
    opening = asyncio.create_task(SerialTransport(far.path).open(print, print))
    await asyncio.sleep(0.01)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    go_on.set()
    await until(lambda: opened and not opened[0].is_open)
    assert not ports.is_locked(far.path)


async def test_closing_leaves_dtr_alone_and_children_inherit_nothing(far):
    slave = os.open(far.path, os.O_RDWR | os.O_NOCTTY)
    attributes = termios.tcgetattr(slave)
    attributes[2] |= termios.HUPCL  # a real port's default, but not a pty's
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    os.close(slave)
    async with Host(far.path) as host:
        fd = host.transport._fd
        assert not termios.tcgetattr(fd)[2] & termios.HUPCL
        assert not os.get_inheritable(fd)
        assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK


async def test_the_lock_is_a_flock_that_lets_a_plain_open_through(far):
    async with Host(far.path) as host:
        other = os.open(far.path, os.O_RDWR | os.O_NOCTTY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)
        # root opens past TIOCEXCL, so ask for the flag as well
        assert fcntl.ioctl(host.transport._fd, TIOCGEXCL, bytes(4)) == bytes(4)


def test_the_port_never_becomes_the_controlling_terminal(far):
    script = (
        "import os, sys\n"
        "from hal.serial_port import open_port\n"
        "port = open_port(sys.argv[1], 115200)\n"
        "try:\n    os.open('/dev/tty', os.O_RDWR)\n"
        "except OSError:\n    print('none')\n"
    )
    command = [sys.executable, "-c", script, far.path]
    result = subprocess.run(command, start_new_session=True, capture_output=True, text=True, check=True)
    assert result.stdout == "none\n"


async def test_a_link_opens_what_it_points_to(far, tmp_path):
    link = tmp_path / "usb-Prusa-if00"
    link.symlink_to(far.path)
    async with Host(str(link)) as host:
        host.transport.write(b"x")
        assert await far.read(1) == b"x"
        assert ports.is_locked(far.path)
        assert host.transport.address == f"serial:{link}"


async def test_busy_names_the_holder(far):
    async with Host(far.path):
        with pytest.raises(PortBusy, match=rf"\(pid {os.getpid()}\)"):
            await Host(far.path).open()


async def test_no_such_port_lists_the_existing_ones(monkeypatch):
    monkeypatch.setattr(ports, "list_ports", lambda: [ports.Port("/dev/ttyACM3")])
    with pytest.raises(NoSuchPort, match=r"no port /dev/ttyACM99\..*serial:/dev/ttyACM3"):
        await Host("/dev/ttyACM99").open()


async def test_no_such_port_suggests_plugging_in_if_there_is_none(monkeypatch):
    monkeypatch.setattr(ports, "list_ports", list)
    with pytest.raises(NoSuchPort, match="plugged in"):
        await Host("/dev/ttyACM99").open()


@pytest.mark.parametrize("path", ["/dev/null", "/tmp", __file__])
async def test_a_file_that_is_not_a_terminal_is_no_port(path):
    with pytest.raises(PortError, match="is not a serial port"):
        await Host(path).open()


async def test_a_port_without_hardware_is_reported(far, monkeypatch):
    def phantom(*_args):
        raise termios.error(errno.EIO, "Input/output error")

    monkeypatch.setattr(serial.serialposix.termios, "tcgetattr", phantom)
    with pytest.raises(NoSuchPort, match="no hardware behind it"):
        await Host(far.path).open()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
async def test_a_refused_open_is_a_matter_of_permission(far, monkeypatch, number):
    def refuse(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(serial.serialposix.os, "open", refuse)
    with pytest.raises(PortPermission, match=far.path):
        await asyncio.to_thread(serial_port.open_port, far.path, 115200)


@pytest.fixture
def nobody():
    """Run a test as the user nobody, without groups."""
    user, groups = pwd.getpwnam("nobody"), os.getgroups()
    os.setgroups([])
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    yield user.pw_name
    os.seteuid(0)
    os.setegid(0)
    os.setgroups(groups)


def give(path, group, mode):
    """Make a port's node root's, as udev does."""
    os.chown(path, 0, grp.getgrnam(group).gr_gid)
    os.chmod(path, mode)  # noqa: PTH101 - a path as text, as everywhere here


@pytest.mark.usefixtures("root")
async def test_no_permission_names_the_command_that_helps(far, request):
    give(far.path, "dialout", 0o660)
    request.getfixturevalue("nobody")
    with pytest.raises(PortPermission, match="run: sudo usermod -aG dialout nobody and log in again"):
        await Host(far.path).open()


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(("group", "mode"), [("dialout", 0o600), ("dialout", 0o640), ("root", 0o660)])
async def test_no_permission_names_no_group_if_none_helps(far, request, group, mode):
    give(far.path, group, mode)
    request.getfixturevalue("nobody")
    with pytest.raises(PortPermission, match="no group helps") as caught:
        await Host(far.path).open()
    assert "usermod" not in str(caught.value)


async def test_a_pty_that_refuses_the_speed_still_opens(far, monkeypatch):
    monkeypatch.setattr(serial.Serial, "_set_special_baudrate", refuse_rate)
    async with Host(far.path, 250000) as host:
        host.transport.write(b"x")
        assert await far.read(1) == b"x"


async def test_a_port_that_refuses_the_speed_says_so(far, monkeypatch):
    monkeypatch.setattr(serial.Serial, "_set_special_baudrate", refuse_rate)
    monkeypatch.setattr(serial_port, "_is_pty", lambda _path: False)
    with pytest.raises(PortError, match="cannot do 250000 baud"):
        await Host(far.path, 250000).open()
    assert not ports.is_locked(far.path)


@pytest.mark.parametrize(
    ("number", "is_pty"), [(errno.ENODEV, lambda _path: False), (errno.EINVAL, lambda path: Path(f"{path}-").stat())]
)
async def test_a_port_unplugged_as_its_speed_is_set_is_gone(far, monkeypatch, number, is_pty):
    def set_rate(_port, baudrate):
        error = ValueError(f"Failed to set custom baud rate ({baudrate})")
        error.__context__ = OSError(number, os.strerror(number))  # as pyserial raises it
        raise error

    monkeypatch.setattr(serial.Serial, "_set_special_baudrate", set_rate)
    monkeypatch.setattr(serial_port, "_is_pty", is_pty)
    with pytest.raises(NoSuchPort, match="There is no port"):
        await Host(far.path, 250000).open()


def refuse_rate(_port, baudrate):
    raise ValueError(f"Failed to set custom baud rate ({baudrate})")


@pytest.fixture
def dtr(monkeypatch):
    """What DTR was set to, and when; a pty has none."""
    record = []

    def note(port):
        record.append((port._dtr_state, asyncio.get_running_loop().time()))

    real = serial_port.open_port

    def then_note(*args, **options):
        port = real(*args, **options)
        monkeypatch.setattr(serial.Serial, "_update_dtr_state", note)
        return port

    monkeypatch.setattr(serial_port, "open_port", then_note)
    return record


async def test_reset_pulses_dtr(far, dtr):
    async with Host(far.path) as host:
        host.transport.reset()
        host.transport.reset()
        assert [up for up, _ in dtr] == [False, False]
        await until(lambda: len(dtr) > 2)
        assert dtr[2][0] is True
        assert 0.05 <= dtr[2][1] - dtr[0][1] < 1
    assert len(dtr) == 3


async def test_bytes_written_before_a_reset_still_go_out(far, dtr):
    stop = b"M112\n" * 4000
    async with Host(far.path) as host:
        host.transport.write(stop)
        host.transport.reset()
        assert await far.read(len(stop)) == stop


async def test_close_ends_a_reset_pulse(far, dtr):
    async with Host(far.path) as host:
        host.transport.reset()
    assert [up for up, _ in dtr] == [False, True]
    await asyncio.sleep(0.15)
    assert len(dtr) == 2


async def test_a_device_that_takes_no_bytes_does_not_hold_up_the_loop(far, monkeypatch):
    closed_in = []
    close = serial.Serial.close

    def note(port):
        closed_in.append(threading.current_thread())
        close(port)

    monkeypatch.setattr(serial.Serial, "out_waiting", 17)
    monkeypatch.setattr(serial.Serial, "close", note)
    async with Host(far.path):
        pass
    await until(lambda: closed_in)
    assert closed_in != [threading.main_thread()]
    await until(lambda: not ports.is_locked(far.path))


async def test_auto_opens_the_one_free_port(far, monkeypatch):
    monkeypatch.setattr(ports, "auto_port", lambda: ports.Port(far.path))
    transport = create_transport(parse("serial:auto"))
    await transport.open(print, print)
    transport.write(b"x")
    assert await far.read(1) == b"x"
    assert transport.address == "serial:auto"
    transport.close()


async def test_parity_is_toggled_if_configured(far, monkeypatch):
    settings = []

    class Noting(serial.Serial):
        def _reconfigure_port(self, *args, **options):
            settings.append((self._parity, self.exclusive))
            super()._reconfigure_port(*args, **options)

    monkeypatch.setattr(serial_port.serial, "Serial", Noting)
    for query, parities in (("", ["N"]), ("?parity=toggle", ["O", "N"])):
        transport = create_transport(parse(f"serial:{far.path}{query}"))
        await transport.open(lambda _: None, lambda _: None)
        transport.close()
        assert settings == [(parity, True) for parity in parities]
        settings.clear()


def test_an_address_becomes_a_transport():
    transport = create_transport(parse("serial:/dev/ttyACM0?baudrate=250000"))
    assert (transport.address, transport.baudrate) == ("serial:/dev/ttyACM0?baudrate=250000", 250000)
    assert SerialTransport("/dev/ttyACM0", 250000).address == transport.address


@pytest.mark.parametrize(
    ("address", "part"),
    [
        ("serial", "''"),
        ("serial:ttyACM0", "'ttyACM0'"),
        ("serial:/dev/ttyACM0?baud=9600", "'baud'; allowed: baudrate, parity"),
        ("serial:/dev/ttyACM0?parity=even", "parity is 'even'; allowed: toggle"),
        ("serial:/dev/ttyACM0?baudrate=fast", "baudrate is 'fast'; allowed: a whole number"),
        ("serial:/dev/ttyACM0?baudrate=0", "baudrate is '0'"),
        ("serial:/dev/ttyACM0?baudrate=-9600", "baudrate is '-9600'"),
        ("serial:/dev/ttyACM0?baudrate=99999999999", "baudrate is '99999999999'"),
    ],
)
def test_a_bad_address_names_the_part(address, part):
    with pytest.raises(AddressError, match=part):
        create_transport(parse(address))


# -- reattaching to the previous host's conversation -----------------------------------------------------------


async def reopened(transport, host):
    await transport.reopen(host.on_data, host.lost.append)


async def test_an_adopted_descriptor_keeps_unread_bytes(far):
    before = serial_port.open_port(far.path, 115200)
    descriptor = os.dup(before.fileno())  # as systemd holds it
    before.close()
    await far.write(b"ok\nResend: 12\n")
    host = Host(far.path)
    host.transport.adopt(descriptor)
    await reopened(host.transport, host)
    try:
        await until(lambda: host.data == b"ok\nResend: 12\n")
        host.transport.write(b"M105\n")
        assert await far.read(5) == b"M105\n"
    finally:
        host.transport.close()
    with pytest.raises(OSError):  # noqa: PT011 - whichever it is: the port is closed
        os.fstat(descriptor)


async def test_a_port_opened_again_keeps_its_settings(far):
    async with Host(far.path, 57600):
        pass
    holder = os.open(far.path, os.O_RDWR | os.O_NOCTTY)
    try:
        as_left = termios.tcgetattr(holder)
        host = Host(far.path, 57600)
        await reopened(host.transport, host)
        assert termios.tcgetattr(holder) == as_left
        host.transport.close()
    finally:
        os.close(holder)


async def test_a_port_that_another_program_used_is_made_raw_again(far):
    holder = os.open(far.path, os.O_RDWR | os.O_NOCTTY)  # a fresh pty: line by line, with echo
    try:
        host = Host(far.path, 57600)
        await reopened(host.transport, host)
        await far.write(b"o")
        await until(lambda: host.data == b"o")
        assert termios.tcgetattr(holder)[5] == termios.B57600
        host.transport.close()
    finally:
        os.close(holder)


async def test_a_port_held_by_another_program_is_not_opened(far):
    async with Host(far.path):
        second = Host(far.path)
        with pytest.raises(PortBusy):
            await reopened(second.transport, second)


async def test_a_missing_port_is_no_such_port():
    host = Host("/dev/ttyNOWHERE0")
    with pytest.raises(NoSuchPort):
        await reopened(host.transport, host)


@pytest.mark.parametrize("baudrate", [250000, 115200])
async def test_a_reopened_port_gets_its_baudrate_again(far, baudrate):
    holder = os.open(far.path, os.O_RDWR | os.O_NOCTTY)  # as a driver makes it when a board is plugged in: 38400
    try:
        host = Host(far.path, baudrate)
        await reopened(host.transport, host)
        assert rates(holder) == (baudrate, baudrate)
        host.transport.close()
    finally:
        os.close(holder)


def rates(fd: int) -> tuple[int, int]:
    """Return what `struct termios2` says, which has numbers for all rates."""
    settings = bytearray(44)
    fcntl.ioctl(fd, 0x802C542A, settings)  # TCGETS2
    return struct.unpack("4I20B2I", settings)[-2:]
